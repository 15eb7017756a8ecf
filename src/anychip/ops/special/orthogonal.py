"""Orthogonal polynomials of a degree that is a tensor, too: Chebyshev (four kinds, and shifted to
[0, 1]), Hermite (two kinds), Laguerre and Legendre, by their three-term recurrences up to the largest
degree of a block. Inside [-1, 1] the higher Chebyshev polynomials are taken by their angles.
DLMF, chapter 18, tables 18.3.1, 18.5.1 and section 18.9."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..pointwise import TILES, Pointwise, Promotion
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, tensor

STEPS = tl.constexpr(8)
"""Steps between two looks at what is left to do."""

# ---- recurrences: from the polynomials q of degree k and p of degree k - 1 to the next ---------------------


@triton.jit
def chebyshev_step(x, q, p, k):
    return 2 * x * q - p


@triton.jit
def hermite_h_step(x, q, p, k):
    return 2 * x * q - 2 * k * p


@triton.jit
def hermite_he_step(x, q, p, k):
    return x * q - k * p


@triton.jit
def laguerre_step(x, q, p, k):
    return ((2 * k + 1 - x) * q - k * p) / (k + 1)


@triton.jit
def legendre_step(x, q, p, k):
    return ((2 * k + 1) * x * q - k * p) / (k + 1)


@triton.jit
def whole(x, n):
    """The degree of each element as an integer; negative where 64 bits do not hold it, as for NaN."""
    held = tl.abs(n) < 9.0e18
    return tl.where(held, n, -1.0).to(tl.int64) + tl.where(x == x, 0, 0)


@triton.jit
def recurred(x, degree, first, skipped, STEP):
    """The polynomial of `degree` where not `skipped`: 1 for 0, `first` for 1, then step by step until all
    are done, or NaN, which no further step changes."""
    below = tl.where(x == x, 1, 1).to(x.dtype)
    value = first
    k = tl.max(degree * 0) + 1
    last = tl.max(tl.where(skipped, 0, degree))
    while k < last:
        for _ in range(STEPS):
            above = STEP(x, value, below, (k + degree * 0).to(x.dtype))
            below = value
            value = tl.where(k < degree, above, value)
            k += 1
        last = tl.max(tl.where(skipped | (value != value), 0, degree))
    value = tl.where(degree == 0, 1.0, value)
    return tl.where(degree < 0, 0.0, value)


# ---- families -------------------------------------------------------------------------------------


@triton.jit
def chebyshev_t(x, n):
    degree = whole(x, n)
    x = x + (degree * 0).to(x.dtype)
    end = tl.abs(x) == 1
    inside = (tl.abs(x) < 1) & (degree > 6)
    value = recurred(x, degree, x, end | inside, chebyshev_step)
    value = tl.where(inside, tl.cos(degree.to(x.dtype) * libdevice.acos(x)), value)
    sign = tl.where((x > 0) | (degree % 2 == 0), 1.0, -1.0)
    return tl.where(end & (degree >= 0), sign, value)


@triton.jit
def chebyshev_u(x, n):
    degree = whole(x, n)
    x = x + (degree * 0).to(x.dtype)
    end = tl.abs(x) == 1
    inside = (tl.abs(x) < 1) & (degree > 8)
    value = recurred(x, degree, 2 * x, end | inside, chebyshev_step)
    angle = libdevice.acos(x)
    count = (degree + 1).to(x.dtype)
    value = tl.where(inside, tl.sin(count * angle) / tl.sin(angle), value)
    limit = tl.where((x > 0) | (degree % 2 == 0), count, -count)
    return tl.where(end & (degree >= 0), limit, value)


@triton.jit
def chebyshev_v(x, n):
    degree = whole(x, n)
    x = x + (degree * 0).to(x.dtype)
    end = tl.abs(x) == 1
    inside = (tl.abs(x) < 1) & (degree > 8)
    value = recurred(x, degree, 2 * x - 1, end | inside, chebyshev_step)
    angle = libdevice.acos(x)
    value = tl.where(inside, tl.cos((degree.to(x.dtype) + 0.5) * angle) / tl.cos(angle * 0.5), value)
    count = (2 * degree + 1).to(x.dtype)
    limit = tl.where(x > 0, 1.0, tl.where(degree % 2 == 0, count, -count))
    return tl.where(end & (degree >= 0), limit, value)


@triton.jit
def chebyshev_w(x, n):
    degree = whole(x, n)
    x = x + (degree * 0).to(x.dtype)
    end = tl.abs(x) == 1
    inside = (tl.abs(x) < 1) & (degree > 8)
    value = recurred(x, degree, 2 * x + 1, end | inside, chebyshev_step)
    angle = libdevice.acos(x)
    value = tl.where(inside, tl.sin((degree.to(x.dtype) + 0.5) * angle) / tl.sin(angle * 0.5), value)
    count = (2 * degree + 1).to(x.dtype)
    limit = tl.where(x > 0, count, tl.where(degree % 2 == 0, 1.0, -1.0).to(x.dtype))
    return tl.where(end & (degree >= 0), limit, value)


@triton.jit
def shifted_chebyshev_t(x, n):
    return chebyshev_t(2 * x - 1, n)


@triton.jit
def shifted_chebyshev_u(x, n):
    return chebyshev_u(2 * x - 1, n)


@triton.jit
def shifted_chebyshev_v(x, n):
    return chebyshev_v(2 * x - 1, n)


@triton.jit
def shifted_chebyshev_w(x, n):
    return chebyshev_w(2 * x - 1, n)


@triton.jit
def beyond_range(x, degree):
    """Degrees whose values PyTorch gives up: 128 in single precision, 512 in double."""
    if x.dtype == tl.float64:
        beyond = degree > 512
    else:
        beyond = degree > 128
    return beyond


@triton.jit
def hermite_h(x, n):
    degree = whole(x, n)
    x = x + (degree * 0).to(x.dtype)
    beyond = beyond_range(x, degree)
    return tl.where(beyond, float("nan"), recurred(x, degree, 2 * x, beyond, hermite_h_step))


@triton.jit
def hermite_he(x, n):
    degree = whole(x, n)
    x = x + (degree * 0).to(x.dtype)
    beyond = beyond_range(x, degree)
    return tl.where(beyond, float("nan"), recurred(x, degree, x, beyond, hermite_he_step))


@triton.jit
def laguerre_l(x, n):
    degree = whole(x, n)
    x = x + (degree * 0).to(x.dtype)
    zero = x == 0
    value = recurred(x, degree, 1 - x, zero, laguerre_step)
    return tl.where(zero & (degree >= 0), 1.0, value)


@triton.jit
def legendre_p(x, n):
    degree = whole(x, n)
    x = x + (degree * 0).to(x.dtype)
    end = tl.abs(x) == 1
    value = recurred(x, degree, x, end, legendre_step)
    sign = tl.where((x > 0) | (degree % 2 == 0), 1.0, -1.0)
    return tl.where(end & (degree >= 0), sign, value)


# ---- record ---------------------------------------------------------------------------------------

FAMILIES: dict[str, Any] = {
    "chebyshev_polynomial_t": chebyshev_t,
    "chebyshev_polynomial_u": chebyshev_u,
    "chebyshev_polynomial_v": chebyshev_v,
    "chebyshev_polynomial_w": chebyshev_w,
    "shifted_chebyshev_polynomial_t": shifted_chebyshev_t,
    "shifted_chebyshev_polynomial_u": shifted_chebyshev_u,
    "shifted_chebyshev_polynomial_v": shifted_chebyshev_v,
    "shifted_chebyshev_polynomial_w": shifted_chebyshev_w,
    "hermite_polynomial_h": hermite_h,
    "hermite_polynomial_he": hermite_he,
    "laguerre_polynomial_l": laguerre_l,
    "legendre_polynomial_p": legendre_p,
}


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    degrees = torch.arange(-1, 12).to(dtype)
    yield Sample((tensor((5, 1), dtype, -0.9, 0.9), degrees))
    yield Sample((tensor((4, 1), dtype, -1.5, 1.5), degrees[:6]))
    yield Sample((torch.tensor([[1.0], [-1.0], [0.0]], dtype=dtype), degrees))
    yield Sample((next(layouts(tensor((3, 4), dtype, -0.9, 0.9))), degrees[3:7]))
    yield Sample((tensor((0, 3), dtype), degrees[:3]))


def _large(dtype: torch.dtype) -> Sample:
    return Sample((tensor((1024, 1024), dtype, -1.0, 1.0), torch.arange(1024).to(dtype) % 16))


for _name, _function in FAMILIES.items():
    register(
        Operator(
            name=f"special_{_name}",
            overloads=(Overload(f"special_{_name}", Pointwise(_function, Promotion.INT_TO_FLOAT), _samples),),
            kernels=(flat_kernel, tiled_kernel),
            dtypes=(torch.float32, torch.float64),
            differentiable=False,
            tiles=TILES,
            benchmarks=(Benchmark(f"special_{_name}", _large),),
            tolerance=50.0,  # degree 11 multiplies the rounding of x, and of its angle, by the slope
        )
    )
