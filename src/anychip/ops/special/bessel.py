"""Bessel functions of orders 0 and 1, of the first and second kind, plain, modified and scaled, and the
spherical one of order 0. DLMF 10.31 (series of K), 10.40 (I for large arguments)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..pointwise import TILES, Pointwise, Promotion
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, tensor
from .chebyshev import K0, K1, chebyshev_sum
from .references import scipy_special

TERMS = 11
HARMONIC = tuple(sum((Fraction(1, j) for j in range(1, k + 1)), Fraction(0)) for k in range(TERMS + 1))


def _descending(terms: list[Fraction]) -> tl.constexpr:
    return tl.constexpr(tuple(float(term) for term in reversed(terms)))


I0_SERIES = _descending([Fraction(1, math.factorial(k) ** 2) for k in range(TERMS)])
K0_SERIES = _descending([HARMONIC[k] / math.factorial(k) ** 2 for k in range(TERMS)])
I1_SERIES = _descending([Fraction(1, math.factorial(k) * math.factorial(k + 1)) for k in range(TERMS)])
K1_SERIES = _descending(
    [(HARMONIC[k] + HARMONIC[k + 1]) / (math.factorial(k) * math.factorial(k + 1)) for k in range(TERMS)]
)
"""Coefficients of powers of (x / 2)^2, the highest first."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def power_sum(x, COEFFICIENTS):
    """Horner's rule, the highest power first."""
    value = tl.where(x == x, 0, 0).to(x.dtype)
    for k in tl.static_range(len(COEFFICIENTS)):
        value = value * x + COEFFICIENTS[k]
    return value


@triton.jit
def bessel_j0(x):
    return libdevice.j0(x)


@triton.jit
def bessel_j1(x):
    return libdevice.j1(x)


@triton.jit
def bessel_y0(x):
    return libdevice.y0(x)


@triton.jit
def bessel_y1(x):
    return libdevice.y1(x)


@triton.jit
def modified_i0(x):
    return libdevice.cyl_bessel_i0(x)


@triton.jit
def modified_i1(x):
    return libdevice.cyl_bessel_i1(x)


@triton.jit
def asymptotic_i(x, ORDER):
    """exp(-x) I(x) for x > 30, by twelve terms of Hankel's expansion."""
    term = tl.where(x == x, 1, 1).to(x.dtype)
    total = term
    inverse = 0.125 / x
    for k in tl.static_range(1, 13):
        term = term * inverse * (((2 * k - 1) * (2 * k - 1) - 4.0 * ORDER * ORDER) / k)
        total += term
    return total * tl.sqrt(inverse * 1.2732395447351628)


@triton.jit
def scaled_i0(x):
    magnitude = tl.abs(x)
    large = magnitude > 30.0
    near = tl.where(large, 1.0, magnitude)
    small = tl.exp(-near) * libdevice.cyl_bessel_i0(near)
    return tl.where(large, asymptotic_i(magnitude, 0), small)


@triton.jit
def scaled_i1(x):
    magnitude = tl.abs(x)
    large = magnitude > 30.0
    near = tl.where(large, 1.0, magnitude)
    small = tl.exp(-near) * libdevice.cyl_bessel_i1(near)
    value = tl.where(large, asymptotic_i(magnitude, 1), small)
    return tl.where(x < 0, -value, value)


@triton.jit
def small_k0(x):
    """K0(x) for 0 < x < 1."""
    square = x * x * 0.25
    logarithm = tl.log(x * 0.5) + 0.5772156649015329
    return power_sum(square, K0_SERIES) - logarithm * power_sum(square, I0_SERIES)


@triton.jit
def small_k1(x):
    """K1(x) for 0 < x < 1."""
    square = x * x * 0.25
    logarithm = tl.log(x * 0.5) + 0.5772156649015329
    tail = logarithm * power_sum(square, I1_SERIES) - 0.5 * power_sum(square, K1_SERIES)
    return 1.0 / x + x * 0.5 * tail


@triton.jit
def outside(x, value):
    """K's values where it has no series: infinite at zero, undefined below."""
    value = tl.where(x == 0, float("inf"), value)
    return tl.where(x == x, tl.where(x < 0, float("nan"), value), x)


@triton.jit
def modified_k0(x):
    large = tl.where(x >= 1.0, x, 1.0)
    decay = chebyshev_sum(2.0 / large - 1.0, K0, 12) * tl.exp(-large) / tl.sqrt(large)
    return outside(x, tl.where(x >= 1.0, decay, small_k0(x)))


@triton.jit
def modified_k1(x):
    large = tl.where(x >= 1.0, x, 1.0)
    decay = chebyshev_sum(2.0 / large - 1.0, K1, 12) * tl.exp(-large) / tl.sqrt(large)
    return outside(x, tl.where(x >= 1.0, decay, small_k1(x)))


@triton.jit
def scaled_k0(x):
    large = tl.where(x >= 1.0, x, 1.0)
    decay = chebyshev_sum(2.0 / large - 1.0, K0, 12) / tl.sqrt(large)
    return outside(x, tl.where(x >= 1.0, decay, small_k0(x) * tl.exp(x)))


@triton.jit
def scaled_k1(x):
    large = tl.where(x >= 1.0, x, 1.0)
    decay = chebyshev_sum(2.0 / large - 1.0, K1, 12) / tl.sqrt(large)
    return outside(x, tl.where(x >= 1.0, decay, small_k1(x) * tl.exp(x)))


@triton.jit
def spherical_j0(x):
    """sin(x) / x."""
    value = tl.where(x == 0, 1.0, tl.sin(x) / x)
    return tl.where(tl.abs(x) == float("inf"), 0.0, value)


# ---- record ---------------------------------------------------------------------------------------

PRECISE = (torch.float32, torch.float64)
FAMILY: dict[str, tuple[Any, tuple[torch.dtype, ...], float, float]] = {
    "i0": (modified_i0, FLOATING, -6.0, 6.0),
    "special_i0e": (scaled_i0, FLOATING, -60.0, 60.0),
    "special_i1": (modified_i1, PRECISE, -6.0, 6.0),
    "special_i1e": (scaled_i1, PRECISE, -60.0, 60.0),
    "special_modified_bessel_i0": (modified_i0, PRECISE, -6.0, 6.0),
    "special_modified_bessel_i1": (modified_i1, PRECISE, -6.0, 6.0),
    "special_modified_bessel_k0": (modified_k0, PRECISE, 0.1, 9.0),
    "special_modified_bessel_k1": (modified_k1, PRECISE, 0.1, 9.0),
    "special_scaled_modified_bessel_k0": (scaled_k0, PRECISE, 0.1, 30.0),
    "special_scaled_modified_bessel_k1": (scaled_k1, PRECISE, 0.1, 30.0),
    "special_bessel_j0": (bessel_j0, PRECISE, -20.0, 20.0),
    "special_bessel_j1": (bessel_j1, PRECISE, -20.0, 20.0),
    "special_bessel_y0": (bessel_y0, PRECISE, 0.1, 20.0),
    "special_bessel_y1": (bessel_y1, PRECISE, 0.1, 20.0),
    "special_spherical_bessel_j0": (spherical_j0, PRECISE, -9.0, 9.0),
}
"""Overload, its function, the types that PyTorch has it for, and the range of its samples."""


SCIPY_NAMES = {
    "special_bessel_j0": "j0",
    "special_bessel_j1": "j1",
    "special_bessel_y0": "y0",
    "special_bessel_y1": "y1",
}
"""Functions whose oracle is SciPy."""


def _record(name: str, function: Any, dtypes: tuple[torch.dtype, ...], low: float, high: float) -> None:
    def samples(dtype: torch.dtype) -> Iterable[Sample]:
        for shape in ((33,), (), (0, 3)):
            yield Sample((tensor(shape, dtype, low, high),))
        yield Sample((next(layouts(tensor((3, 4, 5), dtype, low, high))),))
        yield Sample((torch.tensor([0.0, float("nan"), 0.5, 1.0, 2.0, 8.0], dtype=dtype),))

    register(
        Operator(
            name=name,
            overloads=(
                Overload(
                    name,
                    Pointwise(function, Promotion.INT_TO_FLOAT),
                    samples,
                    reference=scipy_special(SCIPY_NAMES[name]) if name in SCIPY_NAMES else None,
                ),
            ),
            kernels=(flat_kernel, tiled_kernel),
            dtypes=dtypes,
            differentiable=name in ("i0", "special_i0e", "special_i1", "special_i1e"),
            tiles=TILES,
            benchmarks=(Benchmark(name, lambda dtype: Sample((tensor((1024, 1024), dtype, low, high),))),),
            tolerance=8.0,  # arguments up to 60 carry their rounding into exponentials and angles
        )
    )


for _name, (_function, _dtypes, _low, _high) in FAMILY.items():
    _record(_name, _function, _dtypes, _low, _high)
