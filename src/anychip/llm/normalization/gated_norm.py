"""RMS norm of rows that a gate multiplies, as Mamba-2 and gated delta networks end their mixers: norm first
or gate first, over the whole row or over groups of it, with gradients. Flows in: hidden states and gates
[..., length], a weight [length]. Flows out: [..., length]."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.kernels.row_sums import group_sum_kernel, sum_groups
from ...ops.launching import cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..activation.gated import silu
from ..registry import Fused, register
from .rms_norm import TILES

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def gated_norm_kernel(
    out, rstd_out, x, gate, weight, length, groups, eps, NORM_FIRST: tl.constexpr, BLOCK: tl.constexpr
):
    """One group of one row: norm(x) weight silu(gate), or norm(x silu(gate)) weight."""
    part = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    mask = lane < length
    at = part * length + lane
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    opened, _ = silu(tl.load(gate + at, mask=mask, other=0.0).to(tl.float32))
    if not NORM_FIRST:
        value *= opened
    rstd = tl.rsqrt(tl.sum(value * value, 0) / length + eps)
    result = value * rstd
    result *= tl.load(weight + part % groups * length + lane, mask=mask, other=0.0).to(tl.float32)
    if NORM_FIRST:
        result *= opened
    tl.store(out + at, result.to(out.dtype.element_ty), mask=mask)
    tl.store(rstd_out + part, rstd)


@triton.jit
def gated_norm_backward_kernel(
    dx,
    dgate,
    dweight,
    dy,
    x,
    gate,
    weight,
    rstd,
    rows,
    length,
    groups,
    rows_per_share,
    NORM_FIRST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One group of a share of the rows."""
    share = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1)
    lane = tl.arange(0, BLOCK)
    mask = lane < length
    factor = tl.load(weight + group * length + lane, mask=mask, other=0.0).to(tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    first = share * rows_per_share
    for row in range(first, tl.minimum(first + rows_per_share, rows)):
        part = row * groups + group
        at = part * length + lane
        value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
        opened, slope = silu(tl.load(gate + at, mask=mask, other=0.0).to(tl.float32))
        gradient = tl.load(dy + at, mask=mask, other=0.0).to(tl.float32)
        scale = tl.load(rstd + part)
        source = value
        if not NORM_FIRST:
            source = value * opened
        normal = source * scale
        inner = gradient * factor
        if NORM_FIRST:
            tl.store(dgate + at, (inner * normal * slope).to(dgate.dtype.element_ty), mask=mask)
            inner *= opened
            total += gradient * opened * normal
        else:
            total += gradient * normal
        result = scale * (inner - normal * (tl.sum(inner * normal, 0) / length))
        if not NORM_FIRST:
            tl.store(dgate + at, (result * value * slope).to(dgate.dtype.element_ty), mask=mask)
            result *= opened
        tl.store(dx + at, result.to(dx.dtype.element_ty), mask=mask)
    tl.store(dweight + (share * groups + group) * length + lane, total, mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


class GatedNorm(torch.autograd.Function):
    """Rows are cut into `groups` equal parts, each with a norm of its own."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        gate: torch.Tensor,
        weight: torch.Tensor,
        groups: int,
        eps: float,
        norm_first: bool,
    ) -> torch.Tensor:
        """The norm of x times silu(gate), or the norm first and the gate after it (`norm_first`), times
        weight."""
        x, gate, weight = x.contiguous(), gate.contiguous(), weight.contiguous()
        length = weight.numel() // groups
        parts = x.numel() // max(length, 1)
        out = torch.empty_like(x)
        rstd = torch.empty(parts, dtype=torch.float32, device=x.device)
        constants = {"NORM_FIRST": norm_first, "BLOCK": power_of_two(length)}
        launch(gated_norm_kernel, parts, out, rstd, x, gate, weight, length, groups, eps, **constants)
        ctx.save_for_backward(x, gate, weight, rstd)
        ctx.sizes = length, groups, constants
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of x, gate and weight."""
        x, gate, weight, rstd = ctx.saved_tensors
        length, groups, constants = ctx.sizes
        rows = rstd.numel() // groups
        shares = max(1, min(TILES.on(x)["groups"], rows))
        dx, dgate, dweight = torch.empty_like(x), torch.empty_like(gate), torch.empty_like(weight)
        partial = torch.empty((shares, weight.numel()), dtype=torch.float32, device=x.device)
        launch(
            gated_norm_backward_kernel,
            (shares, groups),
            dx,
            dgate,
            partial,
            grad_outputs[0].contiguous(),
            x,
            gate,
            weight,
            rstd,
            rows,
            length,
            groups,
            cdiv(rows, shares),
            **constants,
        )
        sum_groups(dweight, partial, shares)
        return dx, dgate, dweight, None, None, None


def gated_rms_norm(
    x: torch.Tensor,
    gate: torch.Tensor,
    weight: torch.Tensor,
    groups: int = 1,
    eps: float = 1e-5,
    norm_first: bool = False,
) -> torch.Tensor:
    """norm(x silu(gate)) weight, or norm(x) weight silu(gate) with `norm_first`; norm(s) = s / rms(s).

    x and gate [..., length], weight [length], whose `groups` equal parts have norms of their own.
    Differentiable in all three. Raises ArgumentError.
    """
    if gate.shape != x.shape or weight.shape != x.shape[-1:] or groups < 1 or weight.numel() % groups:
        raise ArgumentError(
            f"gated_rms_norm: x {tuple(x.shape)}, gate {tuple(gate.shape)} and weight {tuple(weight.shape)} "
            f"must be alike in their last dimension, which {groups} groups must divide"
        )
    return GatedNorm.apply(x, gate, weight, groups, eps, norm_first)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    x: torch.Tensor,
    gate: torch.Tensor,
    weight: torch.Tensor,
    groups: int = 1,
    eps: float = 1e-5,
    norm_first: bool = False,
) -> torch.Tensor:
    source = x if norm_first else x * F.silu(gate)
    parts = source.unflatten(-1, (groups, -1))
    parts = parts * torch.rsqrt(parts.square().mean(-1, keepdim=True) + eps)
    out = parts.flatten(-2) * weight
    return out * F.silu(gate) if norm_first else out


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    x, gate = tensor((3, 7), dtype), tensor((3, 7), dtype, seed=1)
    yield Sample((x, gate, tensor((7,), dtype, seed=2)), {"norm_first": True})
    x, gate = tensor((64, 20), dtype).t(), tensor((20, 64), dtype, seed=1)
    yield Sample((x, gate, tensor((64,), dtype, seed=2), 4))


register(
    Fused(
        "gated_rms_norm",
        "normalization",
        gated_rms_norm,
        _reference,
        _samples,
        (gated_norm_kernel, gated_norm_backward_kernel, group_sum_kernel),
        differentiable=True,
    )
)
