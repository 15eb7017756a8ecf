"""Counts what robots executed, by times and orders of its own.

The judge believes no state machine. It notes the true time at which a robot observed something at a tick; the
simulated policy writes robot, tick and number of the action into the action itself; and when an action is
executed, the judge reads these and looks at the true time. So an action that was kept too long, executed
twice, taken for another robot's, or swapped, is seen whatever the machines think of it."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from ..frames import Array
from ..ladder import Command, Rung

KEPT = 512
"""Observations of a robot whose times are remembered; what answers an older one is past its expiry."""

VALUES = 3
"""Numbers of an action: robot, tick of the observation, number in the chunk."""


@dataclass(slots=True)
class _Watched:
    observed: dict[int, int] = field(default_factory=dict)
    last: tuple[int, int] = (-1, -1)
    done: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=KEPT))
    rung: Rung = Rung.STOP
    was_below: bool = False
    cut_at: int = -1
    ticked_at: int = -1
    kept: int = 0
    """Nanoseconds from the last tick to when its command was carried out."""


@dataclass(slots=True)
class Judge:
    """Of robots by number. `max_age` and `period` in nanoseconds; `stop_limits` by robot."""

    max_age: int
    period: int
    stop_limits: list[int]
    counts: Counter[str] = field(default_factory=Counter)
    over_limit: int = 0
    period_errors: list[int] = field(default_factory=list)
    _robots: dict[int, _Watched] = field(default_factory=dict)

    def observed(self, robot: int, tick: int, now: int) -> None:
        """A robot looks around at a tick."""
        own = self._of(robot)
        own.observed[tick] = now
        if len(own.observed) > KEPT:
            del own.observed[next(iter(own.observed))]

    def cut(self, robot: int, now: int) -> None:
        """From now on nothing reaches the robot; it must come to a stop in time."""
        own = self._of(robot)
        if own.cut_at < 0 and own.rung is not Rung.STOP:
            own.cut_at = now
            self.counts["cuts"] += 1

    def mended(self, robot: int) -> None:
        """The robot can be reached again."""
        self._of(robot).cut_at = -1

    def executed(self, robot: int, command: Command, now: int) -> None:
        """A robot carries out a command."""
        own = self._of(robot)
        self.counts["ticks"] += 1
        stalled, own.kept = own.kept, max(now - own.observed.get(command.tick, now), 0)
        if own.ticked_at >= 0:
            stalled += max(now - own.ticked_at - self.period, 0)
            error = abs((now - own.ticked_at + self.period // 2) % self.period - self.period // 2)
            self.period_errors.append(error)
        own.ticked_at = now
        if command.rung is Rung.STOP and own.rung is not Rung.STOP:
            self.counts["stops"] += 1
            if own.cut_at >= 0:
                self.counts["stops after a cut"] += 1
                self._stop_is_due(robot, own, now - stalled)
                own.cut_at = -1
        elif own.cut_at >= 0:
            self._stop_is_due(robot, own, now - stalled - self.period)
        own.was_below |= command.rung > Rung.REMAINING and own.last[0] >= 0
        own.rung = command.rung
        if command.sequence:
            self._action(robot, own, command.values, now)

    def _stop_is_due(self, robot: int, own: _Watched, now: int) -> None:
        """A stop begins after a cut, or could have begun since `now`; what the control loop itself came late
        by is not the link's."""
        self.over_limit = max(self.over_limit, now - own.cut_at - self.stop_limits[robot])

    def _action(self, robot: int, own: _Watched, values: Array, now: int) -> None:
        self.counts["actions_executed"] += 1
        whose, tick, index = (round(float(value)) for value in values)
        if whose != robot:
            self.counts["misplaced"] += 1
            return
        observed = own.observed.get(tick)
        if observed is None or not observed <= now < observed + self.max_age:
            self.counts["actions_past_expiry"] += 1
        if (tick, index) in own.done:
            self.counts["replayed"] += 1
        elif (tick, index) <= own.last:
            self.counts["unordered"] += 1
        own.done.append((tick, index))
        own.last = max(own.last, (tick, index))
        if own.was_below:
            self.counts["recovered"] += 1
            own.was_below = False

    def _of(self, robot: int) -> _Watched:
        return self._robots.setdefault(robot, _Watched())

    def result(self) -> dict[str, Any]:
        """The counts, by name."""
        errors = sorted(self.period_errors)
        names = (
            "ticks", "actions_executed", "actions_past_expiry", "replayed", "unordered", "misplaced", "stops",
            "stops after a cut", "recovered",
        )  # fmt: skip
        return {name.replace(" ", "_"): self.counts[name] for name in names} | {
            "period_p99_ms": round(errors[len(errors) * 99 // 100] / 1e6, 3) if errors else 0.0,
            "stop_over_limit_ms": round(self.over_limit / 1e6, 3),
        }

    @property
    def is_well(self) -> bool:
        """Whether no promise was broken."""
        broken = ("actions_past_expiry", "replayed", "unordered", "misplaced")
        return not any(self.counts[name] for name in broken) and self.over_limit <= self.period
