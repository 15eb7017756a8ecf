"""Steps that keep the energy of a separable system near its value for long times (Stoermer and Verlet)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..arrays import inexact, taken
from ..errors import InvalidValue
from .combination import combined


def leapfrog(
    force: Callable[[Any], Any], q: Any, v: Any, h: float, steps: int, mass: float = 1.0
) -> tuple[Any, Any]:
    """Positions and velocities of the same shape as q after `steps` steps of `h` by velocities half a step
    apart: d2q/dt2 = force(q) / mass. Differentiable through every step. float32, float64. Raises
    InvalidValue."""
    given, restore = taken(q, "q")
    place = inexact(given)
    shape = place.shape
    speed = inexact(taken(v, "v")[0]).to(place.dtype)
    if speed.shape != shape:
        raise InvalidValue(f"q has the shape {tuple(shape)} and v {tuple(speed.shape)}")
    place, speed = place.reshape(-1), speed.reshape(-1)

    def push(x: torch.Tensor) -> torch.Tensor:
        return taken(force(restore(x.reshape(shape))), "force")[0].to(x.dtype).reshape(-1)

    pull = push(place)
    for _ in range(steps):
        half = combined(speed, [0.5 * h / mass], [pull])
        place = combined(place, [h], [half])
        pull = push(place)
        speed = combined(half, [0.5 * h / mass], [pull])
    return restore(place.reshape(shape)), restore(speed.reshape(shape))
