"""Every planted fault is found at its operator, on this machine and on an emulated chip; without one there is
none."""

from __future__ import annotations

import functools

import pytest
from tests.debug.bisect.following import Followed, first_wrong, follow, planted_step
from tests.debug.bisect.models import MODELS
from tests.debug.bisect.planted import FAULTS, Fault

from anychip.debug.bisect.emulated import EmulatedChip
from anychip.emulation.errors import EmulationError
from anychip.triton_backend import activate

CHIP = "rv64gcv"
KINDS = ("wrong rounding", "swapped stride", "dropped mask", "f16 accumulator", "wrong axis", "stale cache")
CHEAP = ("mlp", "halves")
"""Models whose faults are tried in every run of the tests."""


@pytest.fixture(autouse=True)
def _active() -> None:
    activate()


@functools.cache
def clean(model: str) -> Followed:
    return follow(model)


@functools.cache
def emulated() -> EmulatedChip:
    try:
        return EmulatedChip(CHIP)
    except EmulationError as error:
        pytest.skip(str(error))


def test_there_are_thirty() -> None:
    assert len(FAULTS) == 30
    assert {fault.kind for fault in FAULTS} == set(KINDS)
    assert {fault.model for fault in FAULTS} == set(MODELS)


def require_found(fault: Fault, followed: Followed) -> None:
    _, pair, verdict = first_wrong(clean(fault.model), followed)
    assert pair is not None
    assert verdict is not None
    assert (pair.b.number, pair.name) == (planted_step(fault, followed), f"aten.{fault.overload}")
    assert verdict.text


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=fault.name, marks=() if fault.model in CHEAP else pytest.mark.slow)
        for fault in FAULTS
    ],
)
def test_it_is_found(fault: Fault) -> None:
    require_found(fault, follow(fault.model, fault))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_it_is_found_on_an_emulated_chip(fault: Fault) -> None:
    require_found(fault, follow(fault.model, fault, emulated()))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_right_run_on_an_emulated_chip_shows_nothing(model: str) -> None:
    comparison, _, verdict = first_wrong(clean(model), follow(model, chip=emulated()))
    assert verdict is None
    assert len(comparison.pairs) == len(clean(model).trace.steps)


def test_two_equal_runs_are_the_same() -> None:
    comparison, _, verdict = first_wrong(clean("mlp"), follow("mlp"))
    assert (comparison.differing, verdict) == ([], None)
