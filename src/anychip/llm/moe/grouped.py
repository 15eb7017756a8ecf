"""Products of groups of rows with a matrix each, and a whole feed-forward layer of experts made of them.
Flows in: rows by group with the groups' starts, and weights [groups, outputs, inputs]; or hidden states and
their routes. Flows out: rows [rows, outputs], or hidden states; with gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..activation.gated import PackedGated, gated_backward_kernel, gated_kernel, silu
from ..registry import Fused, register
from .dispatch import (
    combine_backward_kernel,
    combine_rows_kernel,
    count_kernel,
    gather_rows_kernel,
    moe_permute,
    moe_unpermute,
    place_kernel,
    routes,
)

TILES = Tiles(
    simt={"rows": 32, "columns": 64, "depth": 32, "split": 16},
    simd={"rows": 64, "columns": 64, "depth": 64, "split": 2},
)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def grouped_gemm_kernel(
    out,
    rows,
    weight,
    starts,
    columns,
    depth,
    weight_group,
    weight_depth,
    weight_column,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """out[row] = rows[row] weight[group of row] for one block of columns and every n-th block of rows of
    one group."""
    group = tl.program_id(2)
    start = tl.load(starts + group).to(tl.int64)
    stop = tl.load(starts + group + 1).to(tl.int64)
    column = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    in_n = (column < columns)[None, :]
    matrix = weight + group.to(tl.int64) * weight_group
    step = tl.num_programs(1) * BLOCK_M
    for first in range(start + tl.program_id(1) * BLOCK_M, stop, step):
        row = first + tl.arange(0, BLOCK_M)
        in_m = (row < stop)[:, None]
        total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for base in range(0, depth, BLOCK_K):
            k = base + tl.arange(0, BLOCK_K)
            in_k = k < depth
            left = tl.load(rows + row[:, None] * depth + k[None, :], mask=in_m & in_k[None, :], other=0.0)
            right = tl.load(
                matrix + k[:, None] * weight_depth + column[None, :] * weight_column,
                mask=in_k[:, None] & in_n,
                other=0.0,
            )
            total = tl.dot(left, right, total, input_precision="ieee")
        at = row[:, None] * columns + column[None, :]
        tl.store(out + at, total.to(out.dtype.element_ty), mask=in_m & in_n)


@triton.jit
def grouped_weight_kernel(
    dweight,
    dout,
    rows,
    starts,
    columns,
    depth,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of one group's dweight[n, k] = sum over the group's rows of dout[row, n] rows[row, k]."""
    group = tl.program_id(2).to(tl.int64)
    start = tl.load(starts + group).to(tl.int64)
    stop = tl.load(starts + group + 1).to(tl.int64)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)
    in_n, in_k = n < columns, (k < depth)[None, :]
    total = tl.zeros((BLOCK_N, BLOCK_K), tl.float32)
    for first in range(start, stop, BLOCK_M):
        row = first + tl.arange(0, BLOCK_M)
        in_m = row < stop
        left = tl.load(
            dout + row[None, :] * columns + n[:, None], mask=in_n[:, None] & in_m[None, :], other=0.0
        )
        right = tl.load(rows + row[:, None] * depth + k[None, :], mask=in_m[:, None] & in_k, other=0.0)
        total = tl.dot(left, right, total, input_precision="ieee")
    at = (group * columns + n[:, None]) * depth + k[None, :]
    tl.store(dweight + at, total.to(dweight.dtype.element_ty), mask=in_n[:, None] & in_k)


# ---- forward, backward ----------------------------------------------------------------------------


def _product(rows: torch.Tensor, weight: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """rows [m, depth] times weight [groups, depth, columns] of any strides."""
    groups, depth, columns = weight.shape
    tiles = TILES.on(rows)
    out = torch.empty((rows.shape[0], columns), dtype=rows.dtype, device=rows.device)
    block_n = max(16, min(tiles["columns"], power_of_two(columns)))
    block_m = max(16, min(tiles["rows"], power_of_two(rows.shape[0])))
    split = max(1, min(tiles["split"], cdiv(rows.shape[0], block_m)))
    launch(
        grouped_gemm_kernel,
        (cdiv(columns, block_n), split, groups),
        out,
        rows,
        weight,
        starts,
        columns,
        depth,
        *weight.stride(),
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=max(16, min(tiles["depth"], power_of_two(depth))),
    )
    return out


class Grouped(torch.autograd.Function):
    """weight is [groups, outputs, inputs]."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, weight: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """Each row times its group's transposed weight: rows [total, inputs], result [total, outputs];
        `starts` are where groups begin."""
        rows, starts = rows.contiguous(), starts.contiguous()
        ctx.save_for_backward(rows, weight, starts)
        return _product(rows, weight.transpose(1, 2), starts)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of rows and weight."""
        rows, weight, starts = ctx.saved_tensors
        gradient = grad_outputs[0].contiguous()
        groups, columns, depth = weight.shape
        dweight = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
        tiles = TILES.on(rows)
        block_n = max(16, min(tiles["columns"], power_of_two(columns)))
        block_k = max(16, min(tiles["columns"], power_of_two(depth)))
        launch(
            grouped_weight_kernel,
            (cdiv(columns, block_n), cdiv(depth, block_k), groups),
            dweight,
            gradient,
            rows,
            starts,
            columns,
            depth,
            BLOCK_M=tiles["depth"],
            BLOCK_N=block_n,
            BLOCK_K=block_k,
        )
        return _product(gradient, weight, starts), dweight, None


def grouped_gemm(rows: torch.Tensor, weight: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """out[row] = rows[row] weight[g]^T, where group g has rows starts[g] to starts[g + 1] - 1.

    rows [rows, inputs], weight [groups, outputs, inputs] of the same dtype, starts [groups + 1] integers
    from 0 to the number of rows; gives [rows, outputs]. Differentiable in rows and weight.
    Raises ArgumentError.
    """
    if (
        rows.ndim != 2
        or weight.ndim != 3
        or rows.shape[1] != weight.shape[2]
        or starts.shape != (weight.shape[0] + 1,)
        or rows.dtype != weight.dtype
    ):
        raise ArgumentError(
            f"grouped_gemm: rows {tuple(rows.shape)} {rows.dtype}, weight {tuple(weight.shape)} "
            f"{weight.dtype} and starts {tuple(starts.shape)} must be [rows, inputs], [groups, outputs, "
            f"inputs] and [groups + 1]"
        )
    return Grouped.apply(rows, weight, starts)


def fused_moe(
    x: torch.Tensor, gate_up: torch.Tensor, down: torch.Tensor, weights: torch.Tensor, ids: torch.Tensor
) -> torch.Tensor:
    """A layer of SwiGLU experts: sum over a token's experts e of weight * down[e] swiglu(gate_up[e] x).

    x [tokens, width], gate_up [experts, 2 inner, width] with the gate first, down [experts, width, inner],
    weights and ids [tokens, k] as `topk_softmax` gives them. Seven launches; intermediate rows have x's
    dtype. Differentiable in x, gate_up, down and weights. Raises ArgumentError.
    """
    if down.ndim != 3 or gate_up.ndim != 3 or gate_up.shape[1] != 2 * down.shape[2]:
        raise ArgumentError(
            f"fused_moe: gate_up {tuple(gate_up.shape)} and down {tuple(down.shape)} must be [experts, "
            f"2 inner, width] and [experts, width, inner]"
        )
    rows, places, starts = moe_permute(x, ids, gate_up.shape[0])
    inner = PackedGated.apply(grouped_gemm(rows, gate_up, starts), silu)
    return moe_unpermute(grouped_gemm(inner, down, starts), places, weights)


# ---- records --------------------------------------------------------------------------------------


def _grouped_reference(rows: torch.Tensor, weight: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    bounds = starts.tolist()
    return torch.cat([rows[bounds[g] : bounds[g + 1]] @ weight[g].t() for g in range(weight.shape[0])])


def _moe_reference(
    x: torch.Tensor, gate_up: torch.Tensor, down: torch.Tensor, weights: torch.Tensor, ids: torch.Tensor
) -> torch.Tensor:
    gate, up = torch.einsum("th,tkih->tki", x, gate_up[ids.long()]).chunk(2, -1)
    return torch.einsum("tki,tkhi,tk->th", F.silu(gate) * up, down[ids.long()], weights)


def _grouped_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for bounds, inputs, outputs in (((0, 3, 3, 8), 7, 5), ((0, 90, 91, 140), 40, 100)):
        shape = (len(bounds) - 1, outputs, inputs)
        given = tensor((bounds[-1], inputs), dtype, -1, 1), tensor(shape, dtype, -1, 1)
        yield Sample((*given, torch.tensor(bounds, dtype=torch.int32)))
    transposed = tensor((2, 16, 24), dtype, -1, 1).transpose(1, 2)
    yield Sample((tensor((16, 9), dtype, -1, 1).t(), transposed, torch.tensor([0, 4, 9])))


def _moe_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for tokens, k, experts, width, inner in ((5, 2, 4, 7, 6), (40, 2, 6, 32, 48)):
        shapes = ((tokens, width), (experts, 2 * inner, width), (experts, width, inner))
        given = (tensor(shape, dtype, -0.5, 0.5) for shape in shapes)
        yield Sample((*given, tensor((tokens, k), dtype, 0, 1), routes(tokens, k, experts)))


_KERNELS = (grouped_gemm_kernel, grouped_weight_kernel)
register(
    Fused(
        "grouped_gemm",
        "moe",
        grouped_gemm,
        _grouped_reference,
        _grouped_samples,
        _KERNELS,
        differentiable=True,
    )
)
register(
    Fused(
        "fused_moe",
        "moe",
        fused_moe,
        _moe_reference,
        _moe_samples,
        (
            *_KERNELS,
            count_kernel,
            place_kernel,
            gather_rows_kernel,
            combine_rows_kernel,
            combine_backward_kernel,
            gated_kernel,
            gated_backward_kernel,
        ),
        differentiable=True,
    )
)
