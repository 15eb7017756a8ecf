"""Logical and bitwise operators and shifts."""

from __future__ import annotations

import torch
import triton

from ..pointwise import TILES, Pointwise, Promotion, flat_kernel, pointwise, tiled_kernel
from ..registry import ALL, INTEGRAL, Operator, Overload, register
from ..samples import pointwise_samples

BOOL = Promotion.ALWAYS_BOOL
BITS: tuple[torch.dtype, ...] = (*INTEGRAL, torch.bool)


@pointwise("logical_and", domain="elementwise", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def logical_and(x, y):
    return (x != 0) & (y != 0)


@pointwise("logical_or", domain="elementwise", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def logical_or(x, y):
    return (x != 0) | (y != 0)


@pointwise("logical_xor", domain="elementwise", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def logical_xor(x, y):
    return (x != 0) ^ (y != 0)


@pointwise("logical_not", domain="elementwise", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def logical_not(x):
    return x == 0


@pointwise("bitwise_and.Tensor", domain="elementwise", dtypes=BITS, differentiable=False)
@triton.jit
def bitwise_and(x, y):
    return x & y


@pointwise("bitwise_or.Tensor", domain="elementwise", dtypes=BITS, differentiable=False)
@triton.jit
def bitwise_or(x, y):
    return x | y


@pointwise("bitwise_xor.Tensor", domain="elementwise", dtypes=BITS, differentiable=False)
@triton.jit
def bitwise_xor(x, y):
    return x ^ y


@pointwise(
    "bitwise_left_shift.Tensor", domain="elementwise", dtypes=INTEGRAL, differentiable=False, low=0, high=5
)
@triton.jit
def bitwise_left_shift(x, y):
    return x << y


@pointwise(
    "bitwise_right_shift.Tensor", domain="elementwise", dtypes=INTEGRAL, differentiable=False, low=0, high=5
)
@triton.jit
def bitwise_right_shift(x, y):
    return x >> y


# ---- bitwise not: a complement of integers, a negation of booleans -----------------------------------


@triton.jit
def complement(x):
    return ~x


@triton.jit
def negation(x):
    return x == 0


COMPLEMENT, NEGATION = Pointwise(complement), Pointwise(negation)


def bitwise_not(self: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """~self."""
    return (NEGATION if self.dtype == torch.bool else COMPLEMENT)(self, out=out)


register(
    Operator(
        name="bitwise_not",
        domain="elementwise",
        overloads=(Overload("bitwise_not", bitwise_not, pointwise_samples("bitwise_not", ("self",))),),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=BITS,
        differentiable=False,
        tiles=TILES,
    )
)
