"""Weights of floating numbers, side by side as packed ones are, and products that read them as they are
stored. Flows in: rows of float32, a `DenseWeight`. Flows out: rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.launching import cdiv, launch
from ..registry import FLOATING
from .weights import ROWS


@dataclass(frozen=True, slots=True)
class DenseWeight:
    """A matrix [rows, columns] as numbers [groups, columns, ROWS], the last group filled up with zeros."""

    rows: int
    columns: int
    numbers: torch.Tensor


@triton.jit
def dense_product_kernel(out, x, numbers, bias, columns, length, ROWS: tl.constexpr, STEP: tl.constexpr):
    """One row of x against ROWS rows of the weight, summed element after element."""
    row = tl.program_id(0).to(tl.int64)
    group = tl.program_id(1).to(tl.int64)
    lane = tl.arange(0, ROWS)
    at = numbers + group * length * ROWS + lane
    x += row * length
    total = tl.zeros((ROWS,), tl.float32)
    for first in range(0, length, STEP):
        for k in tl.static_range(STEP):
            total += tl.load(x + first + k) * tl.load(at + (first + k) * ROWS).to(tl.float32)
    column = group * ROWS + lane
    mask = column < columns
    if bias is not None:
        total += tl.load(bias + column, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * columns + column, total, mask=mask)


def dense(weight: torch.Tensor) -> DenseWeight:
    """weight [rows, columns] of float32, float16 or bfloat16. Raises ArgumentError."""
    if weight.ndim != 2 or weight.dtype not in FLOATING:
        raise ArgumentError(f"dense: expected a floating matrix, got {tuple(weight.shape)} of {weight.dtype}")
    rows, columns = weight.shape
    if rows % ROWS:
        weight = torch.cat([weight, weight.new_zeros((-rows % ROWS, columns))])
    return DenseWeight(rows, columns, weight.unflatten(0, (-1, ROWS)).movedim(1, -1).contiguous())


def dense_matmul(x: torch.Tensor, weight: DenseWeight, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x weight^T + bias for x [rows, columns] float32 contiguous, bias [weight's rows]. Raises
    ArgumentError."""
    if x.shape[1:] != (weight.columns,) or x.dtype != torch.float32 or not x.is_contiguous():
        raise ArgumentError(
            f"dense_matmul: expected contiguous float32 rows of {weight.columns}, got {tuple(x.shape)} of "
            f"{x.dtype}"
        )
    out = torch.empty((x.shape[0], weight.rows), dtype=torch.float32, device=x.device)
    launch(
        dense_product_kernel,
        (x.shape[0], cdiv(weight.rows, ROWS)),
        out,
        x,
        weight.numbers,
        bias,
        weight.rows,
        weight.columns,
        ROWS=ROWS,
        STEP=4 if weight.columns % 4 == 0 else 1,
    )
    return out
