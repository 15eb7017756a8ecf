"""Plain compositions of PyTorch for motions in phases of constant jerk: what proofs compare with. The peak of
a motion is found by halving alone, in velocities and not in the operators' unknown; derivatives come from a
last step of Newton's method."""

from __future__ import annotations

import torch

Tensor = torch.Tensor


def _after(p: Tensor, v: Tensor, a: Tensor, t: Tensor, j: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return p + t * v + t**2 * a / 2 + t**3 * j / 6, v + t * a + t**2 * j / 2, a + t * j


def _moved(
    p: Tensor, v: Tensor, a: Tensor, durations: Tensor, jerks: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    for t, j in zip(durations.unbind(-1), jerks.unbind(-1), strict=True):
        p, v, a = _after(p, v, a, t, j)
    return p, v, a


def _root(x: Tensor) -> Tensor:
    return torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0)


def _ramp(v: Tensor, a: Tensor, goal: Tensor, largest: Tensor, jerk: Tensor) -> tuple[Tensor, Tensor]:
    """Durations and jerks (..., 3) to a velocity."""
    sign = torch.where(goal - v - a * a.abs() / (2 * jerk) > 0, 1.0, -1.0).to(v.dtype)
    a = sign * a
    square = a**2 / 2 + jerk * sign * (goal - v)
    peak = torch.minimum(_root(square), largest)
    hold = (square - largest**2).clamp(min=0) / (jerk * largest)
    durations = torch.stack(((peak - a).clamp(min=0) / jerk, hold, peak / jerk), -1)
    return durations, torch.stack((sign * jerk, torch.zeros_like(a), -sign * jerk), -1)


def _within(v: Tensor, a: Tensor, largest: Tensor, jerk: Tensor) -> tuple[Tensor, Tensor]:
    back = torch.where(a > 0, -jerk, jerk)
    return ((a.abs() - largest).clamp(min=0) / jerk)[..., None], back[..., None]


def jerk_limited_stop(v: Tensor, a: Tensor, largest: Tensor, jerk: Tensor) -> tuple[Tensor, Tensor]:
    """As the operator."""
    v, a, largest, jerk = torch.broadcast_tensors(v, a, largest, jerk)
    first = _within(v, a, largest, jerk)
    _, v, a = _moved(torch.zeros_like(v), v, a, *first)
    rest = _ramp(v, a, torch.zeros_like(v), largest, jerk)
    return torch.cat((first[0], rest[0]), -1), torch.cat((first[1], rest[1]), -1)


def jerk_limited_motion(
    distance: Tensor, v: Tensor, a: Tensor, goal: Tensor, fastest: Tensor, largest: Tensor, jerk: Tensor
) -> tuple[Tensor, Tensor]:
    """As the operator, for states that need not leave the limits of velocity."""
    distance, v, a, goal, fastest, largest, jerk = torch.broadcast_tensors(
        distance, v, a, goal, fastest, largest, jerk
    )
    nothing = torch.zeros_like(v)
    first = _within(v, a, largest, jerk)
    p, v, a = _moved(nothing, v, a, *first)
    distance = distance - p
    empty = torch.zeros(*v.shape, 3, dtype=v.dtype)
    direct = _moved(nothing, v, a, *_ramp(v, a, goal, largest, jerk))[0]
    sign = torch.where(distance < direct, -1.0, 1.0).to(v.dtype)
    distance, v, a, goal = (sign * x for x in (distance, v, a, goal))

    def beyond(peak: Tensor) -> Tensor:
        there = _moved(nothing, v, a, *_ramp(v, a, peak, largest, jerk))[0]
        back = _moved(there, peak, nothing, *_ramp(peak, nothing, goal, largest, jerk))[0]
        return back - distance

    low = torch.maximum(v + a * a.abs() / (2 * jerk), goal).detach()
    high = fastest.detach()
    left = -beyond(fastest)
    with torch.no_grad():
        for _ in range(80):
            middle = (low + high) / 2
            short = beyond(middle) < 0
            low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    step = 1e-6
    slope = ((beyond(low + step) - beyond(low - step)) / (2 * step)).detach()
    peak = torch.where(left > 0, fastest, low - beyond(low) / slope)
    there, back = _ramp(v, a, peak, largest, jerk), _ramp(peak, nothing, goal, largest, jerk)
    cruise = (torch.where(left > 0, left, 0.0) / fastest)[..., None]
    back_jerks = torch.ones_like(empty) * jerk[..., None] * torch.tensor([-1.0, 0.0, 1.0], dtype=v.dtype)
    jerks = sign[..., None] * torch.cat((there[1], nothing[..., None], back_jerks), -1)
    durations = torch.cat((first[0], empty, there[0], cruise, back[0]), -1)
    return durations, torch.cat((first[1], empty, jerks), -1)


def phase_state(
    p: Tensor, v: Tensor, a: Tensor, durations: Tensor, jerks: Tensor, time: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """As the operator."""
    left = time.clamp(min=0)
    over = left > durations.sum(-1)
    for each, jerk in zip(durations.unbind(-1), jerks.unbind(-1), strict=True):
        spent = torch.where(left < each, left, each)  # one of them has the gradient where they are equal
        p, v, a = _after(p, v, a, spent, jerk)
        left = left - spent
    return p + left * v, v, torch.where(over, 0.0, a)
