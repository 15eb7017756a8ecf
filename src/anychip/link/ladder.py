"""The ladder down: what a robot does when it has no fresh actions.

Rungs from the top: a fresh chunk, what remains of it while answers are overdue, a policy on the robot,
holding the last position, a controlled stop. Each step, down or up, is an event with its cause. Limits bound
how long each rung may last, and so how long after the last good answer a stop begins (`Limits.stop_limit`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from .actions import Action, Unusable
from .errors import LinkError
from .stop import StopMotion

Array = np.ndarray[Any, Any]
LocalPolicy = Callable[[Any], Array]
"""From an observation to one command, on the robot itself."""


class Rung(IntEnum):
    """What a command comes from. A higher number is a step further down."""

    CHUNK = 0
    REMAINING = 1
    LOCAL = 2
    HOLD = 3
    STOP = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """How long rungs last, in nanoseconds. `max_age`: from an observation until its actions expire; `fresh`:
    an action that is older than this counts as what remains of a chunk; `local` and `hold`: how long the
    policy on the robot and the last position are used. `restart`: after a stop, fresh actions may move the
    robot again by themselves, from `settle` chunks in a row on; otherwise `EdgeMachine.restart` must be
    called."""

    max_age: int
    fresh: int
    local: int
    hold: int
    restart: bool = False
    settle: int = 3

    def __post_init__(self) -> None:
        times = {"max_age": self.max_age, "fresh": self.fresh, "local": self.local, "hold": self.hold}
        wrong = [f"{name} = {value}" for name, value in times.items() if value < 0]
        if wrong or not self.max_age or self.settle < 1:
            given = wrong or [f"max_age = {self.max_age}", f"settle = {self.settle}"]
            raise LinkError(f"limits are times (ns) and a count of chunks, not {', '.join(given)}")

    @property
    def stop_limit(self) -> int:
        """The longest time from the last observation that was answered to the start of a stop, but for one
        control period."""
        return self.max_age + self.local + self.hold


@dataclass(frozen=True, slots=True)
class Command:
    """What the robot is told at a tick. `sequence` and `index` name the action it comes from (0, -1: none),
    and `age` is nanoseconds since its observation (-1: none). `moving`: the robot is not yet, or no longer,
    at rest in a stop."""

    tick: int
    rung: Rung
    values: Array
    cause: str
    sequence: int = 0
    index: int = -1
    age: int = -1
    expires_at: int = -1
    moving: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """A change of rung: when (ns), at which tick, and why."""

    at: int
    tick: int
    before: Rung
    after: Rung
    cause: str


class Ladder:
    """Chooses the rung of each tick. `period` in nanoseconds; `local` may be None."""

    def __init__(self, limits: Limits, stop: StopMotion, period: int, local: LocalPolicy | None = None):
        self.limits = limits
        self._stop, self._period, self._local = stop, period, local
        self.rung = Rung.STOP
        self.steps: deque[Step] = deque(maxlen=256)
        self._recent: deque[Array] = deque(maxlen=3)
        self._ran_out = self._expires_at = 0
        self._entered = 0
        self.at_rest = True
        self._may_move = True
        self._chunks: set[int] = set()
        self._cause = "nothing has come yet"

    def restart(self) -> None:
        """Fresh actions may move the robot again after a stop."""
        self._may_move = True

    def may_execute(self, newest: int) -> bool:
        """Whether actions may be executed at this tick. A stop is never broken off; a robot that rests begins
        to move when it may, after enough usable chunks in a row (`newest` is the last one's number, 0
        none)."""
        if self.rung is not Rung.STOP:
            return True
        if not newest:
            self._chunks.clear()
            return False
        self._chunks.add(newest)
        return self.at_rest and self._may_move and len(self._chunks) >= self.limits.settle

    def choose(
        self, tick: int, now: int, action: Action | Unusable, observation: Any, measured: Array
    ) -> Command:
        """The command of a tick. `measured`: the robot's present position, where it rests until it is told to
        move."""
        if isinstance(action, Action):
            return self._execute(tick, now, action)
        cause = str(action)
        if self.rung <= Rung.REMAINING:
            # An expiry lies between two ticks: what follows is timed from there, not from the tick that saw
            # it.
            self._ran_out = min(now, self._expires_at)
        since = now - self._ran_out
        if self.rung is not Rung.STOP:
            if self._local is not None and since < self.limits.local and self.rung <= Rung.LOCAL:
                values = self._from_local(observation, measured)
                if values is not None:
                    return self._command(tick, now, Rung.LOCAL, values, cause)
                cause = f"{cause}; the local policy gave no finite command"
            if self.rung < Rung.HOLD:
                self._go(now, tick, Rung.HOLD, cause)
            local = self.limits.local if self._local is not None else 0
            if now < min(self._entered, self._ran_out + local) + self.limits.hold:
                return self._command(tick, now, Rung.HOLD, self._last(measured), cause)
            self._begin_stop(tick, now, cause)
        return self._stopping(tick, now, measured)

    def take_back(self) -> None:
        """The last command was not carried out after all."""
        self._recent.pop()

    def _execute(self, tick: int, now: int, action: Action) -> Command:
        age = now - action.observed_at
        fresh = age <= self.limits.fresh
        rung = Rung.CHUNK if fresh else Rung.REMAINING
        cause = "an answer in time" if fresh else "no newer answer has come"
        values = np.asarray(action.values)
        self._expires_at = action.expires_at
        return self._command(
            tick, now, rung, values, cause, action.sequence, action.index, age, action.expires_at
        )

    def _from_local(self, observation: Any, measured: Array) -> Array | None:
        assert self._local is not None
        values = np.asarray(self._local(observation))
        return values if values.shape == measured.shape and bool(np.isfinite(values).all()) else None

    def _begin_stop(self, tick: int, now: int, cause: str) -> None:
        self._go(now, tick, Rung.STOP, cause)
        self._stop.begin(list(self._recent), self._period * 1e-9)
        self.at_rest = False
        self._may_move = self.limits.restart
        self._chunks.clear()

    def _stopping(self, tick: int, now: int, measured: Array) -> Command:
        """Where the stop begins, the first command is one period into it."""
        if not self._recent:
            return Command(tick, Rung.STOP, np.asarray(measured), self._cause, moving=False)
        elapsed = (now - self._entered + self._period) * 1e-9
        if not self.at_rest:
            self.at_rest = elapsed >= self._stop.duration()
            self._recent.append(self._stop.command(elapsed))
        return Command(tick, Rung.STOP, self._recent[-1], self._cause, moving=not self.at_rest)

    def _last(self, measured: Array) -> Array:
        return self._recent[-1] if self._recent else np.asarray(measured)

    def _command(
        self, tick: int, now: int, rung: Rung, values: Array, cause: str,
        sequence: int = 0, index: int = -1, age: int = -1, expires_at: int = -1,
    ) -> Command:  # fmt: skip
        if rung is not self.rung:
            self._go(now, tick, rung, cause)
        self._recent.append(np.array(values, np.float64))
        return Command(tick, rung, values, self._cause, sequence, index, age, expires_at)

    def _go(self, now: int, tick: int, rung: Rung, cause: str) -> None:
        self.steps.append(Step(now, tick, self.rung, rung, cause))
        self.rung, self._entered, self._cause = rung, now, cause
