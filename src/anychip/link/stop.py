"""The controlled stop: how a robot comes to rest when nothing tells it what to do any more.

`StopMotion` is the seam: whatever begins at the last commands and gives one command a tick until the robot
rests. `JerkLimitedStop` is the plain one for robots that take positions: each value by itself brakes to rest
within a limit of acceleration and of jerk. `RobotStop` knows the joints' limits, too: it plans all joints at
once with the operators of `anychip.robot`, and brakes harder where a joint would rest outside. Neither knows
of obstacles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .errors import LinkError

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]


class StopMotion(Protocol):
    """A way to come to rest."""

    def begin(self, recent: Sequence[Array], period: float) -> None:
        """Start from the last commands (oldest first, one to three of them, `period` seconds apart)."""
        ...

    def command(self, elapsed: float) -> Array:
        """The command at `elapsed` seconds after the start."""
        ...

    def duration(self) -> float:
        """Seconds until rest."""
        ...


@dataclass(frozen=True, slots=True)
class _Brake:
    """One value's way to rest: phases of constant jerk, (seconds, jerk)."""

    position: float
    velocity: float
    acceleration: float
    phases: tuple[tuple[float, float], ...]

    def at(self, elapsed: float) -> tuple[float, float, float]:
        """Position, velocity and acceleration `elapsed` seconds after the start."""
        p, v, a = self.position, self.velocity, self.acceleration
        left = max(elapsed, 0.0)
        for seconds, jerk in self.phases:
            t = min(left, seconds)
            p += t * (v + t * (a / 2 + t * jerk / 6))
            v += t * (a + t * jerk / 2)
            a += t * jerk
            left -= t
            if left <= 0:
                return p, v, a
        return p, 0.0, 0.0

    @property
    def seconds(self) -> float:
        """Until rest."""
        return sum(seconds for seconds, _ in self.phases)


def brake(position: float, velocity: float, acceleration: float, *, jerk: float, largest: float) -> _Brake:
    """The quickest way of one value to rest (velocity and acceleration zero) with jerk of at most `jerk` and
    acceleration of at most `largest`, in units of the value per s^3 and s^2.

    The velocity is led to zero by an acceleration that ramps to a peak, stays there, and ramps back: the same
    problem as reaching a position with bounded velocity and acceleration, one derivative higher. An
    acceleration that begins outside of `largest` is first brought inside at full jerk."""
    phases: list[tuple[float, float]] = []
    v, a = velocity, acceleration
    if abs(a) > largest:
        back = -math.copysign(jerk, a)
        seconds = (abs(a) - largest) / jerk
        phases.append((seconds, back))
        v += seconds * (a + seconds * back / 2)
        a = math.copysign(largest, a)
    # What the velocity becomes if the acceleration goes to zero at once says which way to push.
    rest = v + a * abs(a) / (2 * jerk)
    side = -1.0 if rest > 0 else 1.0
    v, a = side * v, side * a
    # Push towards +: a -> peak -> 0. The gain of velocity is (2 peak^2 - a^2) / 2 jerk = -v.
    peak = math.sqrt(max(a * a / 2 - jerk * v, 0.0))
    hold = 0.0
    if peak > largest:
        hold = (-v - (2 * largest * largest - a * a) / (2 * jerk)) / largest
        peak = largest
    phases += [
        (max(peak - a, 0.0) / jerk, side * jerk),
        (max(hold, 0.0), 0.0),
        (peak / jerk, -side * jerk),
    ]
    return _Brake(position, velocity, acceleration, tuple(phases))


def _motion(recent: Sequence[Array], period: float) -> tuple[Array, Array, Array]:
    """Position, velocity and acceleration at the last command, by differences."""
    last = np.asarray(recent[-1], np.float64)
    velocity = (last - recent[-2]) / period if len(recent) > 1 else np.zeros_like(last)
    before = (recent[-2] - recent[-3]) / period if len(recent) > 2 else velocity
    return last, velocity, (velocity - before) / period


class JerkLimitedStop:
    """Each position brakes by itself within `jerk` and `acceleration`, in units of the command per s^3 and
    s^2: one number for all, or an array of one for each. Velocity and acceleration at the start are
    differences of the last commands."""

    def __init__(self, jerk: float | Array, acceleration: float | Array):
        if not (np.all(np.asarray(jerk) > 0) and np.all(np.asarray(acceleration) > 0)):
            raise LinkError(
                f"a stop with a jerk of {jerk} and an acceleration of {acceleration} never comes to rest",
                "Give positive limits.",
            )
        self._jerk, self._acceleration = jerk, acceleration
        self._brakes: list[_Brake] = []

    def begin(self, recent: Sequence[Array], period: float) -> None:
        """Plan the stop from the last commands."""
        last, velocity, acceleration = _motion(recent, period)
        jerks = np.broadcast_to(self._jerk, last.shape)
        largest = np.broadcast_to(self._acceleration, last.shape)
        self._brakes = [
            brake(float(p), float(v), float(a), jerk=float(j), largest=float(m))
            for p, v, a, j, m in zip(last, velocity, acceleration, jerks, largest)
        ]

    def command(self, elapsed: float) -> Array:
        """Positions `elapsed` seconds after the start."""
        return np.array([each.at(elapsed)[0] for each in self._brakes])

    def duration(self) -> float:
        """Seconds until all rest."""
        return max((each.seconds for each in self._brakes), default=0.0)


class RobotStop:
    """All joints of a robot brake to rest, and where one would rest outside of `lower` and `upper` (as
    `Robot.limits` of `anychip.robot`, infinite where there is none), it alone brakes harder: by the first of
    `factors` on acceleration and jerk that keeps it inside, or the last one. Units are the joints', s^-2 and
    s^-3; arrays are (joints,). Kernels are compiled when the object is made, never in a stop. Raises
    LinkError for limits that allow no stop. Needs `anychip.robot`."""

    def __init__(
        self,
        jerk: float | Array,
        acceleration: float | Array,
        lower: Array,
        upper: Array,
        factors: Sequence[float] = (1.0, 1.5, 2.0, 3.0),
    ):
        shape = np.shape(lower)
        if len(shape) != 1 or np.shape(upper) != shape or not np.all(np.asarray(lower) <= upper):
            raise LinkError(
                f"limits of shapes {shape} and {np.shape(upper)} leave no position of the joints",
                "Give a lower and an upper limit for each joint.",
            )
        steps = np.asarray(factors, np.float64)[:, None]
        jerks, largest = (np.broadcast_to(x, shape) * steps for x in (jerk, acceleration))
        if not (jerks.size and np.all(jerks > 0) and np.all(largest > 0)):
            raise LinkError(
                f"a stop with a jerk of {jerk}, an acceleration of {acceleration} and factors {factors} "
                f"never comes to rest",
                "Give positive limits and factors.",
            )
        self._lower, self._upper = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
        self._jerks, self._largest = _tensor(jerks), _tensor(largest)
        self.inside: Array = np.ones(shape, bool)
        """Which joints come to rest within their limits, of the last stop that was planned."""
        self._start: tuple[torch.Tensor, ...] = ()
        self._seconds = 0.0
        self.begin([np.clip(np.zeros(shape), self._lower, self._upper)], 1.0)
        self.command(0.0)

    def begin(self, recent: Sequence[Array], period: float) -> None:
        """Plan the stop from the last commands, (joints,) each."""
        from .. import robot

        p, v, a = map(_tensor, _motion(recent, period))
        if p.shape != self._lower.shape:
            raise LinkError(
                f"a command has shape {tuple(p.shape)}, the limits {self._lower.shape}",
                "Make the stop with a limit for each number of a command.",
            )
        durations, jerks = robot.jerk_limited_stop(v, a, self._largest, self._jerks)
        seconds = durations.sum(-1)
        rest = robot.phase_state(p, v, a, durations, jerks, seconds)[0].numpy()
        inside = (rest >= self._lower) & (rest <= self._upper)
        # The first of the factors that keeps a joint inside; the last one where none does.
        chosen = np.where(inside.any(0), inside.argmax(0), len(inside) - 1)
        joints = np.arange(len(chosen))
        self.inside = inside.any(0)
        self._start = (p, v, a, durations[chosen, joints], jerks[chosen, joints])
        self._seconds = float(seconds[chosen, joints].max())

    def command(self, elapsed: float) -> Array:
        """Positions (joints,) `elapsed` seconds after the start."""
        from .. import robot

        return robot.phase_state(*self._start, _tensor(elapsed))[0].numpy()

    def duration(self) -> float:
        """Seconds until all rest."""
        return self._seconds


def _tensor(x: float | Array) -> torch.Tensor:
    import torch

    return torch.tensor(x, dtype=torch.float64)
