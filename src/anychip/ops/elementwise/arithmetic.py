"""Arithmetic: addition to remainder, with PyTorch's integer and boolean rules."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import NotServed
from ..pointwise import TILES, Pointwise, Promotion, flat_kernel, pointwise, tiled_kernel
from ..registry import ALL, FLOATING, INTEGRAL, Operator, Overload, register
from ..samples import pointwise_samples

NUMERIC = (*FLOATING, *INTEGRAL)


@pointwise("add.Tensor", domain="elementwise", dtypes=ALL)
@triton.jit
def add(x, y, alpha):
    return x + y * alpha


@pointwise("sub.Tensor", "rsub.Tensor(other, self, alpha)", domain="elementwise", dtypes=NUMERIC)
@triton.jit
def sub(x, y, alpha):
    return x - y * alpha


@pointwise("mul.Tensor", domain="elementwise", dtypes=ALL)
@triton.jit
def mul(x, y):
    return x * y


@pointwise("neg", domain="elementwise", dtypes=NUMERIC)
@triton.jit
def neg(x):
    return -x


@pointwise("abs", domain="elementwise", dtypes=NUMERIC)
@triton.jit
def absolute(x):
    return tl.abs(x)


@pointwise("reciprocal", domain="elementwise", promotion=Promotion.INT_TO_FLOAT)
@triton.jit
def reciprocal(x):
    return 1.0 / x


@pointwise("sign", domain="elementwise", dtypes=NUMERIC)
@triton.jit
def sign(x):
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


@pointwise("sgn", domain="elementwise", dtypes=NUMERIC)
@triton.jit
def sgn(x):
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


@pointwise("addcmul", domain="elementwise")
@triton.jit
def addcmul(x, first, second, value):
    return x + value * first * second


@pointwise("addcdiv", domain="elementwise", low=0.5, high=3.0)
@triton.jit
def addcdiv(x, first, second, value):
    return x + value * (first / second)


@pointwise("lerp.Tensor", "lerp.Scalar", domain="elementwise", low=-1.0, high=1.0)
@triton.jit
def lerp(start, end, weight):
    return tl.where(tl.abs(weight) < 0.5, start + weight * (end - start), end - (end - start) * (1 - weight))


@triton.jit
def true_quotient(x, y):
    """x / y, correctly rounded."""
    if x.dtype == tl.float32:
        result = tl.div_rn(x, y)
    else:
        result = x / y
    return result


@triton.jit
def floored_remainder(x, y):
    """Remainder with the divisor's sign (Python's)."""
    if x.dtype.is_floating():
        rest = libdevice.fmod(x, y)
        result = tl.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest)
    else:
        divisor = tl.where(y == 0, 1, y)
        rest = x % divisor
        result = tl.where((rest != 0) & ((rest < 0) != (y < 0)), rest + y, rest).to(x.dtype)
    return result


@triton.jit
def truncated_remainder(x, y):
    """Remainder with the dividend's sign (C's)."""
    if x.dtype.is_floating():
        result = libdevice.fmod(x, y)
    else:
        result = x % tl.where(y == 0, 1, y)
    return result


@triton.jit
def floored_quotient(x, y):
    """Quotient rounded down; for floats by way of the remainder, so that it agrees with it."""
    if x.dtype.is_floating():
        rest = libdevice.fmod(x, y)
        exact = (x - rest) / y
        exact = tl.where((rest != 0) & ((y < 0) != (rest < 0)), exact - 1, exact)
        near = tl.floor(exact)
        near = tl.where(exact - near > 0.5, near + 1, near)
        result = tl.where(y == 0, x / y, tl.where(exact == 0, 0.0 * (x / y), near))
    else:
        divisor = tl.where(y == 0, 1, y)
        quotient = x // divisor
        rest = x - quotient * divisor
        result = tl.where((rest != 0) & ((rest < 0) != (divisor < 0)), quotient - 1, quotient).to(x.dtype)
    return result


@triton.jit
def truncated_quotient(x, y):
    """Quotient rounded toward zero."""
    if x.dtype.is_floating():
        exact = x / y
        result = tl.where(exact < 0, tl.ceil(exact), tl.floor(exact))
    else:
        result = x // tl.where(y == 0, 1, y)
    return result


QUOTIENTS = {
    None: Pointwise(true_quotient, Promotion.INT_TO_FLOAT),
    "floor": Pointwise(floored_quotient),
    "trunc": Pointwise(truncated_quotient),
}


def div(self: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> torch.Tensor:
    """self / other, rounded as `rounding_mode` says ("floor", "trunc", or not at all)."""
    if rounding_mode not in QUOTIENTS:
        raise NotServed("div", f"rounding_mode {rounding_mode!r} is not known")
    return QUOTIENTS[rounding_mode](self, other, out=out)


def _positive(overload: str, parameters: tuple[str, ...] = ("self", "other")) -> Any:
    return pointwise_samples(overload, parameters, 1.0, 5.0)


def _by_mode(dtype: torch.dtype) -> Any:
    for mode in (None, "floor", "trunc"):
        for sample in _positive("div.Tensor")(dtype):
            yield sample._replace(keywords={"rounding_mode": mode})


register(
    Operator(
        name="div",
        domain="elementwise",
        overloads=(
            Overload("div.Tensor", div, _positive("div.Tensor")),
            Overload("div.Tensor_mode", div, _by_mode),
            Overload("floor_divide", QUOTIENTS["floor"], _positive("floor_divide")),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
    )
)


remainder = pointwise("remainder.Tensor", domain="elementwise", dtypes=NUMERIC, low=1.0, high=5.0)(
    floored_remainder
)
fmod = pointwise("fmod.Tensor", domain="elementwise", dtypes=NUMERIC, low=1.0, high=5.0)(truncated_remainder)
