"""The regularised incomplete gamma functions P(a, x) and Q(a, x) = 1 - P: the power series where x < a + 1,
the continued fraction (by Lentz's method) beyond, each until every number of a block has converged.
DLMF 8.11.4 (series), 8.9.2 (fraction), 5.11.1 (the factor of large a), 8.12 (Temme's
uniform expansion)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..pointwise import pointwise
from ..registry import Sample
from ..samples import tensor
from .references import scipy_special

STEPS = tl.constexpr(4096)
"""Most terms that are summed: enough for the 1e5 from which on `large_a` serves."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def gamma_density(a, x):
    """x^a exp(-x) / gamma(a + 1), for large a by x's relative distance from a: the exponent is small there,
    and with it what its rounding does. Stirling's series has all digits from LARGE on."""
    LARGE: tl.constexpr = tl.constexpr(16.0 if x.dtype == tl.float64 else 3.0)
    plain = tl.exp(a * tl.log(x) - x - libdevice.lgamma(a + 1.0))
    distance = (x - a) / a
    inverse = 1.0 / a
    square = inverse * inverse
    series = 0.0007936507936507937 - square * (0.0005952380952380953 - square * 0.0008417508417508417)
    stirling = inverse * (0.08333333333333333 - square * (0.002777777777777778 - square * series))
    exponent = a * (distance - libdevice.log1p(distance)) + stirling
    scaled = tl.exp(-exponent) * 0.3989422804014327 / tl.sqrt(a)
    return tl.where(a > LARGE, scaled, plain)


@triton.jit
def lower_series(a, x, wanted, EPSILON):
    """P / density: the sum of x^k / ((a + 1) ... (a + k))."""
    term = tl.where(x == x, 1, 1).to(x.dtype)
    total = term
    k = 1
    left = tl.max(wanted.to(tl.int32))
    while (left > 0) & (k < STEPS):
        term = tl.where(wanted, term * x / (a + k), 0.0)
        total += term
        left = tl.max((term > total * EPSILON).to(tl.int32))
        k += 1
    return total


@triton.jit
def upper_fraction(a, x, wanted, EPSILON):
    """Q gamma(a) / (x^a exp(-x)): 1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - ...))."""
    b = tl.where(wanted, x + 1.0 - a, 2.0)
    d = 1.0 / b
    c = 1.0e30 + d * 0
    value = d
    k = 1
    left = tl.max(wanted.to(tl.int32))
    while (left > 0) & (k < STEPS):
        numerator = tl.where(wanted, k * (a - k), 0.0)
        b = b + 2.0
        d = numerator * d + b
        d = 1.0 / tl.where(tl.abs(d) < 1.0e-30, 1.0e-30, d)
        c = b + numerator / c
        c = tl.where(tl.abs(c) < 1.0e-30, 1.0e-30, c)
        change = c * d
        value = value * change
        left = tl.max((wanted & (tl.abs(change - 1.0) > EPSILON)).to(tl.int32))
        k += 1
    return value


@triton.jit
def large_a(a, x):
    """(P, Q) for a > 1e5, by Temme's uniform expansion; beyond five per cent from a they are 0 and 1."""
    distance = (x - a) / a
    distance = tl.where(distance > 0.05, 0.05, tl.where(distance < -0.05, -0.05, distance))
    square = tl.where(x == x, 0, 0).to(x.dtype)
    for k in tl.static_range(9):
        square = 2.0 / (10 - k) - distance * square
    eta = distance * tl.sqrt(square)
    first = -0.3333333333333333 + eta * (
        0.08333333333333333 - eta * (0.014814814814814815 - eta * 0.0011574074074)
    )
    second = -0.001851851851851852 - eta * 0.003472222222222222
    spread = eta * tl.sqrt(a * 0.5)
    rest = tl.exp(-spread * spread) * 0.3989422804014327 / tl.sqrt(a) * (first + second / a)
    return 0.5 * libdevice.erfc(-spread) - rest, 0.5 * libdevice.erfc(spread) + rest


@triton.jit
def lower_and_upper(a, x):
    """(P, Q), with their limits at the ends of the range."""
    EPSILON: tl.constexpr = tl.constexpr(1e-16 if x.dtype == tl.float64 else 3e-8)
    CHANGE: tl.constexpr = tl.constexpr(3e-16 if x.dtype == tl.float64 else 2e-7)
    ordinary = (a > 0) & (x > 0) & (a < float("inf")) & (x < float("inf"))
    large = ordinary & (a > 1e5)
    safe_a = tl.where(ordinary & ~large, a, 1.0)
    safe_x = tl.where(ordinary & ~large, x, 1.0)
    density = gamma_density(safe_a, safe_x)
    small = safe_x < safe_a + 1.0
    series = density * lower_series(safe_a, safe_x, ordinary & small, EPSILON)
    fraction = density * safe_a * upper_fraction(safe_a, safe_x, ordinary & ~small, CHANGE)
    lower = tl.where(small, series, 1.0 - fraction)
    upper = tl.where(small, 1.0 - series, fraction)
    large_lower, large_upper = large_a(tl.where(large, a, 1.0), tl.where(large, x, 1.0))
    lower = tl.where(large, large_lower, lower)
    upper = tl.where(large, large_upper, upper)
    nothing = (x == 0) | (a == float("inf"))
    everything = (a == 0) | (x == float("inf"))
    lower = tl.where(ordinary, lower, tl.where(nothing, 0.0, 1.0))
    upper = tl.where(ordinary, upper, tl.where(nothing, 1.0, 0.0))
    undefined = (x < 0) | (a < 0) | (x != x) | (a != a) | (nothing & everything)
    lower = tl.where(undefined, float("nan"), lower)
    upper = tl.where(undefined, float("nan"), upper)
    return lower, upper


# ---- record ---------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 7), dtype, 0.2, 9.0), tensor((7,), dtype, 0.2, 9.0, seed=1)))
    yield Sample((tensor((9,), dtype, 30.0, 60.0), tensor((9,), dtype, 20.0, 70.0, seed=1)))
    infinity = float("inf")
    a = torch.tensor([0.0, 0.0, 1.0, 2.0, infinity, infinity, -1.0, 3.0, float("nan")], dtype=dtype)
    x = torch.tensor([0.0, 2.0, 0.0, infinity, 1.0, infinity, 1.0, -1.0, 1.0], dtype=dtype)
    yield Sample((a, x))
    yield Sample((tensor((0, 3), dtype), tensor((3,), dtype)))


@pointwise(
    "igamma",
    differentiable=False,
    samples=_samples,
    reference=scipy_special("gammainc"),
    tolerance=16.0,  # a power and an exponential of arguments up to 70
)
@triton.jit
def igamma(a, x):
    lower, _ = lower_and_upper(a, x)
    return lower


@pointwise(
    "igammac",
    differentiable=False,
    samples=_samples,
    reference=scipy_special("gammaincc"),
    tolerance=16.0,  # a power and an exponential of arguments up to 70
)
@triton.jit
def igammac(a, x):
    _, upper = lower_and_upper(a, x)
    return upper
