"""Poisson's equation on a grid by transforms: the second differences along each axis are diagonal in waves of
its kind. Flows in: the right side [...]. Flows out: the solution, with a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import fft
from ..arrays import inexact, taken
from ..errors import InvalidType, InvalidValue


class _Ends(NamedTuple):
    """A transform with its inverse, and the angles of its waves from one of n points to the next."""

    forward: Callable[[Any, int], Any]
    inverse: Callable[[Any, int], Any]
    angles: Callable[[int], np.ndarray]


def _sines(x: Any, axis: int) -> Any:
    return fft.dst(x, 1, axis=axis)


def _of_sines(x: Any, axis: int) -> Any:
    return fft.idst(x, 1, axis=axis)


def _cosines(x: Any, axis: int) -> Any:
    return fft.dct(x, 2, axis=axis)


def _of_cosines(x: Any, axis: int) -> Any:
    return fft.idct(x, 2, axis=axis)


def _waves(x: Any, axis: int) -> Any:
    return fft.fft(x, axis=axis)


def _of_waves(x: Any, axis: int) -> Any:
    return fft.ifft(x, axis=axis)


ENDS = {
    "zero": _Ends(_sines, _of_sines, lambda n: math.pi * np.arange(1, n + 1) / (n + 1)),
    "insulated": _Ends(_cosines, _of_cosines, lambda n: math.pi * np.arange(n) / n),
    "periodic": _Ends(_waves, _of_waves, lambda n: 2 * math.pi * np.arange(n) / n),
}


def solve_poisson(f: Any, spacing: float | Sequence[float] = 1.0, ends: str = "zero") -> Any:
    """u [...] of which the negative sum of second differences along all axes, by the square of the `spacing`
    (one or one an axis), is f [...]. Beyond the grid u is "zero" (one point further), as at its last point
    ("insulated"), or repeats ("periodic"); of the latter two u is that of mean zero, and f's mean does not
    count. Differentiable. float32, float64. Raises InvalidValue, InvalidType."""
    given, restore = taken(f, "f")
    right = inexact(given)
    if right.is_complex():
        raise InvalidType("f is complex, which is not served", "Solve for both parts by themselves.")
    if ends not in ENDS or right.ndim < 1 or not right.numel():
        raise InvalidValue(
            f"f must be a grid, not of the shape {tuple(right.shape)}, and ends one of {', '.join(ENDS)}, "
            f"not {ends!r}"
        )
    steps = np.broadcast_to(np.asarray(spacing, dtype=np.float64), (right.ndim,))
    if not bool((steps > 0).all()):
        raise InvalidValue(f"spacing must be above 0, not {spacing}")
    kind, total = ENDS[ends], torch.zeros((), dtype=torch.float64, device=right.device)
    for axis, n in enumerate(right.shape):
        value = (2 - 2 * np.cos(kind.angles(n))) / steps[axis] ** 2
        shape = [n if other == axis else 1 for other in range(right.ndim)]
        total = total + torch.from_numpy(value).to(right.device).reshape(shape)
    for axis in range(right.ndim):
        right = kind.forward(right, axis)
    whole = total > 1e-300
    right = right * torch.where(whole, 1 / torch.where(whole, total, 1.0), 0.0).to(right.real.dtype)
    for axis in range(right.ndim):
        right = kind.inverse(right, axis)
    return restore(right.real if right.is_complex() else right)
