"""Attention of several new tokens a sequence to caches in pages: chunked prefill, prompts behind a shared
prefix, and several drafted tokens at once; of plain caches and of multi-head latent attention's (DeepSeek-V2,
2024). Flows in: packed queries, caches, tables of pages, lengths. Flows out: weighted values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.kernels.running_softmax import finished, weigh, with_sink
from ...ops.launching import cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .flash import TILES, packed_reference
from .scores import UNLIMITED, query_tile, seen_keys, seen_scores, slope_of, store_rows

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def load_slots(cache, slot, inside, lane, width, slot_stride):
    """A tile of rows of a cache whose slots lie `slot_stride` elements apart."""
    mask = inside[:, None] & (lane < width)[None, :]
    return tl.load(cache + slot[:, None] * slot_stride + lane[None, :], mask=mask, other=0.0)


@triton.jit
def paged_prefill_kernel(
    out,
    query,
    key_cache,
    value_cache,
    tables,
    starts,
    lengths,
    slopes,
    sinks,
    heads,
    width,
    value_width,
    slots,
    heads_apart,
    page_size,
    most_pages,
    left,
    scale,
    soft_cap,
    SHARING: tl.constexpr,
    CAPPED: tl.constexpr,
    BIASED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """One tile of queries of one head of one sequence, which are the last of the tokens in its pages.

    out [rows, heads, value_width]; query [rows, heads, width]; key_cache [pages, page_size, heads / SHARING,
    width]; value_cache [pages, page_size, heads / SHARING, value_width], whose slots and heads are so many
    elements apart (of keys, of values); tables [sequences, most_pages]; starts [sequences + 1]; lengths
    [sequences]; slopes and sinks [heads] or None.
    """
    head = tl.program_id(1)
    sequence = tl.program_id(2).to(tl.int64)
    q_first = tl.load(starts + sequence).to(tl.int64)
    queries = (tl.load(starts + sequence + 1).to(tl.int64) - q_first).to(tl.int32)
    keys = tl.load(lengths + sequence).to(tl.int32)
    row_0 = tl.program_id(0) * BLOCK_M
    if row_0 < queries:
        row, in_m, row_at, q = query_tile(
            query, q_first, row_0, queries, heads, head, width, BLOCK_M, BLOCK_D
        )
        lane_d = tl.arange(0, BLOCK_D)
        lane_v = tl.arange(0, BLOCK_V)
        slope = slope_of(slopes, head, BIASED)
        keys_at = key_cache + (head // SHARING).to(tl.int64) * heads_apart[0]
        values_at = value_cache + (head // SHARING).to(tl.int64) * heads_apart[1]
        largest = tl.full((BLOCK_M,), float("-inf"), tl.float32)
        total = tl.zeros((BLOCK_M,), tl.float32)
        result = tl.zeros((BLOCK_M, BLOCK_V), tl.float32)
        first, last = seen_keys(row_0, (queries, keys), (left, 0), BLOCK_M, BLOCK_N)
        for start in range(first, last, BLOCK_N):
            column = start + tl.arange(0, BLOCK_N)
            in_n = column < keys
            page = tl.load(tables + sequence * most_pages + column // page_size, mask=in_n, other=0)
            slot = page.to(tl.int64) * page_size + column % page_size
            k = load_slots(keys_at, slot, in_n, lane_d, width, slots[0]).to(q.dtype)
            score, _ = seen_scores(
                q, k, row, column, (queries, keys), (left, 0), scale, soft_cap, slope, CAPPED, BIASED
            )
            probability, decay, largest, total = weigh(score, largest, total, 1)
            v = load_slots(values_at, slot, in_n, lane_v, value_width, slots[1]).to(q.dtype)
            result = tl.dot(probability.to(q.dtype), v, result * decay[:, None], input_precision="ieee")
        if sinks is not None:
            decay, largest, total = with_sink(tl.load(sinks + head).to(tl.float32), largest, total)
            result *= decay[:, None]
        result, _ = finished(result, largest, total, 1)
        store_rows(out, row_at, in_m, lane_v, value_width, result)


# ---- functions ------------------------------------------------------------------------------------


def _prefill(
    name: str,
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    tables: torch.Tensor,
    starts: torch.Tensor,
    lengths: torch.Tensor,
    longest_query: int,
    scale: float,
    window: int,
    soft_cap: float,
    slopes: torch.Tensor | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Caches are [pages, page size, heads, width] with whole slots side by side, strides in `slots`."""
    rows, heads, width = query.shape
    shared, value_width = key_cache.shape[2], value_cache.shape[3]
    sequences = lengths.numel()
    if (
        key_cache.shape[:3] != value_cache.shape[:3]
        or key_cache.shape[3] != width
        or not shared
        or heads % shared
        or tables.ndim != 2
        or tables.shape[0] != sequences
        or starts.shape != (sequences + 1,)
        or any(given is not None and given.shape != (heads,) for given in (slopes, sinks))
    ):
        raise ArgumentError(
            f"{name}: queries {tuple(query.shape)}, caches {tuple(key_cache.shape)} and "
            f"{tuple(value_cache.shape)}, tables {tuple(tables.shape)}, starts {tuple(starts.shape)}, "
            f"lengths {tuple(lengths.shape)} and one slope or sink a head do not belong together"
        )
    for cache in (key_cache, value_cache):
        if cache.stride(0) != cache.stride(1) * cache.shape[1] or cache.stride(3) != 1:
            raise ArgumentError(
                f"{name}: slots of a cache must follow one another, strides are {cache.stride()}"
            )
    out = torch.empty((rows, heads, value_width), dtype=query.dtype, device=query.device)
    tiles = TILES.on(query)
    block_d, block_v = max(16, power_of_two(width)), max(16, power_of_two(value_width))
    fitting = tiles["bytes"] // (max(block_d, block_v) * query.element_size())
    most = max(16, min(tiles["rows"], fitting))
    block_m = max(16, min(most, power_of_two(longest_query)))
    launch(
        paged_prefill_kernel,
        (cdiv(longest_query, block_m), heads, sequences),
        out,
        query.contiguous(),
        key_cache,
        value_cache,
        tables.contiguous(),
        starts.contiguous(),
        lengths.contiguous(),
        slopes,
        sinks,
        heads,
        width,
        value_width,
        (key_cache.stride(1), value_cache.stride(1)),
        (key_cache.stride(2), value_cache.stride(2)),
        key_cache.shape[1],
        tables.shape[1],
        UNLIMITED if window < 0 else window,
        scale,
        soft_cap,
        SHARING=heads // shared,
        CAPPED=soft_cap > 0.0,
        BIASED=slopes is not None,
        BLOCK_M=block_m,
        BLOCK_N=most,
        BLOCK_D=block_d,
        BLOCK_V=block_v,
    )
    return out


def paged_prefill_attention(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    tables: torch.Tensor,
    starts: torch.Tensor,
    lengths: torch.Tensor,
    longest_query: int,
    scale: float | None = None,
    window: int = -1,
    soft_cap: float = 0.0,
    slopes: torch.Tensor | None = None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """Causal attention of each sequence's newest tokens to all its tokens, whose keys lie in pages already.

    query [rows, heads, width]: sequence s has rows starts[s] to starts[s + 1] - 1, the last of its lengths[s]
    tokens, at most `longest_query` of them. Caches [pages, page size, key heads, width] and [..., value
    width], tables [sequences, most pages], window, soft_cap, slopes as in `paged_attention`; sinks as in
    `flash_attention`. Gives [rows, heads, value width]. Raises ArgumentError.
    """
    if query.ndim != 3 or key_cache.ndim != 4 or value_cache.ndim != 4:
        raise ArgumentError(
            f"paged_prefill_attention: expected query [rows, heads, width] and caches [pages, page size, "
            f"heads, width], got {tuple(query.shape)}, {tuple(key_cache.shape)}, {tuple(value_cache.shape)}"
        )
    return _prefill(
        "paged_prefill_attention",
        query,
        key_cache,
        value_cache,
        tables,
        starts,
        lengths,
        longest_query,
        1.0 / math.sqrt(query.shape[-1]) if scale is None else scale,
        window,
        soft_cap,
        slopes,
        sinks,
    )


def latent_prefill_attention(
    query: torch.Tensor,
    cache: torch.Tensor,
    latent: int,
    tables: torch.Tensor,
    starts: torch.Tensor,
    lengths: torch.Tensor,
    longest_query: int,
    scale: float,
) -> torch.Tensor:
    """`latent_attention` of each sequence's newest tokens, causally: a prompt, or a chunk of one.

    query [rows, heads, latent + rope], the latent part already times the up-projection of keys; cache
    [pages, page size, latent + rope]; the rest as in `paged_prefill_attention`. The value of a token is the
    first `latent` elements of its row. Gives [rows, heads, latent]. Raises ArgumentError.
    """
    if query.ndim != 3 or cache.ndim != 3 or not 0 < latent <= cache.shape[-1]:
        raise ArgumentError(
            f"latent_prefill_attention: expected query [rows, heads, latent + rope] and a cache [pages, page "
            f"size, latent + rope], got {tuple(query.shape)}, {tuple(cache.shape)} and a latent of {latent}"
        )
    keys = cache[:, :, None]
    return _prefill(
        "latent_prefill_attention",
        query,
        keys,
        keys[..., :latent],
        tables,
        starts,
        lengths,
        longest_query,
        scale,
        -1,
        0.0,
        None,
        None,
    )


# ---- records --------------------------------------------------------------------------------------


def _reference(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    tables: torch.Tensor,
    starts: torch.Tensor,
    lengths: torch.Tensor,
    longest_query: int,
    scale: float | None = None,
    window: int = -1,
    soft_cap: float = 0.0,
    slopes: torch.Tensor | None = None,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    keys, values = [], []
    for pages, length in zip(tables.tolist(), lengths.tolist(), strict=True):
        keys.append(key_cache[pages].flatten(0, 1)[:length])
        values.append(value_cache[pages].flatten(0, 1)[:length])
    ends = torch.tensor([0, *lengths.tolist()]).cumsum(0)
    return packed_reference(
        query,
        torch.cat(keys),
        torch.cat(values),
        starts,
        ends,
        longest_query,
        int(lengths.max()),
        True,
        (window, -1),
        slopes,
        soft_cap,
        scale,
        sinks,
    )


def _latent_reference(
    query: torch.Tensor,
    cache: torch.Tensor,
    latent: int,
    tables: torch.Tensor,
    starts: torch.Tensor,
    lengths: torch.Tensor,
    longest_query: int,
    scale: float,
) -> torch.Tensor:
    keys = cache[:, :, None]
    return _reference(query, keys, keys[..., :latent], tables, starts, lengths, longest_query, scale)


TABLES = torch.tensor([[5, 2, 0], [7, 1, 3]], dtype=torch.int32)
STARTS = torch.tensor([0, 3, 20])
LENGTHS = torch.tensor([5, 23])


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    caches = tensor((9, 8, 2, 8), dtype, -1, 1, seed=1), tensor((9, 8, 2, 5), dtype, -1, 1, seed=2)
    query = tensor((20, 4, 8), dtype, -1, 1)
    yield Sample((query, *caches, TABLES, STARTS, LENGTHS, 17), {"sinks": tensor((4,), dtype)})
    keywords: dict[str, Any] = {"scale": 0.3, "window": 6, "soft_cap": 3.0}
    slopes = torch.tensor([0.5, 0.3, 0.2, 0.1], dtype=torch.float64)
    yield Sample((query, *caches, TABLES, STARTS, LENGTHS, 17), {**keywords, "slopes": slopes})


def _latent_samples(dtype: torch.dtype) -> Iterable[Sample]:
    query, cache = tensor((20, 3, 32), dtype, -1, 1), tensor((9, 8, 32), dtype, -1, 1, seed=1)
    yield Sample((query, cache, 24, TABLES, STARTS, LENGTHS, 17, 0.2))


register(
    Fused(
        "paged_prefill_attention",
        "attention",
        paged_prefill_attention,
        _reference,
        _samples,
        (paged_prefill_kernel,),
    )
)
register(
    Fused(
        "latent_prefill_attention",
        "attention",
        latent_prefill_attention,
        _latent_reference,
        _latent_samples,
        (paged_prefill_kernel,),
    )
)
