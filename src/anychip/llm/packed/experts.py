"""Products in which each row has a matrix of its own among many: a mixture's experts, or a head's part of a
latent projection. Matrices are stored as those of plain products are, one below the other. A row reads the
matrix that it needs and no other, and is summed in one order whatever else is computed beside it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.launching import cdiv, launch
from .dense import DenseWeight
from .kernels import add_block, block_of
from .products import RoundedRows, kernel_constants
from .scaled import ScaledWeight
from .weights import ROWS, PackedWeight, stacked


@dataclass(frozen=True, slots=True)
class Experts:
    """`count` matrices of `rows` rows each, a multiple of ROWS, one below the other in `weight`; `bias`
    [count, rows] float32 or None."""

    count: int
    rows: int
    weight: PackedWeight | DenseWeight | ScaledWeight
    bias: torch.Tensor | None = None


def experts(
    weights: list[PackedWeight] | list[DenseWeight] | list[ScaledWeight], bias: torch.Tensor | None = None
) -> Experts:
    """Matrices of one kind and shape. Raises ArgumentError for those that do not go together, and for rows
    that are not a multiple of ROWS."""
    first = weights[0]
    whole: PackedWeight | DenseWeight | ScaledWeight | None = None
    if first.rows % ROWS == 0 and all((w.rows, w.columns) == (first.rows, first.columns) for w in weights):
        rows = first.rows * len(weights)
        if isinstance(first, PackedWeight):
            whole = stacked([w for w in weights if isinstance(w, PackedWeight)])
        elif isinstance(first, ScaledWeight):
            kept = [w for w in weights if isinstance(w, ScaledWeight) and w.block == first.block]
            numbers = torch.cat([w.numbers.view(torch.uint8) for w in kept]).view(first.numbers.dtype)
            scales = torch.cat([w.scales for w in kept])
            whole = ScaledWeight(rows, first.columns, first.block, numbers, scales)
        else:
            numbers = torch.cat([w.numbers for w in weights if isinstance(w, DenseWeight)])
            whole = DenseWeight(rows, first.columns, numbers)
    if whole is None:
        raise ArgumentError(
            f"experts: matrices of {sorted({(w.rows, w.columns) for w in weights})} rows and columns; "
            f"expected one kind, one shape, and a multiple of {ROWS} rows"
        )
    return Experts(len(weights), first.rows, whole, bias)


# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def store_row(out, total, bias, row, expert, group, columns, ROWS: tl.constexpr):
    """ROWS sums of one row, with the expert's bias."""
    column = group * ROWS + tl.arange(0, ROWS)
    if bias is not None:
        total += tl.load(bias + expert * columns + column)
    tl.store(out + row * columns + column, total)


@triton.jit
def packed_experts_kernel(
    out,
    x,
    x_scales,
    x_sums,
    low,
    high,
    scales,
    minimums,
    part_scales,
    part_minimums,
    bias,
    ids,
    sharing,
    columns,
    blocks,
    LOW: tl.constexpr,
    HIGH: tl.constexpr,
    TABLE: tl.constexpr,
    OFFSET: tl.constexpr,
    BLOCKS: tl.constexpr,
    PARTS: tl.constexpr,
    SIGN: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Row `row // sharing` of x against ROWS rows of the matrix ids[row], as in `packed_product_kernel`."""
    row = tl.program_id(0).to(tl.int64)
    part_of = tl.program_id(1).to(tl.int64)
    expert = tl.load(ids + row).to(tl.int64)
    group = expert * (columns // ROWS) + part_of
    given = row // sharing
    lane = tl.arange(0, ROWS)
    x += given * blocks * 8
    x_scales += given * blocks
    x_sums += given * blocks * 2
    low += group * blocks * LOW * ROWS + lane
    if HIGH:
        high += group * blocks * HIGH * ROWS + lane
    scales += group * (blocks // BLOCKS) * ROWS + lane
    if SIGN != 0:
        minimums += group * (blocks // BLOCKS) * ROWS + lane
    if part_scales is not None:
        part_scales += group * blocks * PARTS * ROWS + lane
    if part_minimums is not None:
        part_minimums += group * blocks * PARTS * ROWS + lane
    total = tl.zeros((ROWS,), tl.float32)
    for k in range(blocks):
        low_at, high_at, scale, minimum = block_of(
            low, high, scales, minimums, k, LOW, HIGH, BLOCKS, SIGN, ROWS
        )
        total = add_block(
            total, x + k * 8, x_scales + k, x_sums + 2 * k, low_at, high_at, scale, minimum,
            part_scales, part_minimums, k * PARTS * ROWS, LOW, HIGH, TABLE, OFFSET, PARTS, SIGN, ROWS,
        )  # fmt: skip
    store_row(out, total, bias, row, expert, part_of, columns, ROWS)


@triton.jit
def floating_experts_kernel(
    out,
    x,
    numbers,
    scales,
    bias,
    ids,
    sharing,
    columns,
    length,
    block,
    ROWS: tl.constexpr,
    STEP: tl.constexpr,
):
    """The same of floating numbers, with scales for blocks of columns or without."""
    row = tl.program_id(0).to(tl.int64)
    part_of = tl.program_id(1).to(tl.int64)
    expert = tl.load(ids + row).to(tl.int64)
    group = expert * (columns // ROWS) + part_of
    lane = tl.arange(0, ROWS)
    at = numbers + group * length * ROWS + lane
    x += (row // sharing) * length
    blocks = tl.cdiv(length, block)
    total = tl.zeros((ROWS,), tl.float32)
    for k in range(blocks):
        part = tl.zeros((ROWS,), tl.float32)
        for first in range(k * block, tl.minimum((k + 1) * block, length), STEP):
            for n in tl.static_range(STEP):
                part += tl.load(x + first + n) * tl.load(at + (first + n) * ROWS).to(tl.float32)
        if scales is not None:
            part *= tl.load(scales + (group * blocks + k) * ROWS + lane)
        total += part
    store_row(out, total, bias, row, expert, part_of, columns, ROWS)


# ---- functions ------------------------------------------------------------------------------------


def expert_matmul(
    x: RoundedRows | torch.Tensor, matrices: Experts, ids: torch.Tensor, sharing: int
) -> torch.Tensor:
    """out[row] = x[row // sharing] matrices[ids[row]]^T + bias, [rows, matrices.rows] float32.

    x [rows / sharing, columns]: `RoundedRows` for packed matrices, else float32 contiguous; ids [rows]
    integers of matrices. Raises ArgumentError.
    """
    weight, rows = matrices.weight, ids.numel()
    is_packed = isinstance(weight, PackedWeight)
    given = x.numbers.shape if isinstance(x, RoundedRows) else x.shape
    if given != (rows // sharing, weight.columns) or isinstance(x, RoundedRows) != is_packed:
        raise ArgumentError(
            f"expert_matmul: {rows} rows that share {sharing} each and {weight.columns} columns need as many "
            f"activations, rounded to 8 bits for packed matrices alone; got {tuple(given)}"
        )
    device = x.numbers.device if isinstance(x, RoundedRows) else x.device
    out = torch.empty((rows, matrices.rows), dtype=torch.float32, device=device)
    grid = (rows, matrices.rows // ROWS)
    if isinstance(weight, PackedWeight):
        assert isinstance(x, RoundedRows)
        launch(
            packed_experts_kernel,
            grid,
            out,
            x.numbers.view(torch.int32),
            x.scales,
            x.sums,
            *weight.tensors(),
            matrices.bias,
            ids.contiguous(),
            sharing,
            matrices.rows,
            cdiv(weight.columns, 32),
            **kernel_constants(weight),
        )
        return out
    assert isinstance(x, torch.Tensor)
    block = weight.block if isinstance(weight, ScaledWeight) else weight.columns
    launch(
        floating_experts_kernel,
        grid,
        out,
        x.contiguous(),
        weight.numbers,
        weight.scales if isinstance(weight, ScaledWeight) else None,
        matrices.bias,
        ids.contiguous(),
        sharing,
        matrices.rows,
        weight.columns,
        block,
        ROWS=ROWS,
        STEP=4 if block % 4 == 0 and weight.columns % 4 == 0 else 1,
    )
    return out
