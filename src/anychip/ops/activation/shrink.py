"""hardshrink and softshrink, which take small values to zero, with their backward operators."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..pointwise import TILES, Pointwise, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, special, tensor


@pointwise("hardshrink", accepts=FLOATING)
@triton.jit
def hardshrink(x, limit):
    return tl.where((x >= -limit) & (x <= limit), 0.0, x)


@pointwise("hardshrink_backward", accepts=FLOATING)
@triton.jit
def hardshrink_backward(gradient, x, limit):
    return tl.where((x < -limit) | (x > limit), gradient, 0.0)


@triton.jit
def softshrink_of(x, limit):
    inside = tl.where(x == x, 0.0, x)
    return tl.where(x > limit, x - limit, tl.where(x < -limit, x + limit, inside))


SOFTSHRINK = Pointwise(softshrink_of, accepts=FLOATING)


def softshrink(self: torch.Tensor, lambd: float = 0.5, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """self moved toward zero by `lambd`, which is not negative."""
    if lambd < 0:
        raise ArgumentError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return SOFTSHRINK(self, lambd, out=out)


def _limits(dtype: torch.dtype) -> Iterable[Sample]:
    for x in (tensor((17,), dtype), next(layouts(tensor((3, 4, 5), dtype))), tensor((0, 2), dtype)):
        yield Sample((x, 0.5))
    yield Sample((special(dtype),))


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _limits(dtype):
        x = sample.arguments[0]
        yield Sample((tensor(x.shape, dtype, seed=1), x, 0.5))


register(
    Operator(
        name="softshrink",
        overloads=(
            Overload("softshrink", softshrink, _limits),
            Overload("softshrink_backward", hardshrink_backward, _gradients),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("softshrink", lambda dtype: Sample((tensor((4096, 1024), dtype),))),),
    )
)
