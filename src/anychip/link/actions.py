"""Actions that wait for their tick, and the rules by which one may be executed.

Flows in: observations as they are sent, chunks of actions as they come, ticks. Flows out: at most one action
a tick, and the reason where there is none. An action expires at the time of the observation that it answers
plus the largest age, both by the robot's monotonic clock. Each is executed once at most, in the order of its
observations; times that a peer states are compared with what was sent, and never used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from .frames import Actions

Array = np.ndarray[Any, Any]

MAX_PENDING = 256
"""Observations that may wait for an answer; older ones are forgotten, and their answers refused."""


class Unusable(StrEnum):
    """Why a chunk was refused, or why there is no action for a tick."""

    UNASKED = "answers no observation of this connection"
    FORGED = "states other times than its observation"
    EARLY = "answers an observation that is still to come by this clock"
    EXPIRED = "past its expiry"
    OLDER = "answers an older observation than one already used"
    MALFORMED = "actions are not finite numbers of the agreed shape"
    NONE = "no actions have come"
    USED_UP = "all actions of the chunk are used up"
    NOT_YET = "the chunk begins at a later tick"


@dataclass(frozen=True, slots=True)
class Action:
    """One action: of which observation, its number in the chunk, and until when it may be executed
    (nanoseconds of the robot's monotonic clock)."""

    sequence: int
    index: int
    observed_at: int
    expires_at: int
    values: Array


@dataclass(frozen=True, slots=True)
class _Sent:
    tick: int
    observed_at: int
    expires_at: int


class ActionBuffer:
    """The newest usable chunk, and what was asked and is not answered yet. `chunk` and `values`: actions of a
    chunk, at most, and numbers of an action, exactly; `max_age` in nanoseconds."""

    def __init__(self, chunk: int, values: int, max_age: int):
        self.chunk, self.values, self.max_age = chunk, values, max_age
        self._sent: dict[int, _Sent] = {}
        self._sequence = 0
        self._newest: Actions | None = None
        self._expires_at = 0
        self._last_tick = -1

    def asked(self, tick: int, now: int) -> tuple[int, int]:
        """Note that an observation is sent at `now`; its sequence number and the expiry of its actions."""
        self._sequence += 1
        expires_at = now + self.max_age
        self._sent[self._sequence] = _Sent(tick, now, expires_at)
        while len(self._sent) > MAX_PENDING:
            del self._sent[next(iter(self._sent))]
        return self._sequence, expires_at

    def forget_questions(self) -> None:
        """No observation that was sent will be answered any more: the connection is gone. Actions that have
        come stay until they expire."""
        self._sent.clear()

    def forget_all(self) -> None:
        """Neither answers nor actions are to be used any more, such as when the clock went backwards."""
        self._sent.clear()
        self._newest = None

    def offer(self, answer: Actions, now: int) -> Unusable | None:
        """Take a chunk, or refuse it with the reason."""
        sent = self._sent.pop(answer.sequence, None)
        if sent is None:
            newest = self._newest.sequence if self._newest is not None else 0
            return Unusable.OLDER if answer.sequence < newest else Unusable.UNASKED
        told = (answer.tick, answer.observed_at, answer.expires_at)
        if told != (sent.tick, sent.observed_at, sent.expires_at):
            return Unusable.FORGED
        if now < sent.observed_at:
            return Unusable.EARLY
        if now >= sent.expires_at:
            return Unusable.EXPIRED
        actions = answer.actions
        if not (
            actions.ndim == 2
            and 1 <= actions.shape[0] <= self.chunk
            and actions.shape[1] == self.values
            and actions.dtype.kind == "f"
            and bool(np.isfinite(actions).all())
        ):
            return Unusable.MALFORMED
        self._newest, self._expires_at = answer, sent.expires_at
        for sequence in [known for known in self._sent if known < answer.sequence]:
            del self._sent[sequence]
        return None

    def take(self, tick: int, now: int) -> Action | Unusable:
        """The action of a tick, which can be taken once, or the reason why there is none."""
        if tick <= self._last_tick:
            return Unusable.USED_UP
        newest = self._newest
        if newest is None:
            return Unusable.NONE
        if now < newest.observed_at:
            return Unusable.EARLY
        if now >= self._expires_at:
            self._newest = None
            return Unusable.EXPIRED
        index = tick - newest.tick
        if index < 0:
            return Unusable.NOT_YET
        if index >= len(newest.actions):
            return Unusable.USED_UP
        self._last_tick = tick
        return Action(newest.sequence, index, newest.observed_at, self._expires_at, newest.actions[index])

    def newest(self, now: int) -> int:
        """The observation that the waiting chunk answers; 0 without one that may still be executed."""
        return self._newest.sequence if self._newest is not None and now < self._expires_at else 0

    @property
    def waiting(self) -> int:
        """Observations that are not answered."""
        return len(self._sent)
