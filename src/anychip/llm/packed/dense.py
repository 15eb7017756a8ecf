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
from .kernels import store_products
from .weights import AT_ONCE, ROWS


@dataclass(frozen=True, slots=True)
class DenseWeight:
    """A matrix [rows, columns] as numbers [groups, columns, ROWS], the last group filled up with zeros."""

    rows: int
    columns: int
    numbers: torch.Tensor


@triton.jit
def dense_product_kernel(
    out, x, numbers, bias, columns, length, ROWS: tl.constexpr, STEP: tl.constexpr, M: tl.constexpr
):
    """M rows (1, 2 or 4) of x against ROWS rows of the weight, summed element after element."""
    row = tl.program_id(0).to(tl.int64) * M
    group = tl.program_id(1).to(tl.int64)
    lane = tl.arange(0, ROWS)
    at = numbers + group * length * ROWS + lane
    x += row * length
    total = tl.zeros((ROWS,), tl.float32)
    second = total
    third = total
    fourth = total
    for first in range(0, length, STEP):
        for k in tl.static_range(STEP):
            weight = tl.load(at + (first + k) * ROWS).to(tl.float32)
            x_at = x + first + k
            total += tl.load(x_at) * weight
            if M > 1:
                second += tl.load(x_at + length) * weight
            if M > 2:
                third += tl.load(x_at + 2 * length) * weight
                fourth += tl.load(x_at + 3 * length) * weight
    column = group * ROWS + lane
    store_products(out, total, bias, None, row, column, columns)
    if M > 1:
        store_products(out, second, bias, None, row + 1, column, columns)
    if M > 2:
        store_products(out, third, bias, None, row + 2, column, columns)
        store_products(out, fourth, bias, None, row + 3, column, columns)


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
    at_once = next(m for m in AT_ONCE if x.shape[0] % m == 0)
    launch(
        dense_product_kernel,
        (x.shape[0] // at_once, cdiv(weight.rows, ROWS)),
        out,
        x,
        weight.numbers,
        bias,
        weight.rows,
        weight.columns,
        ROWS=ROWS,
        STEP=4 if weight.columns % 4 == 0 else 1,
        M=at_once,
    )
    return out
