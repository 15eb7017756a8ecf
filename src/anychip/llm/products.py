"""The matrix product that fused operators of this room build upon. Flows in: two matrices of any strides,
and a third to add. Flows out: alpha a b + beta c, accumulated in single precision."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..ops.errors import ArgumentError
from ..ops.iteration import power_of_two
from ..ops.launching import Tiles, cdiv, launch

TILES = Tiles(simt={"rows": 64, "columns": 64, "depth": 32}, simd={"rows": 64, "columns": 64, "depth": 64})


@triton.jit
def product_kernel(
    out,
    a,
    b,
    c,
    rows,
    columns,
    depth,
    out_row,
    out_column,
    a_row,
    a_depth,
    b_depth,
    b_column,
    c_row,
    c_column,
    alpha,
    beta,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of out = alpha a b + beta c; c may be None, or out itself."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tl.program_id(1).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    in_m, in_n = (row < rows)[:, None], (column < columns)[None, :]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for first in range(0, depth, BLOCK_K):
        k = (first + tl.arange(0, BLOCK_K)).to(tl.int64)
        in_k = k < depth
        a_at = a + row[:, None] * a_row + k[None, :] * a_depth
        b_at = b + k[:, None] * b_depth + column[None, :] * b_column
        left = tl.load(a_at, mask=in_m & in_k[None, :], other=0.0).to(tl.float32)
        right = tl.load(b_at, mask=in_k[:, None] & in_n, other=0.0).to(tl.float32)
        total = tl.dot(left, right, total, input_precision="ieee")
    total = alpha * total
    mask = in_m & in_n
    if c is not None:
        at = c + row[:, None] * c_row + column[None, :] * c_column
        total += beta * tl.load(at, mask=mask, other=0.0).to(tl.float32)
    tl.store(
        out + row[:, None] * out_row + column[None, :] * out_column, total.to(out.dtype.element_ty), mask=mask
    )


def product(
    out: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> torch.Tensor:
    """out = alpha a b + beta c for a [m, k], b [k, n], c and out [m, n] of any strides; returns out.
    `c` may be out, elementwise. Raises ArgumentError."""
    rows, depth = a.shape
    columns = b.shape[1]
    if b.shape[0] != depth or out.shape != (rows, columns) or (c is not None and c.shape != out.shape):
        raise ArgumentError(
            f"product: {tuple(a.shape)} times {tuple(b.shape)} does not give {tuple(out.shape)}; the inner "
            f"sizes must be equal"
        )
    tiles = TILES.on(out)
    block_m = max(16, min(tiles["rows"], power_of_two(rows)))
    block_n = max(16, min(tiles["columns"], power_of_two(columns)))
    launch(
        product_kernel,
        (cdiv(rows, block_m), cdiv(columns, block_n)),
        out,
        a,
        b,
        c,
        rows,
        columns,
        depth,
        *out.stride(),
        *a.stride(),
        *b.stride(),
        *((0, 0) if c is None else c.stride()),
        alpha,
        beta,
        BLOCK_M=block_m,
        BLOCK_N=block_n,
        BLOCK_K=max(16, min(tiles["depth"], power_of_two(depth))),
    )
    return out
