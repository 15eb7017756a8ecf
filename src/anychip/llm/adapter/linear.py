"""Layers with low-rank adapters, with gradients: a layer's own result plus each row's adapter (Hu et al.,
2021), and a frozen layer of 8-bit weights with an adapter (Dettmers et al., 2023). Flows in: rows, adapters,
the layer's result or its quantised weight. Flows out: rows of the layer's width; gradients of rows and
adapters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..products import product, product_kernel
from ..quantization.dynamic import dequantize, dequantize_kernel
from ..quantization.products import int8_weight_matmul, weight_only_kernel
from ..registry import Fused, register
from .lora import (
    TILES,
    grouped_lora_expand,
    grouped_lora_shrink,
    grouped_product,
    lora_expand_kernel,
    lora_shrink_kernel,
)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def lora_weight_kernel(
    out,
    left,
    right,
    indices,
    rows,
    columns,
    inner,
    scale,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of one adapter's scale sum over its rows of left[row, n] right[row, k]."""
    adapter = tl.program_id(2).to(tl.int64)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)
    in_n, in_k = n < columns, k < inner
    total = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    for first in range(0, rows, BLOCK_M):
        row = (first + tl.arange(0, BLOCK_M)).to(tl.int64)
        mine = tl.load(indices + row, mask=row < rows, other=-1) == adapter
        a_at = left + row[None, :] * columns + n[:, None]
        b_at = right + row[:, None] * inner + k[None, :]
        a = tl.load(a_at, mask=in_n[:, None] & mine[None, :], other=0.0).to(tl.float32)
        b = tl.load(b_at, mask=mine[:, None] & in_k[None, :], other=0.0).to(tl.float32)
        total = tl.dot(a, b, total, input_precision="ieee")
    at = out + (adapter * columns + n[:, None]) * inner + k[None, :]
    tl.store(at, (total * scale).to(out.dtype.element_ty), mask=in_n[:, None] & in_k[None, :])


# ---- forward, backward ----------------------------------------------------------------------------


def _adapter_gradient(
    like: torch.Tensor, left: torch.Tensor, right: torch.Tensor, indices: torch.Tensor, scale: float
) -> torch.Tensor:
    adapters, columns, inner = like.shape
    out = torch.empty_like(like)
    tiles = TILES.on(like)
    block_n = max(16, min(tiles["columns"], power_of_two(columns)))
    block_k = max(16, min(tiles["columns"], power_of_two(inner)))
    launch(
        lora_weight_kernel,
        (cdiv(columns, block_n), cdiv(inner, block_k), adapters),
        out,
        left.contiguous(),
        right.contiguous(),
        indices,
        indices.numel(),
        columns,
        inner,
        scale,
        BLOCK_M=tiles["rows"],
        BLOCK_N=block_n,
        BLOCK_K=block_k,
    )
    return out


class Lora(torch.autograd.Function):
    """Rows are flat: x [rows, in], base [rows, out], indices [rows]. The rows of the rank are kept."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        down: torch.Tensor,
        up: torch.Tensor,
        base: torch.Tensor,
        indices: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """base + scale x down^T up^T, each row with its own adapter (-1: none)."""
        x, indices = x.contiguous(), indices.contiguous()
        shrunk = grouped_lora_shrink(x, down, indices, scale)
        ctx.save_for_backward(x, down, up, shrunk, indices)
        ctx.scale = scale
        return grouped_lora_expand(shrunk, up, indices, base)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of x, of both matrices of each adapter, and of `base`."""
        x, down, up, shrunk, indices = ctx.saved_tensors
        gradient = grad_outputs[0].contiguous()
        dshrunk = grouped_lora_shrink(gradient, up.transpose(1, 2), indices, ctx.scale)
        dx = grouped_lora_expand(dshrunk, down.transpose(1, 2), indices)
        ddown = _adapter_gradient(down, dshrunk, x, indices, 1.0)
        dup = _adapter_gradient(up, gradient, shrunk, indices, 1.0)
        return dx, ddown, dup, grad_outputs[0], None, None


class Frozen(torch.autograd.Function):
    """x w^T of an 8-bit weight that has no gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, group: int | None
    ) -> torch.Tensor:
        """x w^T with the weight's scales, by groups of `group` inputs where it is given."""
        ctx.save_for_backward(weight, scales)
        ctx.group, ctx.dtype = group, x.dtype
        return int8_weight_matmul(x, weight, scales, None, group)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of x alone."""
        weight, scales = ctx.saved_tensors
        plain = dequantize(weight, scales, None, ctx.group, ctx.dtype)
        gradient = grad_outputs[0]
        out = torch.empty((gradient.shape[0], weight.shape[1]), dtype=ctx.dtype, device=weight.device)
        return product(out, gradient, plain), None, None, None


def grouped_lora_linear(
    x: torch.Tensor,
    down: torch.Tensor,
    up: torch.Tensor,
    base: torch.Tensor,
    indices: torch.Tensor,
    scale: float = 1.0,
) -> torch.Tensor:
    """base + scale (x down^T) up^T with each row's own adapter.

    x [rows, in], down [adapters, rank, in], up [adapters, out, rank], base [rows, out], the layer's own
    result, indices [rows] integers; one that is negative or past the adapters is none. Differentiable in x,
    down, up and base. Raises ArgumentError.
    """
    if x.ndim != 2 or down.ndim != 3 or up.ndim != 3 or down.shape[:2] != (up.shape[0], up.shape[2]):
        raise ArgumentError(
            f"grouped_lora_linear: x {tuple(x.shape)}, down {tuple(down.shape)} and up {tuple(up.shape)} "
            f"must be [rows, in], [adapters, rank, in] and [adapters, out, rank]"
        )
    return Lora.apply(x, down, up, base, indices, scale)


def quantized_lora_linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    down: torch.Tensor,
    up: torch.Tensor,
    scale: float = 1.0,
    group: int | None = None,
) -> torch.Tensor:
    """x w^T + scale (x down^T) up^T with a frozen w of 8-bit integers, as `int8_weight_matmul` takes it.

    x [rows, in], weight [out, in] int8, scales [out, groups], down [rank, in], up [out, rank]. Differentiable
    in x, down and up. Raises ArgumentError.
    """
    if x.ndim != 2 or down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1]:
        raise ArgumentError(
            f"quantized_lora_linear: x {tuple(x.shape)}, down {tuple(down.shape)} and up {tuple(up.shape)} "
            f"must be [rows, in], [rank, in] and [out, rank]"
        )
    base = Frozen.apply(x, weight, scales, group)
    indices = torch.zeros(x.shape[0], dtype=torch.int32, device=x.device)
    return Lora.apply(x, down[None], up[None], base, indices, scale)


# ---- records --------------------------------------------------------------------------------------


def _reference(
    x: torch.Tensor,
    down: torch.Tensor,
    up: torch.Tensor,
    base: torch.Tensor,
    indices: torch.Tensor,
    scale: float = 1.0,
) -> torch.Tensor:
    return base + scale * grouped_product(grouped_product(x, down, indices), up, indices)


def _quantized_reference(
    x: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor,
    down: torch.Tensor,
    up: torch.Tensor,
    scale: float = 1.0,
    group: int | None = None,
) -> torch.Tensor:
    length = weight.shape[1]
    plain = weight.double() * scales.repeat_interleave(group or length, -1)[:, :length]
    return x @ plain.t() + scale * (x @ down.t()) @ up.t()


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for rows, width, rank, outputs, adapters in ((5, 7, 2, 6, 3), (40, 70, 16, 90, 4)):
        x, base = tensor((rows, width), dtype, -1, 1), tensor((rows, outputs), dtype)
        down, up = (tensor((adapters, *s), dtype, -1, 1) for s in ((rank, width), (outputs, rank)))
        indices = tensor((rows,), torch.int64, -1, adapters, seed=3)
        yield Sample((x, down, up, base, indices, 0.5))


def _quantized_samples(dtype: torch.dtype) -> Iterable[Sample]:
    weight = tensor((90, 70), torch.int8, -127, 127)
    scales = tensor((90, 3), torch.float64, 0.02, 0.2)
    x, down, up = (tensor(s, dtype, -1, 1) for s in ((20, 70), (4, 70), (90, 4)))
    yield Sample((x, weight, scales, down, up, 0.5, 32))


_LORA = (lora_shrink_kernel, lora_expand_kernel, lora_weight_kernel)
register(
    Fused(
        "grouped_lora_linear",
        "adapter",
        grouped_lora_linear,
        _reference,
        _samples,
        _LORA,
        differentiable=True,
        tolerance=2.0,
    )
)
# Frozen weights are rounded to x's dtype in both directions.
register(
    Fused(
        "quantized_lora_linear",
        "adapter",
        quantized_lora_linear,
        _quantized_reference,
        _quantized_samples,
        (*_LORA, weight_only_kernel, dequantize_kernel, product_kernel),
        differentiable=True,
        tolerance=2.0,
    )
)
