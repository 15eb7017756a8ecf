"""Rectifiers with slopes that are learned (prelu) or drawn at random (rrelu)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..pointwise import TILES, Pointwise, apart
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..random.philox import uniform_
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, tensor
from .rectifier import leaky_relu

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def sloped(x, weight):
    return tl.where(x > 0, x, x * weight)


@triton.jit
def slope_of_input(gradient, x, weight):
    return tl.where(x > 0, gradient, gradient * weight)


@triton.jit
def slope_of_weight(gradient, x):
    return tl.where(x > 0, 0.0, gradient * x)


@triton.jit
def slopes(x, drawn):
    return tl.where(x <= 0, drawn, 1.0)


@triton.jit
def product(x, y):
    return x * y


SLOPED, SLOPE_OF_INPUT = Pointwise(sloped), Pointwise(slope_of_input)
SLOPE_OF_WEIGHT, SLOPES, PRODUCT = Pointwise(slope_of_weight), Pointwise(slopes), Pointwise(product)

# ---- forward, backward ----------------------------------------------------------------------------


def prelu(self: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x above zero, weight * x below; weight is broadcast to x."""
    return SLOPED(self, weight)


def prelu_backward(
    grad_output: torch.Tensor, self: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of input and weight, both before the sum over what weight was broadcast along."""
    return SLOPE_OF_INPUT(grad_output, self, weight), SLOPE_OF_WEIGHT(grad_output, self)


def rrelu_with_noise(
    self: torch.Tensor,
    noise: torch.Tensor,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Any = None,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """x above zero, and below x times a slope drawn from [lower, upper) (their mean when not training).
    The slopes are written to `noise`, for the backward operator."""
    if lower > upper:
        raise ArgumentError(
            "Lower bound should be less than or equal to the upper bound, "
            f"but found lower {lower} and upper {upper}"
        )
    if not training:
        return leaky_relu(self, (lower + upper) / 2, out=out)
    if noise.shape != self.shape:
        raise ArgumentError(f"noise tensor shape must match self tensor shape; got {list(noise.shape)}")
    drawn = uniform_(torch.empty_like(self), lower, upper, generator=generator)
    SLOPES(self, drawn, out=noise)
    return PRODUCT(self if out is None else apart(self, out), noise, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _weighted(dtype: torch.dtype) -> Iterable[Sample]:
    weight = tensor((4, 1), dtype, seed=1)
    yield Sample((tensor((3, 4, 5), dtype), weight))
    yield Sample((next(layouts(tensor((3, 4, 5), dtype))), weight))
    yield Sample((tensor((0, 4, 5), dtype), weight))


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _weighted(dtype):
        x, weight = sample.arguments
        yield Sample((tensor(x.shape, dtype, seed=2), x, weight))


def _means(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((3, 5), dtype)
    yield Sample((x, torch.zeros_like(x), 0.25, 0.5))


def _large(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), tensor((1024,), dtype, seed=1)))


register(
    Operator(
        name="prelu",
        overloads=(
            Overload("_prelu_kernel", prelu, _weighted, takes_out=False),
            Overload("_prelu_kernel_backward", prelu_backward, _gradients, takes_out=False),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("_prelu_kernel", _large),),
    )
)
register(
    Operator(
        name="rrelu",
        overloads=(Overload("rrelu_with_noise", rrelu_with_noise, _means),),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
    )
)
