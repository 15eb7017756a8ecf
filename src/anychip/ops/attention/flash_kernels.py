"""The kernels of scaled dot-product attention: scores never reach memory. Dao et al., "FlashAttention",
arXiv:2205.14135, and its second version, arXiv:2307.08691."""

from __future__ import annotations

import triton
import triton.language as tl

from ..kernels.numbers import double
from ..kernels.running_softmax import finished, shift_of, weigh


@triton.jit
def scores(
    q,
    k,
    mask,
    at_mask,
    mask_q,
    mask_k,
    row,
    column,
    queries,
    keys,
    scale,
    COMPUTE: tl.constexpr,
    CAUSAL: tl.constexpr,
):
    """scale q @ k^T + mask for one tile; -inf outside the matrix and above the diagonal if CAUSAL."""
    value = tl.dot(q, tl.trans(k), input_precision="ieee", out_dtype=COMPUTE) * scale
    inside = (row < queries)[:, None] & (column < keys)[None, :]
    if mask is not None:
        at = at_mask + row.to(tl.int64)[:, None] * mask_q + column.to(tl.int64)[None, :] * mask_k
        extra = tl.load(mask + at, mask=inside, other=0)
        if extra.dtype == tl.int1:
            value = tl.where(extra, value, float("-inf"))
        else:
            value += extra.to(COMPUTE)
    if CAUSAL:
        inside = inside & (row[:, None] >= column[None, :])
    return tl.where(inside, value, float("-inf"))


@triton.jit(do_not_specialize=["scale"])
def attention_kernel(
    out,
    logsumexp,
    query,
    key,
    value,
    mask,
    heads,
    queries,
    keys,
    width,
    value_width,
    out_strides,
    lse_strides,
    query_strides,
    key_strides,
    value_strides,
    mask_strides,
    scale: tl.int64,
    COMPUTE: tl.constexpr,
    CAUSAL: tl.constexpr,
    SHARING: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """One tile of BLOCK_M queries of one head: softmax(scale q k^T + mask) v, running over the keys. Strides
    are given in the order of the dimensions, `scale` as the bits of a double.

    out [batch, heads, queries, value_width]; logsumexp [batch, heads, queries]; query [batch, heads, queries,
    width]; key [batch, heads / SHARING, keys, width]; value [batch, heads / SHARING, keys, value_width]; mask
    [batch, heads, queries, keys], bool or floating, or None."""
    out_b, out_h, out_m, out_d = out_strides
    lse_b, lse_h, lse_m = lse_strides
    q_b, q_h, q_m, q_d = query_strides
    k_b, k_h, k_n, k_d = key_strides
    v_b, v_h, v_n, v_d = value_strides
    mask_b, mask_h, mask_q, mask_k = mask_strides
    tiles = tl.cdiv(queries, BLOCK_M)
    program = tl.program_id(0)
    tile = program % tiles
    head = ((program // tiles) % heads).to(tl.int64)
    batch = (program // tiles // heads).to(tl.int64)
    factor = double(scale).to(COMPUTE)
    row = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    lane_n = tl.arange(0, BLOCK_N)
    lane_d = tl.arange(0, BLOCK_D).to(tl.int64)
    lane_v = tl.arange(0, BLOCK_V).to(tl.int64)
    row_at = row.to(tl.int64)[:, None]
    q_mask = (row < queries)[:, None] & (lane_d < width)[None, :]
    q = tl.load(
        query + batch * q_b + head * q_h + row_at * q_m + lane_d[None, :] * q_d, mask=q_mask, other=0.0
    )
    at_mask = batch * mask_b + head * mask_h
    key += batch * k_b + head // SHARING * k_h
    value += batch * v_b + head // SHARING * v_h
    largest = tl.full((BLOCK_M,), float("-inf"), COMPUTE)
    total = tl.zeros((BLOCK_M,), COMPUTE)
    result = tl.zeros((BLOCK_M, BLOCK_V), COMPUTE)
    stop = keys
    if CAUSAL:
        stop = tl.minimum(keys, (tile + 1) * BLOCK_M)
    for start in range(0, stop, BLOCK_N):
        column = start + lane_n
        column_at = column.to(tl.int64)[:, None]
        inside = (column < keys)[:, None]
        k = tl.load(
            key + column_at * k_n + lane_d[None, :] * k_d, mask=inside & (lane_d < width)[None, :], other=0.0
        )
        score = scores(
            q, k, mask, at_mask, mask_q, mask_k, row, column, queries, keys, factor, COMPUTE, CAUSAL
        )
        probability, decay, largest, total = weigh(score, largest, total, 1)
        v = tl.load(
            value + column_at * v_n + lane_v[None, :] * v_d,
            mask=inside & (lane_v < value_width)[None, :],
            other=0.0,
        )
        result = result * decay[:, None]
        result = tl.dot(probability.to(v.dtype), v, result, input_precision="ieee", out_dtype=COMPUTE)
    result, sums = finished(result, largest, total, 1)
    out += batch * out_b + head * out_h
    tl.store(
        out + row_at * out_m + lane_v[None, :] * out_d,
        result.to(out.dtype.element_ty),
        mask=(row < queries)[:, None] & (lane_v < value_width)[None, :],
    )
    tl.store(logsumexp + batch * lse_b + head * lse_h + row.to(tl.int64) * lse_m, sums, mask=row < queries)


@triton.jit
def probabilities(score, lse):
    """softmax from scores and their logarithmic sums; rows that see nothing are zero."""
    return tl.exp(score - shift_of(lse)[:, None])


@triton.jit(do_not_specialize=["scale"])
def attention_query_gradient_kernel(
    dq,
    gradient,
    delta,
    logsumexp,
    query,
    key,
    value,
    mask,
    scale: tl.int64,
    heads,
    queries,
    keys,
    width,
    value_width,
    mask_strides,
    COMPUTE: tl.constexpr,
    CAUSAL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """dq for one tile of queries. All tensors but the mask are contiguous [batch, heads, length, width]."""
    mask_b, mask_h, mask_q, mask_k = mask_strides
    tiles = tl.cdiv(queries, BLOCK_M)
    program = tl.program_id(0)
    tile = program % tiles
    pair = (program // tiles).to(tl.int64)
    batch = pair // heads
    head = pair % heads
    factor = double(scale).to(COMPUTE)
    row = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    lane_n = tl.arange(0, BLOCK_N)
    lane_d = tl.arange(0, BLOCK_D)
    lane_v = tl.arange(0, BLOCK_V)
    row_at = pair * queries + row
    inside = row < queries
    in_d = (lane_d < width)[None, :]
    in_v = (lane_v < value_width)[None, :]
    q = tl.load(query + row_at[:, None] * width + lane_d[None, :], mask=inside[:, None] & in_d, other=0.0)
    do = tl.load(
        gradient + row_at[:, None] * value_width + lane_v[None, :], mask=inside[:, None] & in_v, other=0.0
    )
    lse = tl.load(logsumexp + row_at, mask=inside, other=0.0).to(COMPUTE)
    di = tl.load(delta + row_at, mask=inside, other=0.0).to(COMPUTE)
    result = tl.zeros((BLOCK_M, BLOCK_D), COMPUTE)
    for start in range(0, keys, BLOCK_N):
        column = start + lane_n
        column_at = (pair * keys + column)[:, None]
        in_n = (column < keys)[:, None]
        k = tl.load(key + column_at * width + lane_d[None, :], mask=in_n & in_d, other=0.0)
        v = tl.load(value + column_at * value_width + lane_v[None, :], mask=in_n & in_v, other=0.0)
        score = scores(
            q,
            k,
            mask,
            batch * mask_b + head * mask_h,
            mask_q,
            mask_k,
            row,
            column,
            queries,
            keys,
            factor,
            COMPUTE,
            CAUSAL,
        )
        p = probabilities(score, lse)
        dp = tl.dot(do, tl.trans(v), input_precision="ieee", out_dtype=COMPUTE)
        ds = p * (dp - di[:, None]) * factor
        result = tl.dot(ds.to(k.dtype), k, result, input_precision="ieee", out_dtype=COMPUTE)
    tl.store(
        dq + row_at[:, None] * width + lane_d[None, :],
        result.to(dq.dtype.element_ty),
        mask=inside[:, None] & in_d,
    )


@triton.jit(do_not_specialize=["scale"])
def attention_key_gradient_kernel(
    dk,
    dv,
    gradient,
    delta,
    logsumexp,
    query,
    key,
    value,
    mask,
    scale: tl.int64,
    heads,
    queries,
    keys,
    width,
    value_width,
    mask_strides,
    COMPUTE: tl.constexpr,
    CAUSAL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """dk and dv for one tile of keys. All tensors but the mask are contiguous [batch, heads, length,
    width]."""
    mask_b, mask_h, mask_q, mask_k = mask_strides
    tiles = tl.cdiv(keys, BLOCK_N)
    program = tl.program_id(0)
    tile = program % tiles
    pair = (program // tiles).to(tl.int64)
    batch = pair // heads
    head = pair % heads
    factor = double(scale).to(COMPUTE)
    column = tile * BLOCK_N + tl.arange(0, BLOCK_N)
    lane_m = tl.arange(0, BLOCK_M)
    lane_d = tl.arange(0, BLOCK_D)
    lane_v = tl.arange(0, BLOCK_V)
    column_at = (pair * keys + column)[:, None]
    in_n = (column < keys)[:, None]
    in_d = (lane_d < width)[None, :]
    in_v = (lane_v < value_width)[None, :]
    k = tl.load(key + column_at * width + lane_d[None, :], mask=in_n & in_d, other=0.0)
    v = tl.load(value + column_at * value_width + lane_v[None, :], mask=in_n & in_v, other=0.0)
    result_k = tl.zeros((BLOCK_N, BLOCK_D), COMPUTE)
    result_v = tl.zeros((BLOCK_N, BLOCK_V), COMPUTE)
    for start in range(0, queries, BLOCK_M):
        row = start + lane_m
        row_at = pair * queries + row
        inside = row < queries
        q = tl.load(query + row_at[:, None] * width + lane_d[None, :], mask=inside[:, None] & in_d, other=0.0)
        do = tl.load(
            gradient + row_at[:, None] * value_width + lane_v[None, :], mask=inside[:, None] & in_v, other=0.0
        )
        lse = tl.load(logsumexp + row_at, mask=inside, other=0.0).to(COMPUTE)
        di = tl.load(delta + row_at, mask=inside, other=0.0).to(COMPUTE)
        score = scores(
            q,
            k,
            mask,
            batch * mask_b + head * mask_h,
            mask_q,
            mask_k,
            row,
            column,
            queries,
            keys,
            factor,
            COMPUTE,
            CAUSAL,
        )
        p = probabilities(score, lse)
        result_v = tl.dot(tl.trans(p).to(do.dtype), do, result_v, input_precision="ieee", out_dtype=COMPUTE)
        dp = tl.dot(do, tl.trans(v), input_precision="ieee", out_dtype=COMPUTE)
        ds = p * (dp - di[:, None]) * factor
        result_k = tl.dot(tl.trans(ds).to(q.dtype), q, result_k, input_precision="ieee", out_dtype=COMPUTE)
    tl.store(dk + column_at * width + lane_d[None, :], result_k.to(dk.dtype.element_ty), mask=in_n & in_d)
    tl.store(
        dv + column_at * value_width + lane_v[None, :], result_v.to(dv.dtype.element_ty), mask=in_n & in_v
    )
