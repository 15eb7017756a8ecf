"""The kernels of products with quantised weights: the weights of a tile are made whole as they are read."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def store_tile(out, result, bias, row, column, rows, columns):
    """A tile of a contiguous [rows, columns] result, after adding a bias of columns."""
    in_m, in_n = row < rows, column < columns
    if bias is not None:
        result += tl.load(bias + column, mask=in_n, other=0.0).to(tl.float32)[None, :]
    at = out + row.to(tl.int64)[:, None] * columns + column[None, :]
    tl.store(at, result.to(out.dtype.element_ty), mask=in_m[:, None] & in_n[None, :])


@triton.jit
def w8a8_kernel(
    out,
    a,
    b,
    a_scales,
    b_scales,
    bias,
    rows,
    columns,
    inner,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of (a b^T) a_scale b_scale, summed as 32-bit integers."""
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row_at, column_at = row.to(tl.int64)[:, None] * inner, column.to(tl.int64)[None, :] * inner
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.int32)
    for start in range(0, inner, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        left = tl.load(a + row_at + k[None, :], mask=(row < rows)[:, None] & (k < inner)[None, :], other=0)
        right = tl.load(
            b + column_at + k[:, None], mask=(column < columns)[None, :] & (k < inner)[:, None], other=0
        )
        total = tl.dot(left, right, total, out_dtype=tl.int32)
    scale_a = tl.load(a_scales + row, mask=row < rows, other=0.0).to(tl.float32)
    scale_b = tl.load(b_scales + column, mask=column < columns, other=0.0).to(tl.float32)
    result = total.to(tl.float32) * scale_a[:, None] * scale_b[None, :]
    store_tile(out, result, bias, row, column, rows, columns)


@triton.jit
def weight_only_kernel(
    out,
    x,
    weight,
    scales,
    zeros,
    bias,
    rows,
    columns,
    inner,
    stored,
    group,
    groups,
    BITS: tl.constexpr,
    ALIGNED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of x ((w - zero) scale)^T. Rows of weights are `stored` bytes, at 4 BITS two elements each,
    the low half first, less 8 where there are no zeros. ALIGNED: a step stays inside a group."""
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row_at, column_at = row.to(tl.int64)[:, None] * inner, column.to(tl.int64)[None, :]
    in_n = (column < columns)[None, :]
    result = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, inner, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        in_k = k < inner
        left = tl.load(x + row_at + k[None, :], mask=(row < rows)[:, None] & in_k[None, :], other=0.0)
        mask = in_n & in_k[:, None]
        if BITS == 4:
            pair = tl.load(weight + column_at * stored + (k // 2)[:, None], mask=mask, other=0).to(tl.int32)
            right = ((pair >> ((k % 2) * 4)[:, None]) & 15).to(tl.float32)
            if zeros is None:
                right -= 8.0
        else:
            right = tl.load(weight + column_at * stored + k[:, None], mask=mask, other=0).to(tl.float32)
        if ALIGNED:
            at = column_at * groups + start // group
            needed = in_n
        else:
            at = column_at * groups + (k // group)[:, None]
            needed = mask
        if zeros is not None:
            right -= tl.load(zeros + at, mask=needed, other=0).to(tl.float32)
        right *= tl.load(scales + at, mask=needed, other=0.0).to(tl.float32)
        result = tl.dot(left, right.to(left.dtype), result, input_precision="ieee")
    store_tile(out, result, bias, row, column, rows, columns)


@triton.jit
def block_scaled_kernel(
    out,
    a,
    b,
    a_scales,
    b_scales,
    bias,
    rows,
    columns,
    inner,
    block,
    blocks,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of the sum over blocks of (a b^T) a_scale b_scale; 8-bit floats are multiplied as the 16-bit
    ones that hold them exactly."""
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    in_m, in_n = row < rows, column < columns
    row_at, column_at = row.to(tl.int64)[:, None] * inner, column.to(tl.int64)[None, :] * inner
    result = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, inner, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        left = tl.load(a + row_at + k[None, :], mask=in_m[:, None] & (k < inner)[None, :])
        right = tl.load(b + column_at + k[:, None], mask=in_n[None, :] & (k < inner)[:, None])
        left = tl.where(in_m[:, None] & (k < inner)[None, :], left.to(tl.float16), 0.0)
        right = tl.where(in_n[None, :] & (k < inner)[:, None], right.to(tl.float16), 0.0)
        part = tl.dot(left, right)
        at = start // block
        scale_a = tl.load(a_scales + row.to(tl.int64) * blocks + at, mask=in_m, other=0.0)
        scale_b = tl.load(b_scales + (column // block).to(tl.int64) * blocks + at, mask=in_n, other=0.0)
        result += part * scale_a[:, None] * scale_b[None, :]
    store_tile(out, result, bias, row, column, rows, columns)
