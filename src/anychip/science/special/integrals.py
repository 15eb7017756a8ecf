"""Exponential, sine and cosine integrals and the dilogarithm under SciPy's names."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .function import recorded, special
from .integrals_kernels import (
    cosine_integral,
    dilogarithm,
    exponential,
    exponential_first,
    sine_integral,
)

EULER = 0.5772156649015329

# ---- names ----------------------------------------------------------------------------------------


def _of_quotient(x: torch.Tensor) -> torch.Tensor:
    """log(x) / (1 - x)."""
    one = x == 1
    return torch.where(one, -1.0, x.log() / torch.where(one, 1.0, 1 - x))


exp1 = special(
    "exp1",
    exponential_first,
    ("x",),
    "The exponential integral E_1 of x > 0.",
    (lambda x: -torch.exp(-x) / x,),
)
expi = special("expi", exponential, ("x",), "The exponential integral Ei.", (lambda x: x.exp() / x,))
spence = special(
    "spence", dilogarithm, ("z",), "Spence's integral, the dilogarithm of 1 - z.", (_of_quotient,)
)
_si = special("si", sine_integral, ("x",), "The sine integral.", (lambda x: torch.sinc(x / torch.pi),))
_ci = special("ci", cosine_integral, ("x",), "The cosine integral.", (lambda x: x.cos() / x,))


def sici(x: Any) -> tuple[Any, Any]:
    """The sine and the cosine integral of x (the latter of |x|). Differentiable. float32, float64; integers
    in double. Raises InvalidType for complex numbers."""
    return _si(x), _ci(x)


# ---- records --------------------------------------------------------------------------------------


def _entire(x: torch.Tensor) -> torch.Tensor:
    """The sum of x^k / (k k!)."""
    term, total = torch.ones_like(x), torch.zeros_like(x)
    for k in range(1, 50):
        term = term * x / k
        total = total + term / k
    return total


def _ei(x: torch.Tensor) -> torch.Tensor:
    return EULER + x.abs().log() + _entire(x)


def _e1(x: torch.Tensor) -> torch.Tensor:
    """The integral of exp(-x t) / (1 + t), times exp(-x), in the logarithm of t."""
    t = torch.exp(torch.arange(-45, 8, 0.0625, dtype=torch.float64))
    return torch.exp(-x) * 0.0625 * (t * torch.exp(-x[..., None] * t) / (1 + t)).sum(-1)


def _sici(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    turned = _entire(torch.complex(torch.zeros_like(x), x))
    return turned.imag, EULER + x.abs().log() + turned.real


def _spence(z: torch.Tensor) -> torch.Tensor:
    places, weights = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(60))
    t = 1 + 0.5 * (z[..., None] - 1) * (places + 1)
    return 0.5 * (z - 1) * (t.log() / (1 - t) * weights).sum(-1)


recorded(exp1, "exponential integrals", _e1, ((0.2, 5.0),), calm=(0.0625,))
recorded(expi, "exponential integrals", _ei, ((1.0, 6.0),), calm=(1.0,))
recorded(sici, "exponential integrals", _sici, ((1.0, 5.5),))
recorded(spence, "exponential integrals", _spence, ((1.1, 4.0),), tolerance=2.0, calm=(1.25,))
