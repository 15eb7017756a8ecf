"""RMS norm of rows, alone and after adding a residual, with gradients (Zhang and Sennrich, 2019). Flows in:
hidden states of shape [..., length] and a weight of shape [length]. Flows out: the normalised rows, and the
sum where there is a residual."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.kernels.row_sums import group_sum_kernel, sum_groups
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"groups": 128}, simd={"groups": 8})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def rms_norm_kernel(out, summed, rstd_out, x, residual, weight, length, eps, shift, BLOCK: tl.constexpr):
    """One row: out = s / rms(s) * (shift + weight), s = x + residual; s and 1/rms are kept."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    mask = lane < length
    at = row * length + lane
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    if residual is not None:
        value += tl.load(residual + at, mask=mask, other=0.0).to(tl.float32)
        stored = value.to(summed.dtype.element_ty)
        tl.store(summed + at, stored, mask=mask)
        value = stored.to(tl.float32)
    rstd = tl.rsqrt(tl.sum(value * value, 0) / length + eps)
    factor = tl.load(weight + lane, mask=mask, other=0.0).to(tl.float32) + shift
    tl.store(out + at, (value * rstd * factor).to(out.dtype.element_ty), mask=mask)
    tl.store(rstd_out + row, rstd)


@triton.jit
def rms_norm_backward_kernel(
    dx, dweight, dy, dsum, source, weight, rstd, rows, length, rows_per_group, shift, BLOCK: tl.constexpr
):
    """dx = rstd (g - xhat mean(g xhat)) + dsum, g = dy (shift + weight), of one group of rows; and the
    group's share of dweight."""
    group = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    mask = lane < length
    factor = tl.load(weight + lane, mask=mask, other=0.0).to(tl.float32) + shift
    total = tl.zeros((BLOCK,), tl.float32)
    first = group * rows_per_group
    for row in range(first, tl.minimum(first + rows_per_group, rows)):
        at = row * length + lane
        scale = tl.load(rstd + row)
        normal = tl.load(source + at, mask=mask, other=0.0).to(tl.float32) * scale
        gradient = tl.load(dy + at, mask=mask, other=0.0).to(tl.float32)
        g = gradient * factor
        inner = tl.sum(g * normal, 0) / length
        total += gradient * normal
        result = scale * (g - normal * inner)
        if dsum is not None:
            result += tl.load(dsum + at, mask=mask, other=0.0).to(tl.float32)
        tl.store(dx + at, result.to(dx.dtype.element_ty), mask=mask)
    tl.store(dweight + group * length + lane, total, mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


class RMSNorm(torch.autograd.Function):
    """`forward` gives the normalised rows and the sum (None without a residual)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        residual: torch.Tensor | None,
        eps: float,
        shift: float,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """RMS norm of x + residual over the last dimension, times (weight + shift)."""
        length = x.shape[-1]
        if weight.shape != (length,) or (residual is not None and residual.shape != x.shape):
            raise ArgumentError(
                f"rms_norm: weight {tuple(weight.shape)} and a residual like x do not fit x of shape "
                f"{tuple(x.shape)}; give weight of shape ({length},)"
            )
        x, weight = x.contiguous(), weight.contiguous()
        residual = None if residual is None else residual.contiguous()
        rows = x.numel() // max(length, 1)
        out = torch.empty_like(x)
        summed = x if residual is None else torch.empty_like(x)
        rstd = torch.empty(rows, dtype=torch.float32, device=x.device)
        launch(
            rms_norm_kernel,
            rows,
            out,
            summed,
            rstd,
            x,
            residual,
            weight,
            length,
            eps,
            shift,
            BLOCK=power_of_two(length),
        )
        ctx.save_for_backward(summed, weight, rstd)
        ctx.shift, ctx.has_residual = shift, residual is not None
        return out, (None if residual is None else summed)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of x, weight and residual, which has that of x."""
        dy, dsum = grad_outputs
        source, weight, rstd = ctx.saved_tensors
        length, rows = source.shape[-1], rstd.numel()
        groups = max(1, min(TILES.on(source)["groups"], rows))
        dx = torch.empty_like(source)
        partial = torch.empty((groups, length), dtype=torch.float32, device=source.device)
        launch(
            rms_norm_backward_kernel,
            groups,
            dx,
            partial,
            dy.contiguous(),
            None if dsum is None else dsum.contiguous(),
            source,
            weight,
            rstd,
            rows,
            length,
            cdiv(rows, groups),
            ctx.shift,
            BLOCK=power_of_two(length),
        )
        dweight = torch.empty_like(weight)
        sum_groups(dweight, partial, groups)
        return dx, dweight, (dx if ctx.has_residual else None), None, None


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6, shift: float = 0.0) -> torch.Tensor:
    """x / sqrt(mean(x^2) + eps) * (shift + weight) over the last dimension; `shift` 1 for Gemma's weights.

    x [..., length] floating, weight [length]. Differentiable in both. Raises ArgumentError.
    """
    return RMSNorm.apply(x, weight, None, eps, shift)[0]


def add_rms_norm(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6, shift: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """The RMS norm of x + residual, and the sum itself, rounded to x's dtype as the next layer sees it.

    x and residual [..., length], weight [length]. Differentiable in all three. Raises ArgumentError.
    """
    return RMSNorm.apply(x, weight, residual, eps, shift)


# ---- records --------------------------------------------------------------------------------------


def _reference(x: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6, shift: float = 0.0) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * (shift + weight)


def _add_reference(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6, shift: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    total = x + residual
    return _reference(total, weight, eps, shift), total


SHAPES = ((3, 7), (2, 3, 64), (5, 1000))


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in SHAPES:
        yield Sample((tensor(shape, dtype), tensor(shape[-1:], dtype, seed=1)))
    yield Sample((tensor((3, 16), dtype).t().contiguous().t(), tensor((16,), dtype, seed=1), 1e-5, 1.0))


def _add_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in SHAPES:
        yield Sample((tensor(shape, dtype), tensor(shape, dtype, seed=2), tensor(shape[-1:], dtype, seed=1)))


_KERNELS = (rms_norm_kernel, rms_norm_backward_kernel, group_sum_kernel)
register(Fused("rms_norm", "normalization", rms_norm, _reference, _samples, _KERNELS, differentiable=True))
register(
    Fused(
        "add_rms_norm",
        "normalization",
        add_rms_norm,
        _add_reference,
        _add_samples,
        _KERNELS,
        differentiable=True,
    )
)
