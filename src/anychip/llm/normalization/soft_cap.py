"""Capped logits (Gemma 2): a function of single elements that keeps them in bounds. Flows in: activations of
any shape. Flows out: the same shape; gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ...ops.errors import ArgumentError
from ...ops.launching import cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

BLOCK = 1024

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def soft_cap_kernel(out, x, gradient, cap, count, BLOCK: tl.constexpr):
    """out = cap tanh(x / cap), or the gradient times its derivative where there is one."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32) / cap
    t = libdevice.tanh(value)
    result = cap * t
    if gradient is not None:
        result = (1.0 - t * t) * tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


class SoftCap(torch.autograd.Function):
    """cap tanh(x / cap)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cap: float) -> torch.Tensor:
        """cap tanh(x / cap), in the shape of `x`."""
        x = x.contiguous()
        out = torch.empty_like(x)
        launch(soft_cap_kernel, cdiv(x.numel(), BLOCK), out, x, None, cap, x.numel(), BLOCK=BLOCK)
        ctx.save_for_backward(x)
        ctx.cap = cap
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of x."""
        (x,) = ctx.saved_tensors
        out, gradient = torch.empty_like(x), grad_outputs[0].contiguous()
        launch(soft_cap_kernel, cdiv(x.numel(), BLOCK), out, x, gradient, ctx.cap, x.numel(), BLOCK=BLOCK)
        return out, None


def soft_cap(x: torch.Tensor, cap: float) -> torch.Tensor:
    """cap tanh(x / cap) of a floating tensor of any shape, cap above 0. Differentiable. Raises
    ArgumentError."""
    if not cap > 0.0:
        raise ArgumentError(f"soft_cap: the cap must be above 0, not {cap}")
    return SoftCap.apply(x, cap)


# ---- records --------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 7), dtype), 2.0))
    yield Sample((tensor((50, 60), dtype).t(), 0.75))


register(
    Fused(
        "soft_cap",
        "normalization",
        soft_cap,
        lambda x, cap: cap * torch.tanh(x / cap),
        _samples,
        (soft_cap_kernel,),
        differentiable=True,
    )
)
