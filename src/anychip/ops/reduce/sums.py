"""sum, mean and prod over any dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton

from ..errors import ArgumentError, NotServed
from ..reduction import TILES, Reduction, accumulator, normal_dims, wide_accumulator
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import reduction_samples, tensor

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def plus(a, b):
    return a + b


@triton.jit
def times(a, b):
    return a * b


@triton.jit
def divided_by_count(total, parameter, count):
    return total / count.to(total.dtype)


# ---- forward --------------------------------------------------------------------------------------

SUM = Reduction("sum", plus, 0)
MEAN = Reduction("mean", plus, 0, finish=divided_by_count)
PRODUCT = Reduction("prod", times, 1)
MANY_FACTORS = 1 << 19
BEYOND_CACHES = 3 << 20
"""Elements of tensors that are read from memory, which takes longer than multiplying them in double."""


def _product_type(self: torch.Tensor, result: torch.dtype, factors: int) -> torch.dtype:
    """The type of products. Each factor's rounding stays, in whatever order: where there are many of them
    and it takes no time, products are double on CPUs."""
    if factors >= MANY_FACTORS and self.numel() >= BEYOND_CACHES:
        return wide_accumulator(result, self.device)
    return accumulator(result)


def _result(self: torch.Tensor, dtype: torch.dtype | None, out: torch.Tensor | None) -> torch.dtype:
    if dtype is not None:
        return dtype
    if out is not None:
        return out.dtype
    return self.dtype if self.dtype.is_floating_point else torch.int64


def sum_over(
    self: torch.Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> torch.Tensor:
    """Sum over `dim` (None: all); integers and booleans sum as int64."""
    result = _result(self, dtype, out)
    return SUM(self, dim, keepdim, compute=accumulator(result), result=result, out=out)


def sum_all(self: torch.Tensor, *, dtype: Any = None, out: Any = None) -> torch.Tensor:
    """Sum of all elements, 0-d."""
    return sum_over(self, None, False, dtype=dtype, out=out)


def mean_over(
    self: torch.Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> torch.Tensor:
    """Mean over `dim` (None: all) in a floating type."""
    result = dtype or self.dtype
    if result.is_complex:
        raise NotServed("mean", f"dtype {result} is not served")
    if not result.is_floating_point:
        raise ArgumentError(
            f"mean(): could not infer output dtype. Input dtype must be a floating point type, got {result}"
        )
    return MEAN(self, dim, keepdim, compute=accumulator(result), result=result, out=out)


def mean_all(self: torch.Tensor, *, dtype: Any = None, out: Any = None) -> torch.Tensor:
    """Mean of all elements, 0-d."""
    return mean_over(self, None, False, dtype=dtype, out=out)


def prod_over(
    self: torch.Tensor, dim: int, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> torch.Tensor:
    """Product over one dimension."""
    result = _result(self, dtype, out)
    factors = self.shape[normal_dims([dim], self.ndim)[0]] if self.ndim else 1
    compute = _product_type(self, result, factors)
    return PRODUCT(self, [dim], keepdim, compute=compute, result=result, out=out)


def prod_all(self: torch.Tensor, *, dtype: Any = None, out: Any = None) -> torch.Tensor:
    """Product of all elements, 0-d."""
    result = _result(self, dtype, out)
    compute = _product_type(self, result, self.numel())
    return PRODUCT(self, None, False, compute=compute, result=result, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _near_one(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in reduction_samples(single=True)(dtype):
        yield sample._replace(arguments=(sample.arguments[0] * 0.1 + 1, *sample.arguments[1:]))


def _whole_near_one(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((7,), (3, 4), (), (0,)):
        yield Sample((tensor(shape, dtype, 0.8, 1.2),))


register(
    Operator(
        name="sum",
        overloads=(
            Overload("sum.dim_IntList", sum_over, reduction_samples()),
            Overload("sum", sum_all, reduction_samples(whole=True)),
        ),
        kernels=(SUM.kernel,),
        benchmarks=(
            Benchmark("sum.dim_IntList", lambda dtype: Sample((tensor((4096, 1024), dtype), [1]))),
            Benchmark("sum.dim_IntList", lambda dtype: Sample((tensor((4096, 1024), dtype), [0]))),
            Benchmark("sum", lambda dtype: Sample((tensor((4096, 1024), dtype),))),
        ),
        dtypes=(*FLOATING, *INTEGRAL, torch.bool),
        tiles=TILES,
    )
)
register(
    Operator(
        name="mean",
        overloads=(
            Overload("mean.dim", mean_over, reduction_samples()),
            Overload("mean", mean_all, reduction_samples(whole=True)),
        ),
        kernels=(MEAN.kernel,),
        dtypes=FLOATING,
        tiles=TILES,
    )
)
register(
    Operator(
        name="prod",
        overloads=(
            Overload("prod.dim_int", prod_over, _near_one),
            Overload("prod", prod_all, _whole_near_one),
        ),
        kernels=(PRODUCT.kernel,),
        dtypes=FLOATING,
        tiles=TILES,
        tolerance=4.0,
    )
)
