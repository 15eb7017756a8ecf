"""Attention of few queries to many keys, as when a language model writes one token after the other.
Every key and value is used once, so memory is the limit and no matrix product is made. Where there are
few heads the keys are divided among programs, and a second kernel joins the parts (Dao et al.,
"Flash-Decoding", 2023)."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..iteration import power_of_two
from ..kernels.numbers import double
from ..kernels.running_softmax import finished, shift_of, weigh
from ..launching import TRITON_DTYPES, Plan, cdiv, compute_dtype

DECODE_PROGRAMS = 32
"""Where there are fewer queries in all batches and heads, each one's keys are divided among programs, of
which each has at least `KEYS_OF_A_PART`. Neither depends on the number of threads, nor does the result."""
KEYS_OF_A_PART = 256

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["scale"])
def attention_decode_kernel(
    out,
    logsumexp,
    query,
    key,
    value,
    mask,
    heads,
    queries,
    keys,
    keys_of_part,
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
    SHARING: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """One query of one head over one part of the keys: softmax(scale q k^T + mask) v, and the logarithm of
    the softmax's sum. Every key and value is used once, so nothing is gained from a matrix product. Strides
    are given in the order of the dimensions, `scale` as the bits of a double.

    out [parts, batch, heads, queries, value_width]; logsumexp [parts, batch, heads, queries]; query [batch,
    heads, queries, width]; key [batch, heads / SHARING, keys, width]; value [batch, heads / SHARING, keys,
    value_width]; mask [batch, heads, queries, keys], bool or floating, or None."""
    out_p, out_b, out_h, out_m, out_d = out_strides
    lse_p, lse_b, lse_h, lse_m = lse_strides
    q_b, q_h, q_m, q_d = query_strides
    k_b, k_h, k_n, k_d = key_strides
    v_b, v_h, v_n, v_d = value_strides
    mask_b, mask_h, mask_q, mask_k = mask_strides
    program = tl.program_id(0)
    row = (program % queries).to(tl.int64)
    head = ((program // queries) % heads).to(tl.int64)
    batch = (program // queries // heads).to(tl.int64)
    part = tl.program_id(1).to(tl.int64)
    lane_n = tl.arange(0, BLOCK_N)
    lane_d = tl.arange(0, BLOCK_D)
    lane_v = tl.arange(0, BLOCK_V)
    in_d, in_v = lane_d < width, lane_v < value_width
    factor = double(scale).to(COMPUTE)
    q = tl.load(
        query + batch * q_b + head * q_h + row * q_m + lane_d.to(tl.int64) * q_d, mask=in_d, other=0.0
    )
    q = q.to(COMPUTE) * factor
    first = part * keys_of_part
    key += batch * k_b + head // SHARING * k_h
    value += batch * v_b + head // SHARING * v_h
    if mask is not None:
        mask += batch * mask_b + head * mask_h + row * mask_q
    largest = tl.full((), float("-inf"), COMPUTE)
    total = tl.zeros((), COMPUTE)
    result = tl.zeros((BLOCK_V,), COMPUTE)
    last = tl.minimum(first + keys_of_part, keys)
    for start in range(first, last, BLOCK_N):
        column = (start + lane_n).to(tl.int64)
        inside = column < last
        k = tl.load(
            key + column[:, None] * k_n + lane_d.to(tl.int64)[None, :] * k_d,
            mask=inside[:, None] & in_d[None, :],
            other=0.0,
        )
        score = tl.sum(k.to(COMPUTE) * q[None, :], 1)
        if mask is not None:
            extra = tl.load(mask + column * mask_k, mask=inside, other=0)
            if extra.dtype == tl.int1:
                inside = inside & extra
            else:
                score += extra.to(COMPUTE)
        score = tl.where(inside, score, float("-inf"))
        probability, decay, largest, total = weigh(score, largest, total, 0)
        v = tl.load(
            value + column[:, None] * v_n + lane_v.to(tl.int64)[None, :] * v_d,
            mask=(column < last)[:, None] & in_v[None, :],
            other=0.0,
        )
        result = result * decay + tl.sum(probability[:, None] * v.to(COMPUTE), 0)
    result, sums = finished(result, largest, total, 0)
    out += part * out_p + batch * out_b + head * out_h + row * out_m
    tl.store(out + lane_v.to(tl.int64) * out_d, result.to(out.dtype.element_ty), mask=in_v)
    tl.store(logsumexp + part * lse_p + batch * lse_b + head * lse_h + row * lse_m, sums)


@triton.jit
def attention_join_kernel(
    out,
    logsumexp,
    partial,
    partial_sums,
    rows,
    parts,
    value_width,
    PARTS: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """The parts' results of one query as one; all tensors are contiguous, parts outermost."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, PARTS)
    lane_v = tl.arange(0, BLOCK_V)
    sums = tl.load(partial_sums + lane * rows + row, mask=lane < parts, other=float("-inf"))
    largest = tl.max(sums, 0)
    weight = tl.exp(sums - shift_of(largest))
    total = tl.sum(weight, 0)
    nothing = total == 0
    in_v = lane_v < value_width
    each = tl.load(
        partial + (lane * rows + row)[:, None] * value_width + lane_v[None, :],
        mask=(lane < parts)[:, None] & in_v[None, :],
        other=0.0,
    )
    result = tl.sum(each * weight[:, None], 0) / tl.where(nothing, 1.0, total)
    tl.store(out + row * value_width + lane_v, result.to(out.dtype.element_ty), mask=in_v)
    sum_ = tl.where(nothing, float("-inf"), largest + tl.log(tl.where(nothing, 1.0, total)))
    tl.store(logsumexp + row, sum_)


# ---- plan -----------------------------------------------------------------------------------------


def decoding_plan(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask_strides: tuple[int, ...],
    keys_at_a_time: int,
) -> Plan:
    """For few queries, none of them causal. `result`: the shapes of the output and of its logarithmic
    sums, their computing dtype, and the plan that joins the parts of the keys, None for one part."""
    batch, heads, queries, width = query.shape
    keys, value_width = key.shape[2], value.shape[3]
    compute = compute_dtype(query.dtype)
    rows = batch * heads * queries
    parts = max(1, min(cdiv(DECODE_PROGRAMS, max(rows, 1)), keys // KEYS_OF_A_PART))
    row = heads * value_width
    out_strides = (rows * value_width, queries * row, value_width, row, 1)
    sums_strides = (rows, queries * heads, 1, heads)
    constants = {
        "SHARING": heads // max(1, key.shape[1]),
        "BLOCK_N": min(keys_at_a_time, max(16, power_of_two(keys))),
        "BLOCK_D": power_of_two(width),
        "BLOCK_V": power_of_two(value_width),
    }
    join = None
    if parts > 1:
        together = {"PARTS": power_of_two(parts), "BLOCK_V": constants["BLOCK_V"]}
        join = Plan(attention_join_kernel, rows, (rows, parts, value_width), together, result=parts)
    return Plan(
        attention_decode_kernel,
        (rows, parts),
        (
            heads,
            queries,
            keys,
            cdiv(keys, parts),
            width,
            value_width,
            out_strides,
            sums_strides,
            query.stride(),
            key.stride(),
            value.stride(),
            mask_strides,
        ),
        {"COMPUTE": TRITON_DTYPES[compute], **constants},
        result=((batch, queries, heads, value_width), (batch, queries, heads), compute, join),
    )
