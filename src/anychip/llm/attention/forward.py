"""The forward kernel of flash attention (Dao et al., arXiv:2307.08691): scores never reach memory. Flows in:
queries, keys, values, contiguous [rows, heads, width]. Flows out: weighted values, and for each row and head
the logarithm of the summed exponentials."""

from __future__ import annotations

import triton
import triton.language as tl

from ...ops.kernels.running_softmax import finished, weigh, with_sink
from .scores import load_rows, masked_scores, query_tile, seen_keys, seen_scores, slope_of, span, store_rows


@triton.jit
def flash_kernel(
    out,
    logsumexp,
    query,
    key,
    value,
    query_starts,
    key_starts,
    slopes,
    mask,
    sinks,
    longest,
    heads,
    width,
    value_width,
    window,
    scale,
    soft_cap,
    mask_strides,
    SHARING: tl.constexpr,
    CAPPED: tl.constexpr,
    BIASED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """One tile of queries of one head of one sequence.

    out [rows, heads, value_width]; logsumexp [rows, heads], f32; query [rows, heads, width]; key [rows of
    keys, heads / SHARING, width]; value [rows of keys, heads / SHARING, value_width], all contiguous;
    query_starts and key_starts [sequences + 1] or None, where all sequences are as long as the longest;
    slopes [heads] or None; mask [sequences, heads, queries, keys] or None; sinks [heads] or None."""
    head = tl.program_id(1)
    sequence = tl.program_id(2).to(tl.int64)
    q_first, queries = span(query_starts, sequence, longest[0])
    k_first, keys = span(key_starts, sequence, longest[1])
    lengths = (queries, keys)
    row_0 = tl.program_id(0) * BLOCK_M
    if row_0 < queries:
        row, in_m, row_at, q = query_tile(
            query, q_first, row_0, queries, heads, head, width, BLOCK_M, BLOCK_D
        )
        lane_d = tl.arange(0, BLOCK_D)
        lane_v = tl.arange(0, BLOCK_V)
        slope = slope_of(slopes, head, BIASED)
        shared = heads // SHARING
        largest = tl.full((BLOCK_M,), float("-inf"), tl.float32)
        total = tl.zeros((BLOCK_M,), tl.float32)
        result = tl.zeros((BLOCK_M, BLOCK_V), tl.float32)
        first, last = seen_keys(row_0, lengths, window, BLOCK_M, BLOCK_N)
        for start in range(first, last, BLOCK_N):
            column = start + tl.arange(0, BLOCK_N)
            column_at = (k_first + column) * shared + head // SHARING
            k = load_rows(key, column_at, column < keys, lane_d, width)
            score, _ = seen_scores(q, k, row, column, lengths, window, scale, soft_cap, slope, CAPPED, BIASED)
            if mask is not None:
                one = mask + sequence * mask_strides[0] + head.to(tl.int64) * mask_strides[1]
                score = masked_scores(score, one, row, column, mask_strides[2:], lengths)
            probability, decay, largest, total = weigh(score, largest, total, 1)
            v = load_rows(value, column_at, column < keys, lane_v, value_width)
            result = tl.dot(probability.to(v.dtype), v, result * decay[:, None], input_precision="ieee")
        if sinks is not None:
            decay, largest, total = with_sink(tl.load(sinks + head).to(tl.float32), largest, total)
            result *= decay[:, None]
        result, sums = finished(result, largest, total, 1)
        store_rows(out, row_at, in_m, lane_v, value_width, result)
        tl.store(logsumexp + row_at, sums, mask=in_m)
