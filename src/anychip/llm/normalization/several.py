"""RMS norms of several tensors of the same rows in one launch: the compressed queries and keys of latent
attention (DeepSeek-V2, 2024), or the heads of queries and keys (Qwen3, 2025). Flows in: two tensors and a
weight for each. Flows out: both normalised."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def normalized_row(out, x, weight, row, length, eps, BLOCK: tl.constexpr):
    """x / rms(x) weight of one row; weight None is 1."""
    lane = tl.arange(0, BLOCK)
    mask = lane < length
    value = tl.load(x + row * length + lane, mask=mask, other=0.0).to(tl.float32)
    value *= tl.rsqrt(tl.sum(value * value, 0) / length + eps)
    if weight is not None:
        value *= tl.load(weight + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * length + lane, value.to(out.dtype.element_ty), mask=mask)


@triton.jit
def pair_rms_norm_kernel(
    first_out,
    second_out,
    first,
    second,
    first_weight,
    second_weight,
    first_rows,
    first_length,
    second_length,
    eps,
    BLOCK_1: tl.constexpr,
    BLOCK_2: tl.constexpr,
):
    """One row: of the first tensor, or, beyond its rows, of the second."""
    program = tl.program_id(0).to(tl.int64)
    if program < first_rows:
        normalized_row(first_out, first, first_weight, program, first_length, eps, BLOCK_1)
    else:
        row = program - first_rows
        normalized_row(second_out, second, second_weight, row, second_length, eps, BLOCK_2)


# ---- functions ------------------------------------------------------------------------------------


def pair_rms_norm(
    first: torch.Tensor,
    second: torch.Tensor,
    first_weight: torch.Tensor,
    second_weight: torch.Tensor,
    eps: float = 1e-6,
) -> tuple[torch.Tensor, torch.Tensor]:
    """x / rms(x) * weight of the last dimension of each of two tensors.

    first [..., a] and second [..., b] floating of any leading dimensions, weights [a] and [b].
    Raises ArgumentError.
    """
    for x, weight in ((first, first_weight), (second, second_weight)):
        if not x.ndim or weight.shape != x.shape[-1:]:
            raise ArgumentError(
                f"pair_rms_norm: a weight {tuple(weight.shape)} does not fit rows of {tuple(x.shape)}"
            )
    first, second = first.contiguous(), second.contiguous()
    outs = torch.empty_like(first), torch.empty_like(second)
    lengths = first.shape[-1], second.shape[-1]
    rows = first.shape[:-1].numel()
    launch(
        pair_rms_norm_kernel,
        rows + second.shape[:-1].numel(),
        *outs,
        first,
        second,
        first_weight.contiguous(),
        second_weight.contiguous(),
        rows,
        *lengths,
        eps,
        BLOCK_1=power_of_two(lengths[0]),
        BLOCK_2=power_of_two(lengths[1]),
    )
    return outs


# ---- records --------------------------------------------------------------------------------------


def _reference(
    first: torch.Tensor,
    second: torch.Tensor,
    first_weight: torch.Tensor,
    second_weight: torch.Tensor,
    eps: float = 1e-6,
) -> tuple[torch.Tensor, ...]:
    return tuple(
        x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight
        for x, weight in ((first, first_weight), (second, second_weight))
    )


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    x, y = tensor((3, 7), dtype), tensor((3, 20), dtype, seed=1)
    yield Sample((x, y, tensor((7,), dtype), tensor((20,), dtype, seed=1)))
    x, y = tensor((5, 4, 64), dtype), tensor((64, 2, 5), dtype, seed=1).transpose(0, 2)
    yield Sample((x, y, tensor((64,), dtype), tensor((64,), dtype, seed=1)))


register(
    Fused("pair_rms_norm", "normalization", pair_rms_norm, _reference, _samples, (pair_rms_norm_kernel,))
)
