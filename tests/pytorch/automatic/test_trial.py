"""The verdict of a trial follows from the times that it was given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anychip.pytorch.automatic.trial import (
    ALL_SAMPLES,
    DISCARDED,
    DISPATCH,
    MARGIN,
    NATIVE,
    OURS,
    Trial,
    verdict,
)


def run(trial: Trial, seconds: dict[str, float], calls: int, crowded: bool = False) -> list[str]:
    turns = []
    for _ in range(calls):
        turns.append(trial.turn())
        trial.add(turns[-1], seconds[turns[-1]], crowded)
    return turns


def test_a_clear_difference_is_decided_after_few_calls() -> None:
    trial = Trial()
    turns = run(trial, {NATIVE: 1e-3, OURS: 1e-4}, 8)
    assert turns[:2] == [NATIVE, NATIVE]
    assert turns[-1] == OURS == trial.verdict
    assert set(turns[:6]) == {NATIVE, OURS}


def test_a_small_difference_takes_more_calls() -> None:
    trial = Trial()
    run(trial, {NATIVE: 1.2e-3, OURS: 1e-3}, 6)
    assert not trial.verdict
    run(trial, {NATIVE: 1.2e-3, OURS: 1e-3}, 3 * ALL_SAMPLES)
    assert trial.verdict == OURS


def test_short_calls_take_more_samples() -> None:
    trial = Trial()
    run(trial, {NATIVE: 9e-6, OURS: 3e-6}, 20)
    assert not trial.verdict
    run(trial, {NATIVE: 9e-6, OURS: 3e-6}, 20)
    assert trial.verdict == OURS


def test_equal_times_leave_the_call_to_pytorch() -> None:
    assert verdict({NATIVE: 1e-3, OURS: 1e-3}) == NATIVE
    assert verdict({NATIVE: 5e-6, OURS: 5e-6 - DISPATCH / 2}) == NATIVE


def test_the_first_call_of_each_does_not_count() -> None:
    trial = Trial()
    seconds = {NATIVE: iter([9.0, *[1e-3] * 50]), OURS: iter([9.0, *[1e-4] * 50])}
    while not trial.verdict:
        turn = trial.turn()
        trial.add(turn, next(seconds[turn]))
    assert trial.verdict == OURS
    assert trial.seconds() == {NATIVE: 1e-3, OURS: 1e-4}


def test_samples_of_a_crowded_machine_are_thrown_away_for_a_while() -> None:
    trial = Trial()
    run(trial, {NATIVE: 1e-4, OURS: 1e-2}, 6, crowded=True)
    assert not trial.verdict
    run(trial, {NATIVE: 1e-3, OURS: 1e-4}, 8)
    assert (trial.verdict, trial.disturbed) == (OURS, False)
    hopeless = Trial()
    run(hopeless, {NATIVE: 1e-3, OURS: 1e-4}, DISCARDED + 20, crowded=True)
    assert (hopeless.verdict, hopeless.disturbed) == (OURS, True)


@given(st.floats(1e-6, 1.0), st.floats(1e-6, 1.0))
def test_the_loser_is_never_faster_by_much(native: float, ours: float) -> None:
    trial = Trial()
    run(trial, {NATIVE: native, OURS: ours}, 40)
    assert trial.verdict in (NATIVE, OURS)
    if trial.verdict == OURS:
        assert ours < native
    else:
        assert MARGIN * native <= ours + DISPATCH


@pytest.mark.parametrize("clear", [1.0, 1.3])
def test_a_verdict_needs_the_difference_that_is_asked_for(clear: float) -> None:
    found = verdict({NATIVE: 1.2e-2, OURS: 1e-2}, clear)
    assert found == (OURS if clear == 1.0 else "")
