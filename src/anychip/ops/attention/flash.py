"""Scaled dot-product attention, forward and backward, with an optional additive mask and causality.
Scores never reach memory: Dao et al., "FlashAttention", arXiv:2205.14135, and its second version,
arXiv:2307.08691."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..elementwise.arithmetic import mul
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..kernels.numbers import double
from ..kernels.running_softmax import finished, shift_of, weigh
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, launch, scalar_bits, signature
from ..reduce.sums import SUM
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .decode import attention_decode_kernel, attention_join_kernel, decoding_plan

TILES = Tiles(
    simt={"queries": 64, "keys": 64, "few": 0, "decode_keys": 64},
    simd={"queries": 64, "keys": 64, "few": 4, "decode_keys": 64},
)
"""`few`: up to so many queries are taken one by one, without matrix products; `decode_keys`: keys at a
time for these."""
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


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
        probability, decay, largest, total = weigh(score, largest, total)
        v = tl.load(
            value + column_at * v_n + lane_v[None, :] * v_d,
            mask=inside & (lane_v < value_width)[None, :],
            other=0.0,
        )
        result = result * decay[:, None]
        result = tl.dot(probability.to(v.dtype), v, result, input_precision="ieee", out_dtype=COMPUTE)
    result, sums = finished(result, largest, total)
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


# ---- forward, backward ----------------------------------------------------------------------------


def _checked(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout_p: float) -> None:
    if query.dtype not in FLOATING:
        raise NotServed("attention", f"dtype {query.dtype} is not served")
    if dropout_p:
        raise NotServed("attention", f"dropout_p={dropout_p} inside attention is not served")
    ranks = query.ndim == key.ndim == value.ndim == 4
    if not ranks or key.shape[1] != value.shape[1] or query.shape[1] % max(1, key.shape[1]):
        raise ArgumentError(
            "attention: expected [batch, heads, length, width] with as many heads of keys as of values, and "
            "a multiple of them of queries, got "
            f"{list(query.shape)}, {list(key.shape)}, {list(value.shape)}"
        )


def _sharing(query: torch.Tensor, key: torch.Tensor) -> int:
    """Heads of queries to a head of keys and values (grouped-query attention has several)."""
    return query.shape[1] // max(1, key.shape[1])


def _spread(x: torch.Tensor, sharing: int) -> torch.Tensor:
    """Keys or values contiguous, once for every head of queries."""
    if sharing == 1:
        return x.contiguous()
    batch, heads, length, width = x.shape
    return x[:, :, None].expand(batch, heads, sharing, length, width).reshape(batch, -1, length, width)


def _gathered(gradient: torch.Tensor, like: torch.Tensor, sharing: int) -> torch.Tensor:
    """The gradient of keys or values from those for every head of queries."""
    if sharing == 1:
        return gradient
    batch, heads, length, width = like.shape
    parts = gradient.view(batch, heads, sharing, length, width)
    return SUM(parts, [2], False, compute=compute_dtype(like.dtype), result=like.dtype)


def _factor(query: torch.Tensor, scale: float | None) -> int:
    return scalar_bits(1 / math.sqrt(query.shape[-1]) if scale is None else scale, True)


def _mask(attn_mask: torch.Tensor | None, query: torch.Tensor, key: torch.Tensor) -> Any:
    """The mask broadcast to [batch, heads, queries, keys], and its strides."""
    if attn_mask is None:
        return None, (0, 0, 0, 0)
    spread = attn_mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    return spread, spread.stride()


def _blocks(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> dict[str, int]:
    tiles = TILES.on(query)
    return {
        "BLOCK_M": max(16, min(tiles["queries"], power_of_two(query.shape[2]))),
        "BLOCK_N": max(16, min(tiles["keys"], power_of_two(key.shape[2]))),
        "BLOCK_D": max(16, power_of_two(query.shape[3])),
        "BLOCK_V": max(16, power_of_two(value.shape[3])),
    }


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: torch.Tensor | None = None,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(scale q k^T + mask) v and the logarithms of the softmax's sums.

    query [batch, heads, m, width], key [batch, heads, n, width], value [batch, heads, n, value width]
    (or fewer heads of keys and values, each shared by as many heads of queries),
    mask broadcastable to [batch, heads, m, n], boolean (True: seen) or added. The result is laid out
    as [batch, m, heads, value width], which the projection after it reads without a copy.
    """
    signed = (signature(query, key, value, attn_mask), dropout_p, is_causal)
    plan = PLANS.get(signed)
    if plan is None:
        _checked(query, key, value, dropout_p)
        few = query.shape[2] <= TILES.on(query)["few"] and not is_causal
        if few:
            strides = _mask(attn_mask, query, key)[1]
            plan = decoding_plan(query, key, value, strides, TILES.on(query)["decode_keys"])
        else:
            plan = _plan(query, key, value, attn_mask, is_causal)
        PLANS.remember(signed, plan)
    shape, sums_shape, compute, join = plan.result
    out = torch.empty(shape, dtype=query.dtype, device=query.device).transpose(1, 2)
    sums = torch.empty(sums_shape, dtype=compute, device=query.device).transpose(1, 2)
    numbers = (_factor(query, scale),)
    if join is None:
        plan.launch(out, sums, query, key, value, attn_mask, numbers=numbers)
        return out, sums
    partial = torch.empty((join.result, *shape), dtype=compute, device=query.device)
    partial_sums = torch.empty((join.result, *sums_shape), dtype=compute, device=query.device)
    plan.launch(partial, partial_sums, query, key, value, attn_mask, numbers=numbers)
    join.launch(out, sums, partial, partial_sums)
    return out, sums


def _plan(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None, causal: bool
) -> Plan:
    batch, heads, queries, width = query.shape
    keys, value_width = key.shape[2], value.shape[3]
    compute = compute_dtype(query.dtype)
    row = heads * value_width
    out_strides = (queries * row, value_width, row, 1)
    sums_strides = (queries * heads, 1, heads)
    _, mask_strides = _mask(attn_mask, query, key)
    blocks = _blocks(query, key, value)
    return Plan(
        attention_kernel,
        batch * heads * cdiv(queries, blocks["BLOCK_M"]),
        (
            heads,
            queries,
            keys,
            width,
            value_width,
            out_strides,
            sums_strides,
            query.stride(),
            key.stride(),
            value.stride(),
            mask_strides,
        ),
        {"COMPUTE": TRITON_DTYPES[compute], "CAUSAL": causal, "SHARING": _sharing(query, key), **blocks},
        result=((batch, queries, heads, value_width), (batch, queries, heads), compute, None),
    )


def attention_backward(
    grad_out: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    out: torch.Tensor,
    logsumexp: torch.Tensor,
    dropout_p: float,
    is_causal: bool,
    *,
    attn_mask: torch.Tensor | None = None,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of query, key and value."""
    _checked(query, key, value, dropout_p)
    batch, heads, queries, width = query.shape
    keys, value_width = key.shape[2], value.shape[3]
    compute = compute_dtype(query.dtype)
    wide = torch.empty(out.shape, dtype=compute, device=out.device)
    delta = SUM(mul(grad_out, out, out=wide), [-1], False, compute=compute, result=compute)
    gradient, sums = grad_out.contiguous(), logsumexp.contiguous()
    sharing = _sharing(query, key)
    q, k, v = query.contiguous(), _spread(key, sharing), _spread(value, sharing)
    dq, dk, dv = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
    mask, mask_strides = _mask(attn_mask, query, key)
    blocks = _blocks(query, key, value)
    sizes = (_factor(query, scale), heads, queries, keys, width, value_width)
    constants = {"COMPUTE": TRITON_DTYPES[compute], "CAUSAL": is_causal, **blocks}
    launch(
        attention_query_gradient_kernel,
        batch * heads * cdiv(queries, blocks["BLOCK_M"]),
        dq,
        gradient,
        delta,
        sums,
        q,
        k,
        v,
        mask,
        *sizes,
        mask_strides,
        **constants,
    )
    launch(
        attention_key_gradient_kernel,
        batch * heads * cdiv(keys, blocks["BLOCK_N"]),
        dk,
        dv,
        gradient,
        delta,
        sums,
        q,
        k,
        v,
        mask,
        *sizes,
        mask_strides,
        **constants,
    )
    return dq, _gathered(dk, key, sharing), _gathered(dv, value, sharing)


# ---- record ---------------------------------------------------------------------------------------


def _tiled(dtype: torch.dtype) -> Iterable[Sample]:
    for batch, heads, m, n, width in ((2, 3, 7, 7, 8), (1, 2, 70, 90, 16), (2, 2, 5, 9, 32)):
        shapes = ((batch, m, heads, width), (batch, n, heads, width), (batch, n, heads, width))
        q, k, v = (tensor(s, dtype, -1, 1, seed=i).transpose(1, 2) for i, s in enumerate(shapes))
        yield Sample((q, k, v))
        yield Sample((q, k, v, 0.0, True))
        keep = torch.where(torch.arange(n) < n - 2, 0.0, float("-inf")).to(dtype)
        yield Sample((q, k, v), {"attn_mask": keep.expand(batch, 1, m, n), "scale": 0.3})


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield from _tiled(dtype)
    for m in (7, 2):
        shapes = ((2, m, 6, 8), (2, 9, 2, 8), (2, 9, 2, 8))
        yield Sample(tuple(tensor(s, dtype, -1, 1, seed=i).transpose(1, 2) for i, s in enumerate(shapes)))
    for batch, heads, m, n, width in ((2, 3, 1, 40, 8), (1, 2, 3, 700, 20)):
        shapes = ((batch, m, heads, width), (batch, n, heads, width), (batch, n, heads, width))
        q, k, v = (tensor(s, dtype, -1, 1, seed=i).transpose(1, 2) for i, s in enumerate(shapes))
        yield Sample((q, k, v))
        keep = torch.where(torch.arange(n) % 3 != 0, 0.0, float("-inf")).to(dtype)
        yield Sample((q, k, v), {"attn_mask": keep.expand(batch, heads, m, n)})


def _backward_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _tiled(torch.float64):
        q, k, v, *flags = sample.arguments
        causal = bool(flags)
        out, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default(
            q, k, v, 0.0, causal, **sample.keywords
        )
        keywords = dict(sample.keywords)
        if "attn_mask" in keywords:
            keywords["attn_mask"] = keywords["attn_mask"].to(dtype)
        given = [x.to(dtype) for x in (tensor(out.shape, dtype, -1, 1), q, k, v, out)]
        yield Sample((*given, sums.to(compute_dtype(dtype)), 0.0, causal), keywords)


def _long(dtype: torch.dtype) -> Sample:
    return Sample(tuple(tensor((4, 8, 1024, 64), dtype, -1, 1, seed=k) for k in range(3)))


def _first(result: Any) -> Any:
    return result[0]


register(
    Operator(
        name="attention",
        overloads=(
            Overload(
                "_scaled_dot_product_flash_attention_for_cpu",
                attention,
                _samples,
                takes_out=False,
                compared=_first,
            ),
            Overload(
                "_scaled_dot_product_flash_attention_for_cpu_backward",
                attention_backward,
                _backward_samples,
                takes_out=False,
            ),
        ),
        kernels=(
            attention_kernel,
            attention_decode_kernel,
            attention_join_kernel,
            attention_query_gradient_kernel,
            attention_key_gradient_kernel,
        ),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("_scaled_dot_product_flash_attention_for_cpu", _long),),
        tolerance=4.0,
    )
)
