"""Attention of one new token a sequence to keys and values in pages (Kwon et al., 2023), plain or of 8-bit
integers with scales. The
keys of a sequence are divided among programs, and a second kernel joins the parts (Dao et al.,
"Flash-Decoding", 2023). Flows in: queries, caches, tables of pages, lengths. Flows out: weighted values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.kernels.running_softmax import finished, shift_of, weigh
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .scores import store_rows, tanh

TILES = Tiles(
    simt={"keys": 32, "bytes": 1 << 15, "heads": 16, "keys_of_part": 512},
    simd={"keys": 64, "bytes": 1 << 20, "heads": 16, "keys_of_part": 1024},
)
"""Keys at a time, at most, and their bytes: a GPU keeps several tiles in its shared memory."""
MOST_PARTS = 64

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def keep_part(
    partial, sums, row, mask_h, lane, width, result, largest, total, rows, part, BLOCK_V: tl.constexpr
):
    """A part's weighted values in float32, and the logarithm of its sum of exponentials."""
    result, ending = finished(result, largest, total, 1)
    at = part.to(tl.int64) * rows + row
    store_rows(partial, at, mask_h, lane, width, result)
    tl.store(sums + at, ending, mask=mask_h)


@triton.jit
def paged_attention_kernel(
    partial,
    sums,
    query,
    key_cache,
    value_cache,
    key_scales,
    value_scales,
    tables,
    lengths,
    slopes,
    rows,
    heads,
    width,
    value_width,
    page_size,
    most_pages,
    keys_of_part,
    left,
    scale,
    soft_cap,
    SHARING: tl.constexpr,
    CAPPED: tl.constexpr,
    BIASED: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """All heads of queries that share one head of keys, of one sequence, over one part of its keys."""
    sequence = tl.program_id(0).to(tl.int64)
    shared_head = tl.program_id(1)
    part = tl.program_id(2)
    shared = heads // SHARING
    lane_h = tl.arange(0, BLOCK_H)
    lane_d = tl.arange(0, BLOCK_D)
    lane_v = tl.arange(0, BLOCK_V)
    in_h, in_d, in_v = lane_h < SHARING, lane_d < width, lane_v < value_width
    row = sequence * heads + shared_head * SHARING + lane_h
    q = tl.load(query + row[:, None] * width + lane_d[None, :], mask=in_h[:, None] & in_d[None, :], other=0.0)
    length = tl.load(lengths + sequence).to(tl.int32)
    slope = tl.zeros((BLOCK_H,), tl.float32)
    if BIASED:
        slope = tl.load(slopes + shared_head * SHARING + lane_h, mask=in_h, other=0.0).to(tl.float32)
    largest = tl.full((BLOCK_H,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_H,), tl.float32)
    result = tl.zeros((BLOCK_H, BLOCK_V), tl.float32)
    oldest = length - 1 - left
    for start in range(part * keys_of_part, tl.minimum(length, (part + 1) * keys_of_part), BLOCK_N):
        column = start + tl.arange(0, BLOCK_N)
        in_n = (column < length) & (column >= oldest)
        page = tl.load(tables + sequence * most_pages + column // page_size, mask=in_n, other=0).to(tl.int64)
        slot = (page * page_size + column % page_size) * shared + shared_head
        k_at = key_cache + slot[:, None] * width + lane_d[None, :]
        k = tl.load(k_at, mask=in_n[:, None] & in_d[None, :], other=0).to(q.dtype)
        score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        if key_scales is not None:
            score *= tl.load(key_scales + slot, mask=in_n, other=0.0)[None, :]
        if CAPPED:
            score = soft_cap * tanh(score / soft_cap)
        if BIASED:
            score -= slope[:, None] * (length - 1 - column).to(tl.float32)[None, :]
        score = tl.where(in_n[None, :], score, float("-inf"))
        probability, decay, largest, total = weigh(score, largest, total, 1)
        v_at = value_cache + slot[:, None] * value_width + lane_v[None, :]
        v = tl.load(v_at, mask=in_n[:, None] & in_v[None, :], other=0).to(q.dtype)
        if value_scales is not None:
            probability *= tl.load(value_scales + slot, mask=in_n, other=0.0)[None, :]
        result = tl.dot(probability.to(q.dtype), v, result * decay[:, None], input_precision="ieee")
    keep_part(partial, sums, row, in_h, lane_v, value_width, result, largest, total, rows, part, BLOCK_V)


@triton.jit
def join_parts_kernel(out, partial, sums, rows, parts, width, PARTS: tl.constexpr, BLOCK: tl.constexpr):
    """One head of one sequence: its parts, weighted by their shares of the whole sum."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    lane = tl.arange(0, PARTS)
    mask = column < width
    share = tl.load(sums + lane.to(tl.int64) * rows + row, mask=lane < parts, other=float("-inf"))
    largest = tl.max(share, 0)
    total = tl.sum(tl.exp(share - shift_of(largest)), 0)
    result = tl.zeros((BLOCK,), tl.float32)
    for part in range(parts):
        at = part.to(tl.int64) * rows + row
        weight = tl.exp(tl.load(sums + at) - shift_of(largest))
        result += weight * tl.load(partial + at * width + column, mask=mask, other=0.0)
    result = result / tl.where(total == 0.0, 1.0, total)
    tl.store(out + row * width + column, result.to(out.dtype.element_ty), mask=mask)


# ---- functions ------------------------------------------------------------------------------------


def keys_at_a_time(query: torch.Tensor, width: int) -> int:
    tiles = TILES.on(query)
    return max(16, min(tiles["keys"], tiles["bytes"] // (width * query.element_size())))


def parts_of(most_keys: int, device: torch.device) -> tuple[int, int]:
    """How many parts, and how many keys each has: from the tables' capacity, not from lengths, which only
    the device knows."""
    tiles = TILES.on(device)
    parts = max(1, min(MOST_PARTS, cdiv(most_keys, tiles["keys_of_part"])))
    return parts, cdiv(cdiv(most_keys, parts), tiles["keys"]) * tiles["keys"]


def joined(query: torch.Tensor, width: int, partial: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    sequences, heads = query.shape[:2]
    out = torch.empty((sequences, heads, width), dtype=query.dtype, device=query.device)
    block = min(power_of_two(width), 128)
    launch(
        join_parts_kernel,
        (sequences * heads, cdiv(width, block)),
        out,
        partial,
        sums,
        sequences * heads,
        sums.shape[0],
        width,
        PARTS=power_of_two(sums.shape[0]),
        BLOCK=block,
    )
    return out


def check_tables(name: str, sequences: int, tables: torch.Tensor, lengths: torch.Tensor) -> None:
    if tables.ndim != 2 or tables.shape[0] != sequences or lengths.shape != (sequences,):
        raise ArgumentError(
            f"{name}: {sequences} sequences need tables [sequences, pages] and lengths [sequences], got "
            f"{tuple(tables.shape)} and {tuple(lengths.shape)}"
        )


def paged_attention(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    tables: torch.Tensor,
    lengths: torch.Tensor,
    scale: float | None = None,
    window: int = -1,
    soft_cap: float = 0.0,
    slopes: torch.Tensor | None = None,
    key_scales: torch.Tensor | None = None,
    value_scales: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attention of each sequence's newest token to all its keys, which lie in pages.

    query [sequences, heads, width]; caches [pages, page size, key heads, width] and [..., value width]
    contiguous, heads a multiple of key heads; tables [sequences, most pages] and lengths [sequences] of
    integers: sequence s's token t is at place t % page size of page tables[s, t // page size], the newest
    being lengths[s] - 1. Gives [sequences, heads, value width]; zeros for length 0. `window` keys before
    the newest are seen (-1: all); `soft_cap`, `slopes`, `scale` as in `flash_attention`. Caches of int8 come
    with scales [pages, page size, key heads] of float32. Raises ArgumentError.
    """
    name = "paged_attention"
    if query.ndim != 3 or key_cache.ndim != 4 or key_cache.shape[:-1] != value_cache.shape[:-1]:
        raise ArgumentError(
            f"{name}: expected query [sequences, heads, width] and caches [pages, page size, heads, width], "
            f"got {tuple(query.shape)}, {tuple(key_cache.shape)} and {tuple(value_cache.shape)}"
        )
    sequences, heads, width = query.shape
    _, page_size, shared, key_width = key_cache.shape
    if key_width != width or shared == 0 or heads % shared:
        raise ArgumentError(
            f"{name}: {heads} heads of width {width} do not fit a cache of {shared} of width {key_width}"
        )
    for cache, scales in ((key_cache, key_scales), (value_cache, value_scales)):
        if (scales is None) == (cache.dtype == torch.int8) or not cache.is_contiguous():
            raise ArgumentError(
                f"{name}: caches must be contiguous, and have scales exactly if int8; one is {cache.dtype} "
                f"with strides {cache.stride()} and {'no ' if scales is None else ''}scales"
            )
        if scales is not None and (scales.shape != cache.shape[:-1] or not scales.is_contiguous()):
            raise ArgumentError(
                f"{name}: scales of shape {tuple(scales.shape)} must be contiguous and of shape "
                f"{tuple(cache.shape[:-1])}"
            )
    check_tables(name, sequences, tables, lengths)
    value_width = value_cache.shape[-1]
    block_d, block_v = max(16, power_of_two(width)), max(16, power_of_two(value_width))
    parts, keys_of_part = parts_of(tables.shape[1] * page_size, query.device)
    partial = torch.empty((parts, sequences, heads, value_width), dtype=torch.float32, device=query.device)
    sums = torch.empty((parts, sequences, heads), dtype=torch.float32, device=query.device)
    launch(
        paged_attention_kernel,
        (sequences, shared, parts),
        partial,
        sums,
        query.contiguous(),
        key_cache,
        value_cache,
        key_scales,
        value_scales,
        tables.contiguous(),
        lengths.contiguous(),
        slopes,
        sequences * heads,
        heads,
        width,
        value_width,
        page_size,
        tables.shape[1],
        keys_of_part,
        1 << 29 if window < 0 else window,
        1.0 / math.sqrt(width) if scale is None else scale,
        soft_cap,
        SHARING=heads // shared,
        CAPPED=soft_cap > 0.0,
        BIASED=slopes is not None,
        BLOCK_H=max(16, power_of_two(heads // shared)),
        BLOCK_N=keys_at_a_time(query, max(block_d, block_v)),
        BLOCK_D=block_d,
        BLOCK_V=block_v,
    )
    return joined(query, value_width, partial, sums)


# ---- records --------------------------------------------------------------------------------------


def paged_reference(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    tables: torch.Tensor,
    lengths: torch.Tensor,
    scale: float | None = None,
    window: int = -1,
    soft_cap: float = 0.0,
    slopes: torch.Tensor | None = None,
    key_scales: torch.Tensor | None = None,
    value_scales: torch.Tensor | None = None,
) -> torch.Tensor:
    key_cache, value_cache = (
        cache.double() if scales is None else cache * scales[..., None]
        for cache, scales in ((key_cache, key_scales), (value_cache, value_scales))
    )
    heads, shared = query.shape[1], key_cache.shape[2]
    out = []
    for sequence, length in enumerate(lengths.tolist()):
        pages = tables[sequence].long()
        first = 0 if window < 0 else max(0, length - 1 - window)
        k, v = (x[pages].flatten(0, 1)[first:length] for x in (key_cache, value_cache))
        k, v = (x.repeat_interleave(heads // shared, 1) for x in (k, v))
        score = torch.einsum("hd,nhd->hn", query[sequence], k)
        score = score / math.sqrt(query.shape[-1]) if scale is None else score * scale
        if soft_cap:
            score = soft_cap * torch.tanh(score / soft_cap)
        if slopes is not None:
            score = score - slopes[:, None] * (length - 1 - torch.arange(first, length))
        out.append(torch.einsum("hn,nhd->hd", score.softmax(-1), v))
    return torch.stack(out)


def pages_of(sequences: int, pages: int, most: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randperm(pages, generator=generator)[: sequences * most].view(sequences, most).int()


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    caches = tensor((9, 4, 2, 8), dtype, seed=1), tensor((9, 4, 2, 5), dtype, seed=2)
    tables, lengths = pages_of(2, 9, 3), torch.tensor([5, 0])
    yield Sample((tensor((2, 6, 8), dtype), *caches, tables, lengths))
    slopes = torch.tensor([0.5, 0.3, 0.2, 0.1, 0.01, 0.0])
    query = tensor((6, 2, 8), dtype).transpose(0, 1)
    keywords: dict[str, Any] = {"scale": 0.3, "window": 2, "soft_cap": 3.0, "slopes": slopes}
    yield Sample((query, *caches, tables, torch.tensor([12, 1]).int()), keywords)
    integers = tuple(tensor((90, 16, 1, 32), torch.int8, -127, 127, seed=k) for k in range(2))
    scales = tuple(tensor((90, 16, 1), torch.float32, 0.001, 0.01, seed=k) for k in range(2))
    given = (tensor((1, 4, 32), dtype), *integers, pages_of(1, 90, 80), torch.tensor([1271]))
    yield Sample(given, {"key_scales": scales[0], "value_scales": scales[1]})


register(
    Fused(
        "paged_attention",
        "attention",
        paged_attention,
        paged_reference,
        _samples,
        (paged_attention_kernel, join_parts_kernel),
    )
)
