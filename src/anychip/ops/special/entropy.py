"""Functions around x log x, and the logit: logarithms with the limits at zero that probabilities need."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..pointwise import TILES, Pointwise, Promotion, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import layouts, special, tensor

FLOAT = Promotion.INT_TO_FLOAT


@pointwise("special_xlog1py", promotion=FLOAT, low=-0.9, high=4.0)
@triton.jit
def special_xlog1py(x, y):
    return tl.where(y != y, y, tl.where(x == 0, 0.0, x * libdevice.log1p(y)))


@pointwise("special_entr", promotion=FLOAT, low=0.0, high=4.0)
@triton.jit
def special_entr(x):
    """-x log x, 0 at zero, minus infinity below."""
    value = tl.where(x > 0, -x * tl.log(x), tl.where(x == 0, 0.0, float("-inf")))
    return tl.where(x != x, x, value)


# ---- logit ----------------------------------------------------------------------------------------


@triton.jit
def logit_of(x):
    return tl.log(x / (1.0 - x))


@triton.jit
def logit_within(x, margin):
    high = 1.0 - margin
    inside = tl.where(x < margin, margin, tl.where(x > high, high, x))
    return tl.log(inside / (1.0 - inside))


@triton.jit
def logit_slope(gradient, x):
    slope = tl.where((x == 0) | (x == 1), gradient * float("inf"), gradient / (x * (1.0 - x)))
    return tl.where((x < 0) | (x > 1), float("nan"), slope)


@triton.jit
def logit_slope_within(gradient, x, margin):
    return tl.where((x < margin) | (x > 1.0 - margin), 0.0, gradient / (x * (1.0 - x)))


LOGIT, LOGIT_WITHIN = Pointwise(logit_of, FLOAT), Pointwise(logit_within, FLOAT)
SLOPE, SLOPE_WITHIN = Pointwise(logit_slope), Pointwise(logit_slope_within)


def logit(self: torch.Tensor, eps: float | None = None, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """log(x / (1 - x)), with x limited to [eps, 1 - eps] if eps is given."""
    if eps is None or eps < 0:
        return LOGIT(self, out=out)
    return LOGIT_WITHIN(self, eps, out=out)


def logit_backward(
    grad_output: torch.Tensor, self: torch.Tensor, eps: float | None = None, *, out: Any = None
) -> torch.Tensor:
    """Gradient of logit at self: NaN outside [0, 1], or 0 outside [eps, 1 - eps]."""
    if eps is None or eps < 0:
        return SLOPE(grad_output, self, out=out)
    return SLOPE_WITHIN(grad_output, self, eps, out=out)


def _probabilities(dtype: torch.dtype) -> Iterable[Sample]:
    for x in (tensor((17,), dtype, 0.05, 0.95), next(layouts(tensor((3, 4, 5), dtype, 0.05, 0.95)))):
        yield Sample((x,))
        yield Sample((x, 0.125))
    yield Sample((special(dtype),))
    yield Sample((special(dtype), 0.125))
    yield Sample((tensor((0, 3), dtype),))


def _slopes(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _probabilities(dtype):
        x, *eps = sample.arguments
        # Without NaN and the negative zero, where PyTorch's result depends on the type and the processor.
        x = x.nan_to_num(0.25, math.inf, -math.inf) + 0.0 if x.ndim == 1 else x
        yield Sample((tensor(x.shape, dtype, seed=3), x, *eps))


register(
    Operator(
        name="logit",
        overloads=(
            Overload("logit", logit, _probabilities),
            Overload("logit_backward", logit_backward, _slopes),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(
            Benchmark("logit", lambda dtype: Sample((tensor((4096, 1024), dtype, 0.05, 0.95), 0.125))),
        ),
        tolerance=4.0,
    )
)
