"""Scaled dot-product attention, forward and backward, with an optional additive mask and causality.
Scores never reach memory: Dao et al., "FlashAttention", arXiv:2205.14135, and its second version,
arXiv:2307.08691."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from ..elementwise.arithmetic import mul
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, launch, scalar_bits, signature
from ..reduce.sums import SUM
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .decode import attention_decode_kernel, attention_join_kernel, decoding_plan
from .flash_kernels import attention_kernel, attention_key_gradient_kernel, attention_query_gradient_kernel

TILES = Tiles(
    simt={"queries": 64, "keys": 64, "few": 0, "decode_keys": 64},
    simd={"queries": 64, "keys": 64, "few": 4, "decode_keys": 64},
)
"""`few`: up to so many queries are taken one by one, without matrix products; `decode_keys`: keys at a
time for these."""
PLANS: Plans[Plan] = Plans()

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
