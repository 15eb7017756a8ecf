"""The gamma function's relatives: lgamma, mvlgamma, digamma, polygamma and Hurwitz's zeta function.
Asymptotic series after the argument was raised by recurrence, and reflection below zero.
DLMF 5.5, 5.11 and 5.15 (digamma, polygamma), 25.11 (zeta, by Euler and Maclaurin's summation)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import ArgumentError
from ..pointwise import TILES, Pointwise, Promotion, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .references import scipy_special

FLOAT = Promotion.INT_TO_FLOAT

BERNOULLI = tuple(
    Fraction(numerator, denominator)
    for numerator, denominator in (
        (1, 6),
        (-1, 30),
        (1, 42),
        (-1, 30),
        (5, 66),
        (-691, 2730),
        (7, 6),
        (-3617, 510),
        (43867, 798),
        (-174611, 330),
        (854513, 138),
    )
)
"""B_2, B_4, ... B_22."""
DIGAMMA_TERMS = tl.constexpr(tuple(float(b / (2 * j + 2)) for j, b in enumerate(BERNOULLI[:8])))
"""B_2j / 2j: the coefficients of digamma's asymptotic series."""
ZETA_TERMS = tl.constexpr(tuple(float(b / math.factorial(2 * j + 2)) for j, b in enumerate(BERNOULLI)))
"""B_2j / (2j)!: the coefficients of Euler and Maclaurin's correction."""

# ---- kernels --------------------------------------------------------------------------------------


@pointwise("lgamma", promotion=FLOAT, low=0.1, high=9.0, tolerance=2.0)
@triton.jit
def lgamma(x):
    return libdevice.lgamma(x)


@triton.jit
def zeros_as(x):
    """Zeros of x's shape and type, also where x is infinite."""
    return tl.where(x == x, 0, 0).to(x.dtype)


@triton.jit
def multivariate_lgamma(x, order):
    """log of the multivariate gamma function of `order`: sum over j < order of lgamma(x - j / 2), plus
    order (order - 1) / 4 log(pi)."""
    total = order * (order - 1) * 0.25 * 1.1447298858494002 + zeros_as(x)
    for j in range(order.to(tl.int32)):
        total += libdevice.lgamma(x - j * 0.5)
    return total


@pointwise("digamma", promotion=FLOAT, low=0.3, high=9.0, tolerance=4.0)
@triton.jit
def digamma(x):
    negative = x < 0
    y = tl.where(negative, 1.0 - x, x)
    below = zeros_as(y)
    for _ in tl.static_range(10):
        small = y < 10.0
        below += tl.where(small, 1.0 / y, 0.0)
        y = tl.where(small, y + 1.0, y)
    square = 1.0 / (y * y)
    series = zeros_as(y)
    for k in tl.static_range(8):
        series = series * square + DIGAMMA_TERMS[7 - k]
    value = tl.log(y) - 0.5 / y - series * square - below
    value = tl.where(y == float("inf"), y, value)
    distance = x - tl.floor(x + 0.5)
    cotangent = libdevice.cospi(distance) / libdevice.sinpi(distance)
    value = tl.where(negative, value - 3.141592653589793 * cotangent, value)
    value = tl.where(negative & (distance == 0), float("nan"), value)
    return tl.where(x == 0, -1.0 / x, value)


@triton.jit
def hurwitz_zeta(s, q):
    """Sum over k >= 0 of (q + k) ** -s: ten terms (and those below zero) and a correction for the rest.
    Infinite for s = 1 and at the poles; NaN for s < 1, and below zero where s is no whole number."""
    pole = (q <= 0) & (q == tl.floor(q))
    undefined = (s < 1) | (s != s) | (q != q) | ((q <= 0) & (s != tl.floor(s)))
    skipped = pole | undefined | (s == 1)
    raised = tl.where(skipped | (q > 0), 0.0, -tl.floor(q)) + tl.where(skipped, 0.0, 10.0)
    steps = tl.max(raised).to(tl.int32)
    total = zeros_as(s + q)
    at = q + total
    lost = total  # what rounding takes from the sum: large terms of both signs cancel where q is negative
    for k in range(steps):
        left = k < raised
        term = tl.where(left, libdevice.pow(at, -s), 0.0)
        larger = total + term
        lost += tl.where(tl.abs(total) >= tl.abs(term), (total - larger) + term, (term - larger) + total)
        total = larger
        at = tl.where(left, at + 1.0, at)
    total += tl.where(lost == lost, lost, 0.0)
    term = libdevice.pow(at, -s)
    total += term * (at / (s - 1.0) + 0.5)
    term = term * s / at
    square = 1.0 / (at * at)
    for j in tl.static_range(11):
        total += term * ZETA_TERMS[j]
        term = term * ((s + (2 * j + 1)) * (s + (2 * j + 2)) * square)
    total = tl.where(undefined, float("nan"), total)
    return tl.where((s == 1) | (pole & (s > 1)), float("inf"), total)


@triton.jit
def trigamma(x):
    """The second derivative of log gamma; below 1/2 by reflection."""
    low = x < 0.5
    y = tl.where(low, 1.0 - x, x)
    total = zeros_as(y)
    for _ in tl.static_range(10):
        small = y < 10.0
        total += tl.where(small, 1.0 / (y * y), 0.0)
        y = tl.where(small, y + 1.0, y)
    square = 1.0 / (y * y)
    series = zeros_as(y)
    for k in tl.static_range(8):
        series = series * square + DIGAMMA_TERMS[7 - k] * (16 - 2 * k)
    total += (1.0 + 0.5 / y + series * square) / y
    sine = libdevice.sinpi(x - tl.floor(x + 0.5)) * 0.3183098861837907
    return tl.where(low, 1.0 / (sine * sine) - total, total)


@triton.jit
def higher_polygamma(x, order, factor):
    """`factor` = (-1) ** (order + 1) order!, times zeta(order + 1, x)."""
    return factor * hurwitz_zeta(order + 1.0 + zeros_as(x), x)


# ---- forward --------------------------------------------------------------------------------------

TRIGAMMA, HIGHER = Pointwise(trigamma, FLOAT), Pointwise(higher_polygamma, FLOAT)
MULTIVARIATE = Pointwise(multivariate_lgamma, FLOAT)
LARGEST_FACTORIAL = 170


def polygamma(n: int, self: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """The n-th derivative of digamma."""
    if n < 0:
        raise ArgumentError(f"polygamma(n, x) does not support negative n; got {n}")
    if n == 0:
        return digamma(self, out=out)
    if n == 1:
        return TRIGAMMA(self, out=out)
    size = float(math.factorial(n)) if n <= LARGEST_FACTORIAL else math.inf
    return HIGHER(self, n, size if n % 2 else -size, out=out)


def mvlgamma(self: torch.Tensor, p: int, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """log of the multivariate gamma function of dimension p, elementwise."""
    if self.dtype == torch.bool:
        raise ArgumentError("The input tensor may not be a boolean tensor.")
    if p < 1:
        raise ArgumentError(f"p has to be greater than or equal to 1, not {p}")
    return MULTIVARIATE(self, p, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _orders(dtype: torch.dtype) -> Iterable[Sample]:
    for n in (0, 1, 2, 4):
        yield Sample((n, tensor((3, 5), dtype, 0.5, 6.0)))
    yield Sample((1, torch.tensor([0.0, 0.25, 30.0, float("inf"), float("nan")], dtype=dtype)))
    yield Sample((3, torch.tensor([0.25, 30.0, float("nan")], dtype=dtype)))


def _dimensions(dtype: torch.dtype) -> Iterable[Sample]:
    for p in (1, 3):
        yield Sample((tensor((3, 5), dtype, 2.0, 6.0), p))


def _zetas(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 5), dtype, 1.2, 9.0), tensor((5,), dtype, 0.3, 30.0, seed=1)))
    s = torch.tensor([1.0, 0.5, 2.0, 2.5, 3.0, 4.0, float("nan")], dtype=dtype)
    q = torch.tensor([2.0, 2.0, -1.0, -2.25, -2.25, 0.0, 1.0], dtype=dtype)
    yield Sample((s, q))


def _record(
    name: str, overload: Overload, dtypes: tuple[torch.dtype, ...], sample: Any, tolerance: float
) -> None:
    register(
        Operator(
            name=name,
            overloads=(overload,),
            kernels=(flat_kernel, tiled_kernel),
            dtypes=dtypes,
            tiles=TILES,
            benchmarks=(Benchmark(overload.name, sample),),
            tolerance=tolerance,
        )
    )


_record(
    "polygamma",
    Overload("polygamma", polygamma, _orders, reference=scipy_special("polygamma")),
    FLOATING,
    lambda dtype: Sample((1, tensor((1024, 1024), dtype, 0.5, 9.0))),
    32.0,  # values grow like n! / x^(n + 1), and terms of both signs cancel where x is negative
)
_record(
    "mvlgamma",
    Overload("mvlgamma", mvlgamma, _dimensions),
    (torch.float32, torch.float64),
    lambda dtype: Sample((tensor((1024, 1024), dtype, 2.0, 9.0), 3)),
    2.0,
)
_record(
    "special_zeta",
    Overload("special_zeta", Pointwise(hurwitz_zeta, FLOAT), _zetas),
    (torch.float32, torch.float64),
    lambda dtype: Sample((tensor((1024, 1024), dtype, 1.2, 9.0), tensor((1024,), dtype, 0.3, 9.0))),
    8.0,  # powers
)
