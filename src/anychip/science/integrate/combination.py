"""Sums of stages as solvers of differential equations need them, on one kernel, with gradients. Flows in: a
state [n], slopes [n] and weights. Flows out: the next state, and how large an error is beside a tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.kernels.numbers import double
from ...ops.launching import launch, scalar_bits
from ..krylov.vectors import gather

BLOCK = 64


@triton.jit(do_not_specialize=["rtol", "atol"])
def error_kernel(out, first, second, error, count, rtol: tl.int64, atol: tl.int64, BLOCK: tl.constexpr):
    """out = the sum of the squares of error / (atol + rtol max(|first|, |second|)). One program."""
    relative = double(rtol)
    absolute = double(atol)
    sums = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, count, BLOCK):
        at = start + tl.arange(0, BLOCK)
        mask = at < count
        a = tl.abs(tl.load(first + at, mask=mask, other=0).to(tl.float64))
        b = tl.abs(tl.load(second + at, mask=mask, other=0).to(tl.float64))
        # a NaN in either must reach the sum
        scale = absolute + relative * tl.where(a > b, a, b)
        ratio = tl.load(error + at, mask=mask, other=0).to(tl.float64) / scale + 0.0 * (a + b)
        sums += tl.where(mask, ratio * ratio, 0.0)
    tl.store(out, tl.sum(sums))


class Combined(torch.autograd.Function):
    """A state and a weighted sum of slopes."""

    @staticmethod
    def forward(ctx: Any, y: torch.Tensor, weights: Sequence[float], *slopes: torch.Tensor) -> torch.Tensor:
        """y + the sum of weights[k] slopes[k]."""
        ctx.weights = weights
        out = y.detach().clone()
        if out.numel():
            numbers = torch.tensor(weights, dtype=torch.float64, device=y.device)
            gather(out, torch.stack(slopes), numbers)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient, and its multiples."""
        (g,) = grad_outputs
        return g, None, *(weight * g for weight in ctx.weights)


def combined(y: torch.Tensor, weights: Sequence[float], slopes: Sequence[torch.Tensor]) -> torch.Tensor:
    """y [n] + the sum of weights[k] slopes[k] [n]; zero weights are left out."""
    pairs = [(float(w), k) for w, k in zip(weights, slopes, strict=True) if w]
    if not pairs:
        return y
    return Combined.apply(y, [w for w, _ in pairs], *(k for _, k in pairs))


def size_of(
    error: torch.Tensor, first: torch.Tensor, second: torch.Tensor, rtol: float, atol: float
) -> float:
    """The root of the mean square of the error beside atol + rtol times the larger of two states."""
    if not error.numel():
        return 0.0
    out = torch.empty(1, dtype=torch.float64, device=error.device)
    bits = scalar_bits(rtol, True), scalar_bits(atol, True)
    x, y = first.detach().contiguous(), second.detach().contiguous()
    launch(error_kernel, 1, out, x, y, error.detach(), error.numel(), *bits, BLOCK=BLOCK)
    return math.sqrt(float(out) / error.numel())
