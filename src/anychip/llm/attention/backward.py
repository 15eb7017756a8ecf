"""The kernels of flash attention's gradients, which find the probabilities again from the sums that the
forward pass kept (Dao et al., arXiv:2307.08691). Flows in: what went into attention and came out, and the
result's gradient. Flows out: gradients of queries, keys, values, and sinks."""

from __future__ import annotations

import triton
import triton.language as tl

from ...ops.kernels.running_softmax import shift_of
from .scores import (
    load_rows,
    masked_scores,
    query_tile,
    seeing_queries,
    seen_keys,
    seen_scores,
    slope_of,
    span,
    store_rows,
)


@triton.jit
def flash_delta_kernel(delta, out, gradient, width, BLOCK: tl.constexpr):
    """The sum of out times its gradient, of one row of one head."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    value = tl.load(out + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    slope = tl.load(gradient + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(delta + row, tl.sum(value * slope, 0))


@triton.jit
def flash_sink_gradient_kernel(dsinks, sinks, delta, logsumexp, rows, heads, BLOCK: tl.constexpr):
    """- sum over rows of exp(sink - logsumexp) delta, of one head."""
    head = tl.program_id(0)
    sink = tl.load(sinks + head).to(tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, rows, BLOCK):
        row = (first + tl.arange(0, BLOCK)).to(tl.int64)
        mask = row < rows
        share = tl.exp(sink - tl.load(logsumexp + row * heads + head, mask=mask, other=0.0))
        total -= share * tl.load(delta + row * heads + head, mask=mask, other=0.0)
    tl.store(dsinks + head, tl.sum(total, 0).to(dsinks.dtype.element_ty))


@triton.jit
def score_gradients(
    q,
    k,
    v,
    do,
    lse,
    delta,
    row,
    column,
    lengths,
    window,
    scale,
    soft_cap,
    slope,
    mask,
    mask_steps,
    CAPPED: tl.constexpr,
    BIASED: tl.constexpr,
):
    """Probabilities of one tile, and the gradient of q k^T."""
    score, derivative = seen_scores(
        q, k, row, column, lengths, window, scale, soft_cap, slope, CAPPED, BIASED
    )
    if mask is not None:
        score = masked_scores(score, mask, row, column, mask_steps, lengths)
    probability = tl.exp(score - shift_of(lse)[:, None])
    dp = tl.dot(do, tl.trans(v), input_precision="ieee")
    return probability, probability * (dp - delta[:, None]) * derivative * scale


@triton.jit
def flash_query_gradient_kernel(
    dq,
    gradient,
    delta,
    logsumexp,
    query,
    key,
    value,
    query_starts,
    key_starts,
    slopes,
    mask,
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
    """The gradient of one tile of queries of one head of one sequence.

    dq [rows, heads, width]; gradient [rows, heads, value_width]; delta and logsumexp [rows, heads], f32;
    query [rows, heads, width]; key [rows of keys, heads / SHARING, width]; value [rows of keys, heads /
    SHARING, value_width], all contiguous; query_starts and key_starts [sequences + 1] or None, where all
    sequences are as long as the longest; slopes [heads] or None; mask [sequences, heads, queries, keys] or
    None."""
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
        do = load_rows(gradient, row_at, in_m, lane_v, value_width)
        lse = tl.load(logsumexp + row_at, mask=in_m, other=0.0)
        di = tl.load(delta + row_at, mask=in_m, other=0.0)
        slope = slope_of(slopes, head, BIASED)
        if mask is not None:
            mask += sequence * mask_strides[0] + head.to(tl.int64) * mask_strides[1]
        shared = heads // SHARING
        result = tl.zeros((BLOCK_M, BLOCK_D), tl.float32)
        first, last = seen_keys(row_0, lengths, window, BLOCK_M, BLOCK_N)
        for start in range(first, last, BLOCK_N):
            column = start + tl.arange(0, BLOCK_N)
            column_at = (k_first + column) * shared + head // SHARING
            k = load_rows(key, column_at, column < keys, lane_d, width)
            v = load_rows(value, column_at, column < keys, lane_v, value_width)
            _, ds = score_gradients(
                q,
                k,
                v,
                do,
                lse,
                di,
                row,
                column,
                lengths,
                window,
                scale,
                soft_cap,
                slope,
                mask,
                mask_strides[2:],
                CAPPED,
                BIASED,
            )
            result = tl.dot(ds.to(k.dtype), k, result, input_precision="ieee")
        store_rows(dq, row_at, in_m, lane_d, width, result)


@triton.jit
def flash_key_gradient_kernel(
    dk,
    dv,
    gradient,
    delta,
    logsumexp,
    query,
    key,
    value,
    query_starts,
    key_starts,
    slopes,
    mask,
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
    """The gradients of one tile of keys and values of one of their heads, from all heads that share it.

    dk and dv as key and value; all others as in `flash_query_gradient_kernel`.
    """
    shared_head = tl.program_id(1)
    sequence = tl.program_id(2).to(tl.int64)
    q_first, queries = span(query_starts, sequence, longest[0])
    k_first, keys = span(key_starts, sequence, longest[1])
    lengths = (queries, keys)
    column_0 = tl.program_id(0) * BLOCK_N
    if column_0 < keys:
        column = column_0 + tl.arange(0, BLOCK_N)
        lane_d = tl.arange(0, BLOCK_D)
        lane_v = tl.arange(0, BLOCK_V)
        in_n = column < keys
        column_at = (k_first + column) * (heads // SHARING) + shared_head
        k = load_rows(key, column_at, in_n, lane_d, width)
        v = load_rows(value, column_at, in_n, lane_v, value_width)
        result_k = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
        result_v = tl.zeros((BLOCK_N, BLOCK_V), tl.float32)
        first, last = seeing_queries(column_0, lengths, window, BLOCK_M, BLOCK_N)
        for one in range(SHARING):
            head = shared_head * SHARING + one
            slope = slope_of(slopes, head, BIASED)
            of_head = mask
            if mask is not None:
                of_head = mask + sequence * mask_strides[0] + head.to(tl.int64) * mask_strides[1]
            for start in range(first, last, BLOCK_M):
                row, in_m, row_at, q = query_tile(
                    query, q_first, start, queries, heads, head, width, BLOCK_M, BLOCK_D
                )
                do = load_rows(gradient, row_at, in_m, lane_v, value_width)
                lse = tl.load(logsumexp + row_at, mask=in_m, other=0.0)
                di = tl.load(delta + row_at, mask=in_m, other=0.0)
                p, ds = score_gradients(
                    q,
                    k,
                    v,
                    do,
                    lse,
                    di,
                    row,
                    column,
                    lengths,
                    window,
                    scale,
                    soft_cap,
                    slope,
                    of_head,
                    mask_strides[2:],
                    CAPPED,
                    BIASED,
                )
                result_v = tl.dot(tl.trans(p.to(do.dtype)), do, result_v, input_precision="ieee")
                result_k = tl.dot(tl.trans(ds.to(q.dtype)), q, result_k, input_precision="ieee")
        store_rows(dk, column_at, in_n, lane_d, width, result_k)
        store_rows(dv, column_at, in_n, lane_v, value_width, result_v)
