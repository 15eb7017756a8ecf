"""Operators of motions in phases of constant jerk, each joint by itself: to rest, to a position, and where a
joint is at a time. Flows in: batches of states and limits. Flows out: durations and jerks of phases, which
`phase_state` evaluates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ...ops.errors import ArgumentError
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import Formula
from ..formulas.graph import Number, Scalar, minimum, select, sub
from ..formulas.small import total
from ..registry import register_formulas
from . import plain
from .ramps import Phase, after, to_position, to_rest

STOP_PHASES, MOTION_PHASES = 4, 11


def _lists(phases: Sequence[Phase]) -> list[list[Number]]:
    return [[seconds for seconds, _ in phases], [jerk for _, jerk in phases]]


_STOP = Formula(
    "jerk_limited_stop",
    lambda v, a, largest, jerk: _lists(to_rest(v, a, largest, jerk)),
    [()] * 4,
    [(STOP_PHASES,)] * 2,
)
_MOTION = Formula("jerk_limited_motion", lambda *x: _lists(to_position(*x)), [()] * 7, [(MOTION_PHASES,)] * 2)


def _state(
    p: Number, v: Number, a: Number, seconds: Sequence[Number], jerks: Sequence[Number], t: Any
) -> Any:
    """The state at t, which is held at 0 before the start."""
    left = select(t > 0.0, t, 0.0)
    begun = left
    for each, jerk in zip(seconds, jerks, strict=True):
        spent = minimum(left, each)
        p, v, a = after((p, v, a), spent, jerk)
        left = sub(left, spent)
    ended = total(seconds)
    over = ended < begun if isinstance(ended, Scalar) else 0.0
    p, v, a = p + left * v, v, select(over, 0.0, a)
    return [p, v, a]


_STATES = {
    count: Formula(f"phase_state_{count}", _state, [(), (), (), (count,), (count,), ()], [()] * 3)
    for count in (STOP_PHASES, MOTION_PHASES)
}


def jerk_limited_stop(
    velocity: torch.Tensor,
    acceleration: torch.Tensor,
    max_acceleration: torch.Tensor,
    max_jerk: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The quickest way to rest within limits, all (...) in units of the joint and seconds, limits above 0:
    durations (..., 4) in seconds and jerks (..., 4) of phases for `phase_state`. An acceleration beyond its
    limit is first brought back. Differentiable."""
    return _STOP(velocity, acceleration, max_acceleration, max_jerk)  # type: ignore[no-any-return]


def jerk_limited_motion(
    distance: torch.Tensor,
    velocity: torch.Tensor,
    acceleration: torch.Tensor,
    target_velocity: torch.Tensor,
    max_velocity: torch.Tensor,
    max_acceleration: torch.Tensor,
    max_jerk: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The quickest way over a distance from a velocity and an acceleration to a target velocity without
    acceleration, all (...) in units of the joint and seconds; limits are above 0, the target velocity within
    its own: durations (..., 11) in seconds and jerks (..., 11) of phases for `phase_state`. A state that must
    leave the limits is first led back to the largest velocity, which costs more time than is needed at
    least. Differentiable."""
    return _MOTION(  # type: ignore[no-any-return]
        distance, velocity, acceleration, target_velocity, max_velocity, max_acceleration, max_jerk
    )


def phase_state(
    position: torch.Tensor,
    velocity: torch.Tensor,
    acceleration: torch.Tensor,
    durations: torch.Tensor,
    jerks: torch.Tensor,
    time: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Position, velocity and acceleration (...) at a time (...) after a start in such a state, by phases
    (..., 4 or 11) of constant jerk. Before the start it is the start's state; after the end the velocity
    stays. Differentiable."""
    count = durations.shape[-1] if durations.dim() else 0
    if count not in _STATES:
        raise ArgumentError(
            f"phase_state: durations are {tuple(durations.shape)}; the last dimension must be "
            f"{STOP_PHASES} (of a stop) or {MOTION_PHASES} (of a motion)"
        )
    return _STATES[count](position, velocity, acceleration, durations, jerks, time)  # type: ignore[no-any-return]


# ---- records -----------------------------------------------------------------------------------------


def _of(dtype: torch.dtype, *ranges: tuple[float, float], rows: int = 70) -> list[torch.Tensor]:
    return [tensor((rows,), dtype, low, high, seed) for seed, (low, high) in enumerate(ranges)]


def _stops(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample(tuple(_of(dtype, (-1, 1), (-0.9, 0.9), (1, 2), (2, 5))))
    yield Sample(tuple(_of(dtype, (-3, 3), (-3, 3), (1, 2), (2, 5), rows=9)))


def _motions(dtype: torch.dtype) -> Iterable[Sample]:
    limits = ((1.0, 1.5), (1, 2), (2, 5))
    yield Sample(tuple(_of(dtype, (-4, 4), (-0.3, 0.3), (-0.3, 0.3), (-0.5, 0.5), *limits)))
    still = torch.zeros(7, dtype=dtype)
    yield Sample((tensor((7,), dtype, 0.1, 3.0), still, still, still, *_of(dtype, *limits, rows=7)))


def _states(dtype: torch.dtype) -> Iterable[Sample]:
    for sample, lead in ((next(iter(_stops(dtype))), ()), (next(iter(_motions(dtype))), (1,))):
        given = sample.arguments[len(lead) :]
        made = plain.jerk_limited_motion if lead else plain.jerk_limited_stop
        durations, jerks = (x.to(dtype) for x in made(*(x.double() for x in sample.arguments)))
        times = tensor((70,), dtype, -0.2, 6.0, seed=9)
        yield Sample((tensor((70,), dtype), *given[:2], durations, jerks, times))


for _name, _function, _plain, _samples, _formulas in (
    ("jerk_limited_stop", jerk_limited_stop, plain.jerk_limited_stop, _stops, [_STOP]),
    ("jerk_limited_motion", jerk_limited_motion, plain.jerk_limited_motion, _motions, [_MOTION]),
    ("phase_state", phase_state, plain.phase_state, _states, list(_STATES.values())),
):
    register_formulas(_name, "timing", _function, _plain, _samples, _formulas)
