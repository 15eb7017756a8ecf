"""Sigmoid and the activations built on it: silu, softplus, elu, mish, log sigmoid, with their backward
operators."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import ArgumentError
from ..pointwise import TILES, Number, Pointwise, Promotion, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, special, tensor


@pointwise("sigmoid", promotion=Promotion.INT_TO_FLOAT)
@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@pointwise("sigmoid_backward", differentiable=False)
@triton.jit
def sigmoid_backward(gradient, output):
    return gradient * (1.0 - output) * output


@pointwise("silu")
@triton.jit
def silu(x):
    return x / (1.0 + tl.exp(-x))


@pointwise("silu_backward", differentiable=False, low=-3.0, high=3.0)
@triton.jit
def silu_backward(gradient, x):
    share = 1.0 / (1.0 + tl.exp(-x))
    return gradient * share * (1.0 + x * (1.0 - share))


@pointwise("softplus")
@triton.jit
def softplus(x, beta, threshold):
    scaled = x * beta
    return tl.where(scaled > threshold, x, libdevice.log1p(tl.exp(scaled)) / beta)


@pointwise("softplus_backward", differentiable=False, low=-3.0, high=3.0)
@triton.jit
def softplus_backward(gradient, x, beta, threshold):
    scaled = x * beta
    return tl.where(scaled > threshold, gradient, gradient / (1.0 + tl.exp(-scaled)))


@pointwise("elu")
@triton.jit
def elu(x, alpha, scale, input_scale):
    return tl.where(x > 0, x * scale, libdevice.expm1(x * input_scale) * alpha * scale)


@pointwise("mish", low=-3.0, high=3.0)
@triton.jit
def mish(x):
    return x * libdevice.tanh(libdevice.log1p(tl.exp(x)))


@pointwise("mish_backward", low=-3.0, high=3.0)
@triton.jit
def mish_backward(gradient, x):
    share = 1.0 / (1.0 + tl.exp(-x))
    bend = libdevice.tanh(libdevice.log1p(tl.exp(x)))
    return gradient * (bend + x * share * (1.0 - bend * bend))


# ---- elu backward, from the input or from the result ---------------------------------------------------


@triton.jit
def elu_slope(gradient, x, alpha, scale, input_scale):
    below = gradient * (input_scale * alpha * scale) * tl.exp(x * input_scale)
    return tl.where(x <= 0, below, gradient * scale)


@triton.jit
def elu_slope_of_result(gradient, result, alpha, scale, input_scale):
    below = gradient * input_scale * (result + alpha * scale)
    return tl.where(result <= 0, below, gradient * scale)


SLOPES = {False: Pointwise(elu_slope), True: Pointwise(elu_slope_of_result)}


def elu_backward(
    grad_output: torch.Tensor,
    alpha: Number,
    scale: Number,
    input_scale: Number,
    is_result: bool,
    self_or_result: torch.Tensor,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Gradient of elu at its input, or at the input that gave its result."""
    if is_result and alpha < 0:
        raise ArgumentError(
            "In-place elu backward calculation is triggered with a negative slope which is not supported; "
            f"call elu out of place instead (alpha {alpha})"
        )
    return SLOPES[is_result](grad_output, self_or_result, alpha, scale, input_scale, out=out)


# ---- log sigmoid ------------------------------------------------------------------------------------


@triton.jit
def log_sigmoid(x):
    return tl.where(x < 0, x, 0.0) - libdevice.log1p(tl.exp(-tl.abs(x)))


@triton.jit
def decay(x):
    return tl.exp(-tl.abs(x))


@triton.jit
def log_sigmoid_slope(gradient, x):
    distance = tl.exp(-tl.abs(x))
    return gradient * tl.where(x < 0, 1.0, distance) / (1.0 + distance)


LOG_SIGMOID, DECAY, LOG_SIGMOID_SLOPE = Pointwise(log_sigmoid), Pointwise(decay), Pointwise(log_sigmoid_slope)


def log_sigmoid_forward(self: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(log sigmoid(x), exp(-|x|)); PyTorch's own backward operator reads the second."""
    return LOG_SIGMOID(self), DECAY(self)


def log_sigmoid_backward(
    grad_output: torch.Tensor, self: torch.Tensor, buffer: torch.Tensor, *, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Gradient of log sigmoid at self."""
    return LOG_SIGMOID_SLOPE(grad_output, self, out=out)


# ---- records ----------------------------------------------------------------------------------------


def _elu_gradients(dtype: torch.dtype) -> Iterable[Sample]:
    gradient, x = tensor((5, 7), dtype), tensor((5, 7), dtype, seed=1)
    for is_result in (False, True):
        yield Sample((gradient, 1.0, 1.0, 1.0, is_result, x))
        yield Sample((gradient, 1.5, 2.0, 0.5, is_result, x.t().contiguous().t()))


def _inputs(dtype: torch.dtype) -> Iterable[Sample]:
    for x in (tensor((17,), dtype), next(layouts(tensor((3, 4, 5), dtype))), special(dtype)):
        yield Sample((x,))


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _inputs(dtype):
        x = sample.arguments[0]
        yield Sample((torch.ones_like(x), x, (-x.abs()).exp()))


register(
    Operator(
        name="elu_backward",
        overloads=(Overload("elu_backward", elu_backward, _elu_gradients),),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
    )
)
register(
    Operator(
        name="log_sigmoid",
        overloads=(
            Overload("log_sigmoid_forward", log_sigmoid_forward, _inputs, takes_out=False),
            Overload("log_sigmoid_backward", log_sigmoid_backward, _gradients),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("log_sigmoid_forward", lambda dtype: Sample((tensor((4096, 1024), dtype),))),),
        tolerance=2.0,
    )
)
