"""What every attention kernel does to a tile of scores: loading rows, which queries see which keys, caps and
linear biases. Flows in: tiles and positions. Flows out: masked scores, for `ops.kernels.running_softmax`."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

UNLIMITED = 1 << 29
"""A window's side that no sequence reaches."""


@triton.jit
def tanh(x):
    """tanh, exact for small numbers, too."""
    return libdevice.tanh(x)


@triton.jit
def load_rows(base, row_at, inside, lane, width):
    """A tile of rows of `width` elements each; zeros outside."""
    mask = inside[:, None] & (lane < width)[None, :]
    return tl.load(base + row_at[:, None] * width + lane[None, :], mask=mask, other=0.0)


@triton.jit
def store_rows(base, row_at, inside, lane, width, value):
    """The opposite of `load_rows`, rounding to the type in memory."""
    mask = inside[:, None] & (lane < width)[None, :]
    tl.store(base + row_at[:, None] * width + lane[None, :], value.to(base.dtype.element_ty), mask=mask)


@triton.jit
def query_tile(
    query, first, row_0, queries, heads, head, width, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr
):
    """The queries of one head from row `row_0` of a sequence on, whose own first row is `first` of `query`
    [rows, heads, width]: the rows' numbers in the sequence, which there are, where they are, and the tile."""
    row = row_0 + tl.arange(0, BLOCK_M)
    inside = row < queries
    row_at = (first + row) * heads + head
    return row, inside, row_at, load_rows(query, row_at, inside, tl.arange(0, BLOCK_D), width)


@triton.jit
def slope_of(slopes, head, BIASED: tl.constexpr):
    """The slope of a head's linear bias; 0 without one."""
    if BIASED:
        return tl.load(slopes + head).to(tl.float32)
    else:
        return 0.0


@triton.jit
def seen_scores(
    q,
    k,
    row,
    column,
    lengths,
    window,
    scale,
    soft_cap,
    slope,
    CAPPED: tl.constexpr,
    BIASED: tl.constexpr,
):
    """scale q k^T, capped and biased, -inf where a query does not see a key; and the slope of the cap.
    Rows and columns count from their sequences' starts, whose ends are aligned; there are `lengths` of them.
    A query sees `window` keys to its left and to its right."""
    queries, keys = lengths
    left, right = window
    score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    derivative = tl.full(score.shape, 1.0, tl.float32)
    if CAPPED:
        bent = tanh(score / soft_cap)
        score = soft_cap * bent
        derivative = 1.0 - bent * bent
    distance = column[None, :] - (row[:, None] + (keys - queries))
    if BIASED:
        score -= slope * tl.abs(distance).to(tl.float32)
    inside = (row < queries)[:, None] & (column < keys)[None, :]
    inside = inside & (distance <= right) & (distance >= -left)
    return tl.where(inside, score, float("-inf")), derivative


@triton.jit
def masked_scores(score, mask, row, column, strides, lengths):
    """Scores under a mask [queries, keys] of one head: -inf where bytes are 0, or plus what floating numbers
    say."""
    queries, keys = lengths
    row_stride, column_stride = strides
    inside = (row < queries)[:, None] & (column < keys)[None, :]
    at = row.to(tl.int64)[:, None] * row_stride + column.to(tl.int64)[None, :] * column_stride
    given = tl.load(mask + at, mask=inside, other=0)
    if mask.dtype.element_ty == tl.uint8:
        return tl.where(given != 0, score, float("-inf"))
    else:
        return score + given.to(tl.float32)


@triton.jit
def seen_keys(row_0, lengths, window, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Half-open range of the keys that a tile of queries from row `row_0` on sees, its start rounded down to
    BLOCK_N."""
    queries, keys = lengths
    left, right = window
    first = tl.maximum(row_0 + (keys - queries) - left, 0) // BLOCK_N * BLOCK_N
    return first, tl.minimum(keys, row_0 + BLOCK_M + (keys - queries) + right)


@triton.jit
def seeing_queries(column_0, lengths, window, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Half-open range of the queries that see a tile of keys from `column_0` on, its start rounded down to
    BLOCK_M."""
    queries, keys = lengths
    left, right = window
    first = tl.maximum(column_0 - (keys - queries) - right, 0) // BLOCK_M * BLOCK_M
    return first, tl.minimum(queries, column_0 + BLOCK_N - (keys - queries) + left)


@triton.jit
def span(starts, sequence, length):
    """First row and number of rows of a sequence: from `starts`, or of `length` each."""
    if starts is None:
        return sequence * length, length
    else:
        first = tl.load(starts + sequence).to(tl.int64)
        return first, (tl.load(starts + sequence + 1).to(tl.int64) - first).to(tl.int32)
