"""Layer norm of rows (Ba et al., 2016), alone and after adding a residual, with gradients. Flows in: hidden
states of shape [..., length], a weight and a bias of shape [length]. Flows out: the normalised rows, and the
sum where there is a residual."""

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
from ...ops.normalization.layer_norm import layer_norm_backward_kernel
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .rms_norm import TILES

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def layer_norm_rows_kernel(
    out, summed, mean_out, rstd_out, x, residual, weight, bias, length, eps, BLOCK: tl.constexpr
):
    """One row: out = (s - mean s) / sqrt(var s + eps) * weight + bias, s = x + residual."""
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
    mean = tl.sum(value, 0) / length
    centred = tl.where(mask, value - mean, 0.0)
    rstd = tl.rsqrt(tl.sum(centred * centred, 0) / length + eps)
    result = centred * rstd * tl.load(weight + lane, mask=mask, other=0.0).to(tl.float32)
    if bias is not None:
        result += tl.load(bias + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=mask)
    tl.store(mean_out + row, mean)
    tl.store(rstd_out + row, rstd)


# ---- forward, backward ----------------------------------------------------------------------------


class LayerNorm(torch.autograd.Function):
    """`forward` gives the normalised rows and the sum (None without a residual)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        residual: torch.Tensor | None,
        eps: float,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Layer norm of x + residual over the last dimension."""
        length = x.shape[-1]
        fits = weight.shape == (length,) and (bias is None or bias.shape == (length,))
        if not fits or (residual is not None and residual.shape != x.shape):
            raise ArgumentError(
                f"layer_norm: weight {tuple(weight.shape)}, bias and a residual like x do not fit x of shape "
                f"{tuple(x.shape)}; give weight and bias of shape ({length},)"
            )
        x, weight = x.contiguous(), weight.contiguous()
        bias = None if bias is None else bias.contiguous()
        residual = None if residual is None else residual.contiguous()
        rows = x.numel() // max(length, 1)
        out = torch.empty_like(x)
        summed = x if residual is None else torch.empty_like(x)
        mean, rstd = (torch.empty(rows, dtype=torch.float32, device=x.device) for _ in range(2))
        launch(
            layer_norm_rows_kernel,
            rows,
            out,
            summed,
            mean,
            rstd,
            x,
            residual,
            weight,
            bias,
            length,
            eps,
            BLOCK=power_of_two(length),
        )
        ctx.save_for_backward(summed, weight, mean, rstd)
        ctx.has_bias, ctx.has_residual = bias is not None, residual is not None
        return out, (None if residual is None else summed)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of x, weight, bias and residual, which has that of x."""
        dy, dsum = grad_outputs
        source, weight, mean, rstd = ctx.saved_tensors
        length, rows, device = source.shape[-1], rstd.numel(), source.device
        groups = max(1, min(TILES.on(device)["groups"], rows))
        dx = torch.empty_like(source)
        partial = torch.empty((2, groups, length), dtype=torch.float32, device=device)
        launch(
            layer_norm_backward_kernel,
            groups,
            dx,
            partial[0],
            partial[1] if ctx.has_bias else None,
            None if dsum is None else dsum.contiguous(),
            dy.contiguous(),
            source,
            mean,
            rstd,
            weight,
            rows,
            length,
            cdiv(rows, groups),
            COMPUTE=tl.float32,
            BLOCK=power_of_two(length),
        )
        dweight = torch.empty_like(weight)
        dbias = torch.empty_like(weight) if ctx.has_bias else None
        for out, part in ((dweight, partial[0]), (dbias, partial[1])):
            if out is not None:
                sum_groups(out, part, groups)
        return dx, dweight, dbias, (dx if ctx.has_residual else None), None


def layer_norm(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, eps: float = 1e-5
) -> torch.Tensor:
    """(x - mean x) / sqrt(var x + eps) * weight + bias over the last dimension.

    x [..., length] floating, weight and bias [length]. Differentiable in all. Raises ArgumentError.
    """
    return LayerNorm.apply(x, weight, bias, None, eps)[0]


def add_layer_norm(
    x: torch.Tensor,
    residual: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The layer norm of x + residual, and the sum itself, rounded to x's dtype as the next layer sees it.

    x and residual [..., length], weight and bias [length]. Differentiable in all. Raises ArgumentError.
    """
    return LayerNorm.apply(x, weight, bias, residual, eps)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, eps: float = 1e-5
) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def _add_reference(
    x: torch.Tensor,
    residual: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[torch.Tensor, torch.Tensor]:
    total = x + residual
    return _reference(total, weight, bias, eps), total


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 7), dtype), tensor((7,), dtype, seed=1)))
    for shape in ((2, 3, 64), (9, 300)):
        parts = (tensor(shape[-1:], dtype, seed=k) for k in (1, 2))
        yield Sample((tensor(shape, dtype), *parts, 1e-4))


def _add_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 7), dtype), tensor((3, 7), dtype, seed=2), tensor((7,), dtype, seed=1)))
    x, residual = tensor((64, 9), dtype).t(), tensor((9, 64), dtype, seed=2)
    yield Sample((x, residual, tensor((64,), dtype, seed=1), tensor((64,), dtype, seed=3)))


_KERNELS = (layer_norm_rows_kernel, layer_norm_backward_kernel, group_sum_kernel)
for _function, _plain, _draw in (
    (layer_norm, _reference, _samples),
    (add_layer_norm, _add_reference, _add_samples),
):
    register(
        Fused(_function.__name__, "normalization", _function, _plain, _draw, _KERNELS, differentiable=True)
    )
