"""The rules by which an action may be executed, against a model of them that a state machine of Hypothesis
drives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgpack")

from hypothesis import settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule  # noqa: E402

from anychip.link.actions import Action, ActionBuffer, Unusable  # noqa: E402
from anychip.link.frames import Actions  # noqa: E402

MAX_AGE, CHUNK = 100, 4


def answer(sequence: int, tick: int, at: int, count: int = CHUNK, **changes: Any) -> Actions:
    values = np.arange(count * 2, dtype=np.float32).reshape(count, 2) + sequence * 100
    fields = {
        "sequence": sequence, "tick": tick, "observed_at": at, "expires_at": at + MAX_AGE, "queued": 0,
        "computed": 0, "actions": values,
    }  # fmt: skip
    return Actions(**{**fields, **changes})


class Rules(RuleBasedStateMachine):
    """Observations, answers in any order, twice, late or forged, lost connections, ticks that skip."""

    @initialize()
    def begin(self) -> None:
        self.buffer = ActionBuffer(CHUNK, 2, MAX_AGE)
        self.now, self.tick = 1000, 0
        self.asked: dict[int, tuple[int, int]] = {}
        self.open: set[int] = set()
        self.executed: list[tuple[int, int]] = []

    @rule(time=st.integers(0, 60))
    def time_passes(self, time: int) -> None:
        self.now += time

    @rule()
    def ask(self) -> None:
        sequence, expires_at = self.buffer.asked(self.tick, self.now)
        assert expires_at == self.now + MAX_AGE
        self.asked[sequence] = (self.tick, self.now)
        self.open.add(sequence)

    @rule()
    def connection_is_lost(self) -> None:
        self.buffer.forget_questions()
        self.open.clear()

    @precondition(lambda self: self.asked)
    @rule(
        data=st.data(),
        forged=st.sampled_from([None, "tick", "observed_at", "expires_at"]),
        by=st.integers(1, 500),
    )
    def an_answer_comes(self, data: Any, forged: str | None, by: int) -> None:
        sequence = data.draw(st.sampled_from(sorted(self.asked)))
        tick, at = self.asked[sequence]
        given = answer(sequence, tick, at, data.draw(st.integers(1, CHUNK)))
        if forged is not None:
            given = replace(given, **{forged: getattr(given, forged) + by})
        refused = self.buffer.offer(given, self.now)
        usable = sequence in self.open and forged is None and self.now < at + MAX_AGE
        assert (refused is None) == usable, (refused, sequence)
        self.open.discard(sequence)
        if usable:
            self.open = {other for other in self.open if other > sequence}

    @rule(skipped=st.integers(1, 3))
    def a_tick(self, skipped: int) -> None:
        self.tick += skipped
        found = self.buffer.take(self.tick, self.now)
        assert self.buffer.take(self.tick, self.now) == Unusable.USED_UP or not isinstance(found, Action)
        if isinstance(found, Action):
            tick, at = self.asked[found.sequence]
            assert at <= self.now < at + MAX_AGE
            assert found.index == self.tick - tick
            assert found.values[0] == found.sequence * 100 + found.index * 2
            assert not self.executed or (found.sequence, found.index) > self.executed[-1]
            self.executed.append((found.sequence, found.index))


TestRules = Rules.TestCase
TestRules.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def buffer() -> ActionBuffer:
    made = ActionBuffer(CHUNK, 2, MAX_AGE)
    assert made.asked(10, 1000) == (1, 1100)
    return made


def test_an_action_expires_between_two_ticks() -> None:
    made = buffer()
    assert made.offer(answer(1, 10, 1000), 1001) is None
    assert isinstance(made.take(10, 1099), Action)
    assert made.take(11, 1100) == Unusable.EXPIRED
    assert made.take(12, 1050) == Unusable.NONE


def test_a_clock_that_is_early_extrapolates_nothing() -> None:
    """An answer to an observation that this clock has not come to yet, or a chunk that begins at a later
    tick."""
    made = buffer()
    assert made.offer(answer(1, 10, 1000), 999) == Unusable.EARLY
    made = buffer()
    assert made.offer(answer(1, 10, 1000), 1000) is None
    assert made.take(9, 1000) == Unusable.NOT_YET
    assert made.take(10, 999) == Unusable.EARLY
    found = made.take(10, 1000)
    assert isinstance(found, Action)
    assert found.index == 0


@pytest.mark.parametrize(
    "actions",
    [
        np.full((CHUNK, 2), np.nan),
        np.full((CHUNK, 2), np.inf),
        np.zeros((CHUNK + 1, 2)),
        np.zeros((CHUNK, 3)),
        np.zeros((0, 2)),
        np.zeros(2),
        np.zeros((CHUNK, 2), np.int32),
    ],
)
def test_actions_that_no_robot_should_get(actions: Any) -> None:
    assert buffer().offer(answer(1, 10, 1000, actions=actions), 1001) == Unusable.MALFORMED


def test_questions_do_not_pile_up() -> None:
    made = ActionBuffer(CHUNK, 2, MAX_AGE)
    for tick in range(2000):
        made.asked(tick, tick)
    assert made.waiting <= 256
    assert made.offer(answer(1, 0, 0), 1) == Unusable.UNASKED
