"""Weights of 8-bit floats with scales for blocks of rows and columns, and products that read them as they are
stored. Flows in: rows of float32, a `ScaledWeight`. Flows out: rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.launching import cdiv, launch
from .weights import ROWS

SMALL_FLOATS = (torch.float8_e4m3fn, torch.float8_e5m2)
"""Types of elements that are served."""


@dataclass(frozen=True, slots=True)
class ScaledWeight:
    """A matrix [rows, columns] as numbers [groups, columns, ROWS] of 8-bit floats, the last group filled up
    with zeros, and scales [groups, blocks, ROWS] float32, one for `block` columns of a row."""

    rows: int
    columns: int
    block: int
    numbers: torch.Tensor
    scales: torch.Tensor

    @property
    def bytes(self) -> int:
        """Bytes that a product of one row reads."""
        return self.numbers.nbytes + self.scales.nbytes


@triton.jit
def scaled_product_kernel(
    out, x, numbers, scales, bias, columns, length, block, ROWS: tl.constexpr, STEP: tl.constexpr
):
    """One row of x against ROWS rows of the weight, summed block by block, in each element after element."""
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1).to(tl.int64)
    lane = tl.arange(0, ROWS)
    blocks = tl.cdiv(length, block)
    at = numbers + group * length * ROWS + lane
    x += row * length
    total = tl.zeros((ROWS,), tl.float32)
    for k in range(blocks):
        part = tl.zeros((ROWS,), tl.float32)
        for first in range(k * block, tl.minimum((k + 1) * block, length), STEP):
            for n in tl.static_range(STEP):
                part += tl.load(x + first + n) * tl.load(at + (first + n) * ROWS).to(tl.float32)
        total += part * tl.load(scales + (group * blocks + k) * ROWS + lane)
    column = group * ROWS + lane
    mask = column < columns
    if bias is not None:
        total += tl.load(bias + column, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * columns + column, total, mask=mask)


def scaled(weight: torch.Tensor, scales: torch.Tensor, block: tuple[int, int]) -> ScaledWeight:
    """weight [rows, columns] of 8-bit floats times scales [blocks of rows, blocks of columns], where a block
    has so many rows and columns. Raises ArgumentError."""
    rows, columns = weight.shape
    wanted = (cdiv(rows, block[0]), cdiv(columns, block[1]))
    if weight.dtype not in SMALL_FLOATS or scales.shape != wanted:
        raise ArgumentError(
            f"scaled: expected 8-bit floats and scales {wanted} for blocks of {block}, got "
            f"{tuple(weight.shape)} of {weight.dtype} and {tuple(scales.shape)}"
        )
    each = scales.float().repeat_interleave(block[0], 0)[:rows]
    bits = weight.view(torch.uint8)
    numbers = _side_by_side(bits).view(weight.dtype)
    return ScaledWeight(rows, columns, min(block[1], columns), numbers, _side_by_side(each))


def _side_by_side(x: torch.Tensor) -> torch.Tensor:
    """[rows, n] as [groups, n, ROWS]."""
    missing = -x.shape[0] % ROWS
    if missing:
        x = torch.cat([x, x.new_zeros((missing, x.shape[1]))])
    return x.unflatten(0, (-1, ROWS)).movedim(1, -1).contiguous()


def scaled_matmul(x: torch.Tensor, weight: ScaledWeight, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x weight^T + bias for x [rows, columns] float32 contiguous, bias [weight's rows]. Raises
    ArgumentError."""
    if x.shape[1:] != (weight.columns,) or x.dtype != torch.float32 or not x.is_contiguous():
        raise ArgumentError(
            f"scaled_matmul: expected contiguous float32 rows of {weight.columns}, got {tuple(x.shape)} of "
            f"{x.dtype}"
        )
    out = torch.empty((x.shape[0], weight.rows), dtype=torch.float32, device=x.device)
    launch(
        scaled_product_kernel,
        (x.shape[0], cdiv(weight.rows, ROWS)),
        out,
        x,
        weight.numbers,
        weight.scales,
        bias,
        weight.rows,
        weight.columns,
        weight.block,
        ROWS=ROWS,
        STEP=4 if weight.block % 4 == 0 and weight.columns % 4 == 0 else 1,
    )
    return out
