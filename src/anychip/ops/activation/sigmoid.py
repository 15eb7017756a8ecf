"""Sigmoid and the activations built on it: silu, softplus, elu, mish, with backward operators."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..pointwise import Promotion, pointwise


@pointwise("sigmoid", domain="activation", promotion=Promotion.INT_TO_FLOAT)
@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@pointwise("sigmoid_backward", domain="activation", differentiable=False)
@triton.jit
def sigmoid_backward(gradient, output):
    return gradient * (1.0 - output) * output


@pointwise("silu", domain="activation")
@triton.jit
def silu(x):
    return x / (1.0 + tl.exp(-x))


@pointwise("silu_backward", domain="activation", differentiable=False, low=-3.0, high=3.0)
@triton.jit
def silu_backward(gradient, x):
    share = 1.0 / (1.0 + tl.exp(-x))
    return gradient * share * (1.0 + x * (1.0 - share))


@pointwise("softplus", domain="activation")
@triton.jit
def softplus(x, beta, threshold):
    scaled = x * beta
    return tl.where(scaled > threshold, x, libdevice.log1p(tl.exp(scaled)) / beta)


@pointwise("softplus_backward", domain="activation", differentiable=False, low=-3.0, high=3.0)
@triton.jit
def softplus_backward(gradient, x, beta, threshold):
    scaled = x * beta
    return tl.where(scaled > threshold, gradient, gradient / (1.0 + tl.exp(-scaled)))


@pointwise("elu", domain="activation")
@triton.jit
def elu(x, alpha, scale, input_scale):
    return tl.where(x > 0, x * scale, libdevice.expm1(x * input_scale) * alpha * scale)


@pointwise("mish", domain="activation", low=-3.0, high=3.0)
@triton.jit
def mish(x):
    return x * libdevice.tanh(libdevice.log1p(tl.exp(x)))
