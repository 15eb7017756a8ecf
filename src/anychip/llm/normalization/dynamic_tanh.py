"""Dynamic tanh, which stands in for a norm without reducing anything (Zhu et al., arXiv:2503.10622):
weight tanh(alpha x) + bias, with gradients. Flows in: hidden states [..., length]. Flows out: the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.kernels.row_sums import group_sum_kernel, sum_groups
from ...ops.launching import cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .rms_norm import TILES

COLUMNS = 512

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def tanh_of(x):
    """tanh, exact for small numbers, too."""
    return libdevice.tanh(x)


@triton.jit
def dynamic_tanh_kernel(out, x, alpha, weight, bias, length, BLOCK: tl.constexpr):
    """One block of one row."""
    row = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < length
    value = tl.load(x + row * length + lane, mask=mask, other=0.0).to(tl.float32)
    result = tanh_of(value * tl.load(alpha).to(tl.float32))
    result *= tl.load(weight + lane, mask=mask, other=0.0).to(tl.float32)
    if bias is not None:
        result += tl.load(bias + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * length + lane, result.to(out.dtype.element_ty), mask=mask)


@triton.jit
def dynamic_tanh_backward_kernel(
    dx, dalpha, dweight, dbias, dy, x, alpha, weight, rows, length, rows_per_group, BLOCK: tl.constexpr
):
    """One block of columns of one group of rows: dx, and the group's shares of what is summed over rows."""
    group = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < length
    a = tl.load(alpha).to(tl.float32)
    factor = tl.load(weight + lane, mask=mask, other=0.0).to(tl.float32)
    total_alpha = tl.zeros((BLOCK,), tl.float32)
    total_weight = tl.zeros((BLOCK,), tl.float32)
    total_bias = tl.zeros((BLOCK,), tl.float32)
    first = group * rows_per_group
    for row in range(first, tl.minimum(first + rows_per_group, rows)):
        at = row * length + lane
        value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        gradient = tl.load(dy + at, mask=mask, other=0.0).to(tl.float32)
        t = tanh_of(value * a)
        slope = gradient * factor * (1.0 - t * t)
        total_alpha += slope * value
        total_weight += gradient * t
        total_bias += gradient
        tl.store(dx + at, (slope * a).to(dx.dtype.element_ty), mask=mask)
    at = group * length + lane
    tl.store(dalpha + at, total_alpha, mask=mask)
    tl.store(dweight + at, total_weight, mask=mask)
    tl.store(dbias + at, total_bias, mask=mask)


@triton.jit
def whole_sum_kernel(out, values, count, BLOCK: tl.constexpr):
    """The sum of `count` numbers."""
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, count, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        total += tl.load(values + lane, mask=lane < count, other=0.0)
    tl.store(out, tl.sum(total, 0).to(out.dtype.element_ty))


# ---- forward, backward ----------------------------------------------------------------------------


class DynamicTanh(torch.autograd.Function):
    """weight tanh(alpha x) + bias."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, alpha: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """weight tanh(alpha x) + bias, in the shape of `x`."""
        x, alpha, weight = x.contiguous(), alpha.contiguous(), weight.contiguous()
        length = x.shape[-1]
        out = torch.empty_like(x)
        block = min(COLUMNS, power_of_two(length))
        launch(
            dynamic_tanh_kernel,
            (cdiv(length, block), x.numel() // max(length, 1)),
            out,
            x,
            alpha,
            weight,
            None if bias is None else bias.contiguous(),
            length,
            BLOCK=block,
        )
        ctx.save_for_backward(x, alpha, weight)
        ctx.has_bias = bias is not None
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of x, alpha, weight and bias (None without one)."""
        x, alpha, weight = ctx.saved_tensors
        length, device = x.shape[-1], x.device
        rows = x.numel() // max(length, 1)
        groups = max(1, min(TILES.on(device)["groups"], rows))
        dx, dalpha, dweight = torch.empty_like(x), torch.empty_like(alpha), torch.empty_like(weight)
        dbias = torch.empty_like(weight)
        partial = torch.empty((3, groups, length), dtype=torch.float32, device=device)
        block = min(COLUMNS, power_of_two(length))
        launch(
            dynamic_tanh_backward_kernel,
            (cdiv(length, block), groups),
            dx,
            partial[0],
            partial[1],
            partial[2],
            grad_outputs[0].contiguous(),
            x,
            alpha,
            weight,
            rows,
            length,
            cdiv(rows, groups),
            BLOCK=block,
        )
        launch(whole_sum_kernel, 1, dalpha, partial[0], groups * length, BLOCK=512)
        for out, part in ((dweight, partial[1]), (dbias, partial[2])):
            sum_groups(out, part, groups)
        return dx, dalpha, dweight, (dbias if ctx.has_bias else None)


def dynamic_tanh(
    x: torch.Tensor, alpha: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """weight tanh(alpha x) + bias.

    x [..., length] floating, alpha one number, weight and bias [length]. Differentiable in all. Raises
    ArgumentError.
    """
    length = x.shape[-1] if x.ndim else 0
    fits = weight.shape == (length,) and (bias is None or bias.shape == (length,))
    if not fits or alpha.numel() != 1:
        raise ArgumentError(
            f"dynamic_tanh: alpha {tuple(alpha.shape)} must be one number, weight {tuple(weight.shape)} and "
            f"bias ({length},) for x {tuple(x.shape)}"
        )
    return DynamicTanh.apply(x, alpha, weight, bias)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    x: torch.Tensor, alpha: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    out = weight * torch.tanh(alpha * x)
    return out if bias is None else out + bias


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    alpha = torch.tensor([0.5], dtype=dtype)
    yield Sample((tensor((3, 7), dtype), alpha, tensor((7,), dtype, seed=1)))
    parts = (tensor((600,), dtype, seed=k) for k in (1, 2))
    yield Sample((tensor((600, 20), dtype).t(), alpha, *parts))


register(
    Fused(
        "dynamic_tanh",
        "normalization",
        dynamic_tanh,
        _reference,
        _samples,
        (dynamic_tanh_kernel, dynamic_tanh_backward_kernel, whole_sum_kernel, group_sum_kernel),
        differentiable=True,
    )
)
