"""Rectifiers: relu and its leaky, clipped and hard relatives, with their backward operators."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..pointwise import pointwise
from ..registry import FLOATING, INTEGRAL


@pointwise("relu", domain="activation", dtypes=(*FLOATING, *INTEGRAL))
@triton.jit
def relu(x):
    return tl.where(x < 0, 0, x)


@pointwise("threshold_backward", domain="activation", differentiable=False)
@triton.jit
def threshold_backward(gradient, x, threshold):
    return tl.where(x <= threshold, 0.0, gradient)


@pointwise("threshold", domain="activation")
@triton.jit
def threshold(x, limit, value):
    return tl.where(x <= limit, value, x)


@pointwise("leaky_relu", domain="activation")
@triton.jit
def leaky_relu(x, slope):
    return tl.where(x > 0, x, x * slope)


@pointwise(
    "leaky_relu_backward(grad_output, self, negative_slope)", domain="activation", differentiable=False
)
@triton.jit
def leaky_relu_backward(gradient, x, slope):
    return tl.where(x > 0, gradient, gradient * slope)


@pointwise("hardtanh", domain="activation")
@triton.jit
def hardtanh(x, low, high):
    return tl.where(x < low, low, tl.where(x > high, high, x))


@pointwise("hardtanh_backward", domain="activation", differentiable=False)
@triton.jit
def hardtanh_backward(gradient, x, low, high):
    return tl.where((x > low) & (x < high), gradient, 0.0)


@pointwise("hardsigmoid", domain="activation")
@triton.jit
def hardsigmoid(x):
    low = tl.where(x < -3.0, 0.0, x + 3.0)
    return tl.where(low > 6.0, 6.0, low) / 6.0


@pointwise("hardswish", domain="activation")
@triton.jit
def hardswish(x):
    low = tl.where(x < -3.0, 0.0, x + 3.0)
    return x * tl.where(low > 6.0, 6.0, low) / 6.0


def sixth_of_gradient(gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What tests compare with: PyTorch's own takes 1/6 in single precision."""
    return torch.where((x > -3) & (x < 3), gradient / 6, torch.zeros_like(gradient))


@pointwise("hardsigmoid_backward", domain="activation", reference=sixth_of_gradient)
@triton.jit
def hardsigmoid_backward(gradient, x):
    return tl.where((x > -3.0) & (x < 3.0), gradient / 6.0, 0.0)


@pointwise("hardswish_backward", domain="activation")
@triton.jit
def hardswish_backward(gradient, x):
    return tl.where(x <= -3.0, 0.0, tl.where(x < 3.0, gradient * (x / 3.0 + 0.5), gradient))
