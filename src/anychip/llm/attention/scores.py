"""What every attention kernel does to a tile of scores: loading rows, which queries see which keys, caps and
linear biases, the running softmax and its end. Flows in: tiles and positions. Flows out: masked scores,
probabilities, running sums."""

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
def seen_scores(
    q,
    k,
    row,
    column,
    queries,
    keys,
    left,
    right,
    scale,
    soft_cap,
    slope,
    CAPPED: tl.constexpr,
    BIASED: tl.constexpr,
):
    """scale q k^T, capped and biased, -inf where a query does not see a key; and the slope of the cap.
    Rows and columns count from their sequences' starts, whose ends are aligned."""
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
def masked_scores(score, mask, row, column, row_stride, column_stride, queries, keys):
    """Scores under a mask of one head: -inf where bytes are 0, or plus what floating numbers say."""
    inside = (row < queries)[:, None] & (column < keys)[None, :]
    at = row.to(tl.int64)[:, None] * row_stride + column.to(tl.int64)[None, :] * column_stride
    given = tl.load(mask + at, mask=inside, other=0)
    if mask.dtype.element_ty == tl.uint8:
        return tl.where(given != 0, score, float("-inf"))
    else:
        return score + given.to(tl.float32)


@triton.jit
def seen_keys(row_0, queries, keys, left, right, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """From which key on (a multiple of BLOCK_N) to before which one a tile of queries sees any."""
    first = tl.maximum(row_0 + (keys - queries) - left, 0) // BLOCK_N * BLOCK_N
    return first, tl.minimum(keys, row_0 + BLOCK_M + (keys - queries) + right)


@triton.jit
def seeing_queries(column_0, queries, keys, left, right, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """From which query on (a multiple of BLOCK_M) to before which one any sees a tile of keys."""
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


@triton.jit
def weigh(score, largest, total):
    """One step of the running softmax: probabilities of a tile, the decay of what was, and the new state."""
    update = tl.maximum(largest, tl.max(score, 1))
    safe = tl.where(update == float("-inf"), 0.0, update)
    probability = tl.exp(score - safe[:, None])
    decay = tl.exp(largest - safe)
    return probability, decay, update, total * decay + tl.sum(probability, 1)


@triton.jit
def with_sink(sink, largest, total):
    """The running softmax after one more score that has no value: the decay of what was, the new state."""
    update = tl.maximum(largest, sink)
    decay = tl.exp(largest - update)
    return decay, update, total * decay + tl.exp(sink - update)


@triton.jit
def finished(result, largest, total):
    """Weighted values and the logarithm of the summed exponentials; zeros and -inf where nothing was seen."""
    nothing = total == 0.0
    safe = tl.where(nothing, 1.0, total)
    return result / safe[:, None], tl.where(nothing, float("-inf"), largest + tl.log(safe))
