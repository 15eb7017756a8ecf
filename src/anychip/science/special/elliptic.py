"""Elliptic integrals under SciPy's names, with derivatives in terms of one another (DLMF 19.4, 19.18)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from .elliptic_kernels import (
    complete_first,
    complete_first_from,
    complete_second,
    degenerate,
    incomplete_first,
    incomplete_second,
    symmetric_first,
    symmetric_second,
)
from .function import recorded, special

# ---- names ----------------------------------------------------------------------------------------

elliprd = special(
    "elliprd",
    symmetric_second,
    ("x", "y", "z"),
    "Carlson's integral R_D of x, y, z that are not negative.",
    (None, None, None),
)
elliprf = special(
    "elliprf",
    symmetric_first,
    ("x", "y", "z"),
    "Carlson's integral R_F of x, y, z that are not negative.",
    (
        lambda x, y, z: -elliprd(y, z, x) / 6,
        lambda x, y, z: -elliprd(x, z, y) / 6,
        lambda x, y, z: -elliprd(x, y, z) / 6,
    ),
)
elliprc = special(
    "elliprc", degenerate, ("x", "y"), "Carlson's integral R_C, R_F(x, y, y) for y > 0.", (None, None)
)
ellipkm1 = special(
    "ellipkm1",
    complete_first_from,
    ("p",),
    "The complete elliptic integral K of the parameter 1 - p.",
    (lambda p: -elliprd(torch.zeros_like(p), torch.ones_like(p), p) / 6,),
)
ellipk = special(
    "ellipk",
    complete_first,
    ("m",),
    "The complete elliptic integral K of the parameter m.",
    (lambda m: elliprd(torch.zeros_like(m), torch.ones_like(m), 1 - m) / 6,),
)
ellipe = special(
    "ellipe",
    complete_second,
    ("m",),
    "The complete elliptic integral E of the parameter m.",
    (lambda m: -elliprd(torch.zeros_like(m), 1 - m, torch.ones_like(m)) / 6,),
)


def _reduced(phi: torch.Tensor, m: torch.Tensor) -> tuple[torch.Tensor, ...]:
    turns = torch.floor(phi / math.pi + 0.5)
    rest = phi - turns * math.pi
    s, c = rest.sin(), rest.cos()
    return turns, s, c * c, 1 - m * s * s, torch.ones_like(s)


def _first_by_m(phi: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    turns, s, cc, under, one = _reduced(phi, m)
    whole = turns * elliprd(torch.zeros_like(m), torch.ones_like(m), 1 - m) / 3
    return s**3 / 6 * elliprd(cc, one, under) + torch.where(turns == 0, 0.0, whole)


def _second_by_m(phi: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
    turns, s, cc, under, one = _reduced(phi, m)
    whole = -turns * elliprd(torch.zeros_like(m), 1 - m, torch.ones_like(m)) / 3
    return -(s**3) / 6 * elliprd(cc, under, one) + torch.where(turns == 0, 0.0, whole)


ellipkinc = special(
    "ellipkinc",
    incomplete_first,
    ("phi", "m"),
    "The incomplete elliptic integral F of the amplitude phi and the parameter m.",
    (lambda phi, m: (1 - m * phi.sin() ** 2).rsqrt(), _first_by_m),
)
ellipeinc = special(
    "ellipeinc",
    incomplete_second,
    ("phi", "m"),
    "The incomplete elliptic integral E of the amplitude phi and the parameter m.",
    (lambda phi, m: (1 - m * phi.sin() ** 2).sqrt(), _second_by_m),
)

# ---- records --------------------------------------------------------------------------------------


def _legendre(power: float) -> Callable[..., torch.Tensor]:
    """The integral of (1 - m sin^2) ^ power from 0 to phi, by sixty points of Gauss and Legendre."""
    places, weights = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(60))

    def reference(phi: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        angle = 0.5 * phi[..., None] * (places + 1)
        return 0.5 * phi * ((1 - m[..., None] * angle.sin() ** 2) ** power * weights).sum(-1)

    return reference


def _complete(power: float) -> Callable[..., torch.Tensor]:
    return lambda m: _legendre(power)(torch.full_like(m, math.pi / 2), m)


def _symmetric(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """The defining integral in the logarithm of its variable, by sums, which converge exponentially."""
    t = torch.exp(torch.arange(-80, 80, 0.25, dtype=torch.float64))
    roots = ((t + x[..., None]) * (t + y[..., None]) * (t + z[..., None])).sqrt()
    return 0.5 * 0.25 * (t / roots).sum(-1)


for _function, _reference, _ranges, _tolerance in (
    (elliprf, _symmetric, ((0.1, 3.0), (0.2, 4.0), (0.5, 2.0)), 1.0),
    (ellipk, _complete(-0.5), ((-3.0, 0.7),), 2.0),
    (ellipe, _complete(0.5), ((-3.0, 0.7),), 4.0),
    (ellipkm1, lambda p: _complete(-0.5)(1 - p), ((0.3, 4.0),), 2.0),
    (ellipkinc, _legendre(-0.5), ((-1.4, 1.4), (-2.0, 0.7)), 1.0),
    (ellipeinc, _legendre(0.5), ((-1.4, 1.4), (-2.0, 0.7)), 1.0),
):
    recorded(_function, "elliptic integrals", _reference, _ranges, tolerance=_tolerance)
