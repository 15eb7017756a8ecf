"""Rectifiers: relu and its leaky, clipped and hard relatives, with their backward operators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..pointwise import TILES, Pointwise, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor


@pointwise("relu", dtypes=(*FLOATING, *INTEGRAL))
@triton.jit
def relu(x):
    return tl.where(x < 0, 0, x)


@pointwise("threshold_backward", differentiable=False)
@triton.jit
def threshold_backward(gradient, x, threshold):
    return tl.where(x <= threshold, 0.0, gradient)


@pointwise("threshold")
@triton.jit
def threshold(x, limit, value):
    return tl.where(x <= limit, value, x)


@pointwise("leaky_relu")
@triton.jit
def leaky_relu(x, slope):
    return tl.where(x > 0, x, x * slope)


@pointwise("leaky_relu_backward(grad_output, self, negative_slope)", differentiable=False)
@triton.jit
def leaky_relu_backward(gradient, x, slope):
    return tl.where(x > 0, gradient, gradient * slope)


@triton.jit
def hardtanh(x, low, high):
    return tl.where(x < low, low, tl.where(x > high, high, x))


HARDTANH = Pointwise(hardtanh)


def clipped(self: torch.Tensor, min_val: float = -1, max_val: float = 1, *, out: Any = None) -> torch.Tensor:
    """`self` clipped to [min_val, max_val], in its own dtype: the limits of integers are truncated."""
    if self.dtype in INTEGRAL:
        return HARDTANH(self, int(min_val), int(max_val), out=out)
    return HARDTANH(self, min_val, max_val, out=out)


def _clipped_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((17,), (5, 7), (0, 3)):
        yield Sample((tensor(shape, dtype),))
    yield Sample((tensor((6, 4), dtype).t(), -2.5, 0.5))


register(
    Operator(
        name="hardtanh",
        overloads=(Overload("hardtanh", clipped, _clipped_samples),),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=(*FLOATING, torch.int32, torch.int64),
        tiles=TILES,
        benchmarks=(Benchmark("hardtanh", lambda dtype: Sample((tensor((4096, 1024), dtype),))),),
    )
)


def _clipped(dtype: torch.dtype) -> Iterable[Sample]:
    """Some of the values lie between the ends, some beyond."""
    for shape in ((17,), (3, 4, 5), ()):
        yield Sample((tensor(shape, dtype), tensor(shape, dtype, seed=1), -1.0, 1.5))


@pointwise("hardtanh_backward", differentiable=False, samples=_clipped)
@triton.jit
def hardtanh_backward(gradient, x, low, high):
    return tl.where((x > low) & (x < high), gradient, 0.0)


@pointwise("hardsigmoid")
@triton.jit
def hardsigmoid(x):
    low = tl.where(x < -3.0, 0.0, x + 3.0)
    return tl.where(low > 6.0, 6.0, low) / 6.0


@pointwise("hardswish")
@triton.jit
def hardswish(x):
    low = tl.where(x < -3.0, 0.0, x + 3.0)
    return x * tl.where(low > 6.0, 6.0, low) / 6.0


def sixth_of_gradient(gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What tests compare with: PyTorch's own takes 1/6 in single precision."""
    return torch.where((x > -3) & (x < 3), gradient / 6, torch.zeros_like(gradient))


@pointwise("hardsigmoid_backward", reference=sixth_of_gradient)
@triton.jit
def hardsigmoid_backward(gradient, x):
    return tl.where((x > -3.0) & (x < 3.0), gradient / 6.0, 0.0)


@pointwise("hardswish_backward")
@triton.jit
def hardswish_backward(gradient, x):
    return tl.where(x <= -3.0, 0.0, tl.where(x < 3.0, gradient * (x / 3.0 + 0.5), gradient))
