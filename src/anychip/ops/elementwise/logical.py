"""Logical and bitwise operators and shifts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..pointwise import TILES, Pointwise, Promotion, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import ALL, INTEGRAL, Operator, Overload, Sample, register
from ..samples import BROADCASTS, pointwise_benchmark, pointwise_samples, special, tensor

BOOL = Promotion.ALWAYS_BOOL


def _truths(dtype: torch.dtype) -> Iterable[Sample]:
    """Pairs with zeros among them; one with special values."""
    for first, second in BROADCASTS:
        yield Sample(
            tuple((tensor(s, torch.int64, seed=k) % 3 == 1).to(dtype) for k, s in enumerate((first, second)))
        )
    if dtype.is_floating_point:
        yield Sample((special(dtype), special(dtype).flip(0)))


BITS: tuple[torch.dtype, ...] = (*INTEGRAL, torch.bool)


@pointwise("logical_and", promotion=BOOL, dtypes=ALL, differentiable=False, samples=_truths)
@triton.jit
def logical_and(x, y):
    return (x != 0) & (y != 0)


@pointwise("logical_or", promotion=BOOL, dtypes=ALL, differentiable=False, samples=_truths)
@triton.jit
def logical_or(x, y):
    return (x != 0) | (y != 0)


@pointwise("logical_xor", promotion=BOOL, dtypes=ALL, differentiable=False, samples=_truths)
@triton.jit
def logical_xor(x, y):
    return (x != 0) ^ (y != 0)


@pointwise("logical_not", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def logical_not(x):
    return x == 0


@pointwise("bitwise_and.Tensor", dtypes=BITS, differentiable=False)
@triton.jit
def bitwise_and(x, y):
    return x & y


@pointwise("bitwise_or.Tensor", dtypes=BITS, differentiable=False)
@triton.jit
def bitwise_or(x, y):
    return x | y


@pointwise("bitwise_xor.Tensor", dtypes=BITS, differentiable=False)
@triton.jit
def bitwise_xor(x, y):
    return x ^ y


@triton.jit
def bitwise_left_shift(x, y):
    """x * 2 ** y in the integers' own width; a count below zero or beyond the width leaves nothing."""
    beyond = (y < 0) | (y >= x.dtype.primitive_bitwidth)
    return tl.where(beyond, 0, x << tl.where(beyond, 0, y))


@triton.jit
def bitwise_right_shift(x, y):
    """x / 2 ** y rounded down; a count below zero or beyond the width leaves the sign, or nothing of a type
    that has none."""
    widest = x.dtype.primitive_bitwidth - 1
    beyond = (y < 0) | (y > widest)
    shifted = x >> tl.where(beyond, widest, y).to(x.dtype)
    if x.dtype.is_int_unsigned():
        shifted = tl.where(beyond, 0, shifted).to(x.dtype)
    return shifted


LEFT = Pointwise(bitwise_left_shift, accepts=INTEGRAL)
RIGHT = Pointwise(bitwise_right_shift, accepts=INTEGRAL)


def left_shift_(self: torch.Tensor, other: Any) -> torch.Tensor:
    """self <<= other."""
    return LEFT(self, other, out=self)


def right_shift_(self: torch.Tensor, other: Any) -> torch.Tensor:
    """self >>= other."""
    return RIGHT(self, other, out=self)


def _counts(dtype: torch.dtype) -> Iterable[Sample]:
    for first, second in BROADCASTS:
        yield Sample((tensor(first, dtype), tensor(second, dtype, 0, 10, seed=1)))
    if dtype != torch.uint8:
        yield Sample((tensor((6,), dtype), torch.tensor([-1, 0, 7, 8, 63, 64], dtype=dtype)))


def _same_shape(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 4), dtype), tensor((4,), dtype, 0, 10, seed=1)))


def _count(dtype: torch.dtype) -> Iterable[Sample]:
    for number in (0, 3, 70):
        yield Sample((tensor((3, 4), dtype), number))


for _name, _machine, _in_place, _written in (
    ("bitwise_left_shift", LEFT, left_shift_, "lshift"),
    ("bitwise_right_shift", RIGHT, right_shift_, "rshift"),
):
    register(
        Operator(
            name=_name,
            overloads=(
                Overload(f"{_name}.Tensor", _machine, _counts),
                Overload(f"__{_written}__.Tensor", _machine, _counts),
                Overload(f"__{_written}__.Scalar", _machine, _count),
                Overload(f"__i{_written}__.Tensor", _in_place, _same_shape, takes_out=False),
                Overload(f"__i{_written}__.Scalar", _in_place, _count, takes_out=False),
            ),
            kernels=(flat_kernel, tiled_kernel),
            dtypes=INTEGRAL,
            differentiable=False,
            tiles=TILES,
            benchmarks=(pointwise_benchmark(f"{_name}.Tensor", ("self", "other"), 0, 5),),
        )
    )


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
        overloads=(Overload("bitwise_not", bitwise_not, pointwise_samples("bitwise_not", ("self",))),),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=BITS,
        differentiable=False,
        tiles=TILES,
    )
)
