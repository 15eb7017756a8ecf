"""Exponentials, logarithms, powers and roots."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import ArgumentError
from ..pointwise import TILES, Number, Pointwise, Promotion, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, Operator, Overload, Sample, register
from ..samples import pointwise_samples, tensor

FLOAT = Promotion.INT_TO_FLOAT


@pointwise("exp", promotion=FLOAT)
@triton.jit
def exp(x):
    return tl.exp(x)


@pointwise("exp2", promotion=FLOAT)
@triton.jit
def exp2(x):
    return tl.exp2(x)


@pointwise("expm1", promotion=FLOAT)
@triton.jit
def expm1(x):
    return libdevice.expm1(x)


@pointwise("log", promotion=FLOAT, low=0.01, high=9.0)
@triton.jit
def log(x):
    return tl.log(x)


@pointwise("log2", promotion=FLOAT, low=0.01, high=9.0)
@triton.jit
def log2(x):
    return tl.log2(x)


@pointwise("log10", promotion=FLOAT, low=0.01, high=9.0)
@triton.jit
def log10(x):
    return libdevice.log10(x)


@pointwise("log1p", promotion=FLOAT, low=-0.9, high=9.0)
@triton.jit
def log1p(x):
    return libdevice.log1p(x)


@pointwise("sqrt", promotion=FLOAT, low=0.0, high=9.0)
@triton.jit
def sqrt(x):
    return tl.sqrt(x)


@pointwise("rsqrt", promotion=FLOAT, low=0.1, high=9.0)
@triton.jit
def rsqrt(x):
    return 1.0 / tl.sqrt(x)


@pointwise("xlogy.Tensor", promotion=FLOAT, low=0.1, high=4.0)
@triton.jit
def xlogy(x, y):
    return tl.where(y != y, y, tl.where(x == 0, 0.0, x * tl.log(y)))


@pointwise("logaddexp")
@triton.jit
def logaddexp(x, y):
    larger = tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)
    distance = tl.where(x == y, 0.0, tl.abs(x - y))
    return larger + libdevice.log1p(tl.exp(-distance))


@pointwise("logaddexp2", accepts=FLOATING)
@triton.jit
def logaddexp2(x, y):
    larger = tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)
    distance = tl.where(x == y, 0.0, tl.abs(x - y))
    return larger + libdevice.log1p(tl.exp2(-distance)) * 1.4426950408889634


# ---- powers ---------------------------------------------------------------------------------------


@triton.jit
def power(x, y):
    """x ** y; for integers by squaring, where a negative exponent leaves only units."""
    if x.dtype.is_floating():
        result = libdevice.pow(x, y)
    else:
        base = x
        rest = tl.where(y < 0, 0, y).to(tl.int64)
        result = tl.where(x == x, 1, 1).to(x.dtype)
        for _ in tl.static_range(6):
            result = tl.where(rest & 1 == 1, result * base, result)
            base = base * base
            rest = rest >> 1
        unit = tl.where(x == 1, 1, tl.where(x == -1, 1 - 2 * (y & 1), 0))
        result = tl.where(y < 0, unit, result).to(x.dtype)
    return result


@triton.jit
def square(x, exponent):
    return x * x


@triton.jit
def cube(x, exponent):
    return x * x * x


@triton.jit
def square_root(x, exponent):
    return tl.sqrt(x)


@triton.jit
def reciprocal_square_root(x, exponent):
    return 1.0 / tl.sqrt(x)


@triton.jit
def inverse(x, exponent):
    return 1.0 / x


@triton.jit
def inverse_square(x, exponent):
    return 1.0 / (x * x)


POWER = Pointwise(power)
FIXED_POWERS: dict[Number, Pointwise] = {2: Pointwise(square), 3: Pointwise(cube)}
FIXED_FLOATING_POWERS: dict[Number, Pointwise] = {
    0.5: Pointwise(square_root),
    -0.5: Pointwise(reciprocal_square_root),
    -1: Pointwise(inverse),
    -2: Pointwise(inverse_square),
}
SMALL_EXPONENT = 64
"""Integer powers look at six bits of the exponent: beyond, only 0, 1 and -1 do not overflow."""


def pow_scalar(self: torch.Tensor, exponent: Number, *, out: Any = None) -> torch.Tensor:
    """self ** exponent, with the common exponents by multiplication and square root."""
    if self.is_complex() or isinstance(exponent, complex):
        return POWER(self, exponent, out=out)
    machine = FIXED_POWERS.get(exponent, POWER)
    if self.dtype.is_floating_point or isinstance(exponent, float):
        machine = FIXED_FLOATING_POWERS.get(exponent, machine)
    elif exponent < 0:
        raise ArgumentError(f"Integers to negative integer powers are not allowed (exponent {exponent})")
    elif exponent >= SMALL_EXPONENT:
        exponent = SMALL_EXPONENT - 2 + exponent % 2
    return machine(self, exponent, out=out)


def pow_tensor(self: Any, exponent: Any, *, out: Any = None) -> torch.Tensor:
    """self ** exponent, elementwise."""
    return POWER(self, exponent, out=out)


def _exponents(dtype: torch.dtype) -> Any:
    for exponent in (2, 3, 0.5, -0.5, -1, -2, 2.5, 0, 5):
        yield Sample((tensor((4, 7), dtype, 0.3, 3.0), exponent))


def _scalar_base(dtype: torch.dtype) -> Any:
    for base in (2.0, 0.5):
        yield Sample((base, tensor((4, 7), dtype)))


register(
    Operator(
        name="pow",
        overloads=(
            Overload("pow.Tensor_Scalar", pow_scalar, _exponents),
            Overload(
                "pow.Tensor_Tensor",
                pow_tensor,
                pointwise_samples("pow.Tensor_Tensor", ("self", "exponent"), 0.2, 3.0),
            ),
            Overload("pow.Scalar", pow_tensor, _scalar_base),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
    )
)
