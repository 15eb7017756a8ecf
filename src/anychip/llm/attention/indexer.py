"""The index of sparse attention (DeepSeek-V3.2, 2025): how much each token matters to a query, by a few small
heads, from contiguous keys or from pages, in 8- or 16-bit floats. Flows in: queries, keys, weights of heads.
Flows out: scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"keys": 64}, simd={"keys": 64})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def wide_enough(x):
    """8-bit floats as the 16-bit ones that hold them exactly."""
    if x.dtype.primitive_bitwidth == 8:
        return x.to(tl.float16)
    else:
        return x


@triton.jit
def indexer_kernel(
    out,
    query,
    key,
    key_scales,
    weights,
    tables,
    starts,
    ends,
    next_tokens,
    heads,
    width,
    columns,
    page_size,
    most_pages,
    BLOCK_H: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One query and some keys: sum over heads of weight max(q . k, 0), times the key's scale; -inf outside of
    the query's range. With `tables`, ends are lengths of sequences of `next_tokens` queries each."""
    row = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    lane_d = tl.arange(0, BLOCK_D)
    first = 0
    if tables is None:
        last = tl.load(ends + row).to(tl.int32)
        if starts is not None:
            first = tl.load(starts + row).to(tl.int32)
        seen = (column >= first) & (column < last) & (column < columns)
        slot = column.to(tl.int64)
    else:
        sequence = row // next_tokens
        last = tl.load(ends + sequence).to(tl.int32) - next_tokens + (row % next_tokens).to(tl.int32) + 1
        seen = (column < last) & (column < columns)
        page = tl.load(tables + sequence * most_pages + column // page_size, mask=seen, other=0)
        slot = page.to(tl.int64) * page_size + column % page_size
    k = tl.load(key + slot[:, None] * width + lane_d[None, :], mask=seen[:, None] & (lane_d < width)[None, :])
    k = tl.where(seen[:, None] & (lane_d < width)[None, :], wide_enough(k), 0.0)
    total = tl.zeros((BLOCK_N,), tl.float32)
    for start in range(0, heads, BLOCK_H):
        head = start + tl.arange(0, BLOCK_H)
        inside = (head < heads)[:, None] & (lane_d < width)[None, :]
        q = tl.load(query + (row * heads + head)[:, None] * width + lane_d[None, :], mask=inside)
        q = tl.where(inside, wide_enough(q), 0.0).to(k.dtype)
        score = tl.maximum(tl.dot(q, tl.trans(k), input_precision="ieee"), 0.0)
        share = tl.load(weights + row * heads + head, mask=head < heads, other=0.0).to(tl.float32)
        total += tl.sum(score * share[:, None], 0)
    if key_scales is not None:
        total *= tl.load(key_scales + slot, mask=seen, other=0.0)
    tl.store(out + row * columns + column, tl.where(seen, total, float("-inf")), mask=column < columns)


# ---- functions ------------------------------------------------------------------------------------


def _blocks(query: torch.Tensor) -> dict[str, Any]:
    heads, width = query.shape[-2:]
    return {
        "BLOCK_H": max(16, min(64, power_of_two(heads))),
        "BLOCK_N": TILES.on(query)["keys"],
        "BLOCK_D": max(16, power_of_two(width)),
    }


def indexer_logits(
    query: torch.Tensor,
    key: torch.Tensor,
    weights: torch.Tensor,
    ends: torch.Tensor,
    starts: torch.Tensor | None = None,
    key_scales: torch.Tensor | None = None,
) -> torch.Tensor:
    """sum over heads h of weights[i, h] max(q[i, h] k[j]^T, 0) key_scales[j], -inf for keys j outside of
    starts[i] to ends[i] - 1.

    query [rows, heads, width] and key [keys, width], floating or float8_e4m3fn; weights [rows, heads], starts
    and ends [rows] integers, key_scales [keys]. Gives [rows, keys] in float32. Raises ArgumentError.
    """
    rows = query.shape[0] if query.ndim == 3 else -1
    if (
        key.ndim != 2
        or weights.shape != query.shape[:2]
        or key.shape[1] != query.shape[-1]
        or ends.shape != (rows,)
        or (starts is not None and starts.shape != (rows,))
        or (key_scales is not None and key_scales.shape != key.shape[:1])
    ):
        raise ArgumentError(
            f"indexer_logits: query {tuple(query.shape)}, key {tuple(key.shape)}, weights "
            f"{tuple(weights.shape)} and ends {tuple(ends.shape)} must be [rows, heads, width], [keys, "
            f"width], [rows, heads] and [rows]"
        )
    out = torch.empty((rows, key.shape[0]), dtype=torch.float32, device=query.device)
    blocks = _blocks(query)
    launch(
        indexer_kernel,
        (cdiv(key.shape[0], blocks["BLOCK_N"]), rows),
        out,
        query.contiguous(),
        key.contiguous(),
        key_scales,
        weights.contiguous(),
        None,
        starts,
        ends.contiguous(),
        1,
        query.shape[1],
        query.shape[2],
        key.shape[0],
        1,
        0,
        **blocks,
    )
    return out


def paged_indexer_logits(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    weights: torch.Tensor,
    tables: torch.Tensor,
    lengths: torch.Tensor,
    key_scales: torch.Tensor | None = None,
) -> torch.Tensor:
    """`indexer_logits` of each sequence's newest tokens, whose keys lie in pages.

    query [sequences, new, heads, width], key_cache [pages, page size, width], weights [sequences, new,
    heads], tables [sequences, most pages], lengths [sequences] with the new tokens; key_scales [pages, page
    size]. Gives [sequences, new, most pages page size] in float32, -inf beyond each token's own place.
    Raises ArgumentError.
    """
    sequences = query.shape[0] if query.ndim == 4 else -1
    if (
        key_cache.ndim != 3
        or weights.shape != query.shape[:3]
        or key_cache.shape[2] != query.shape[-1]
        or tables.ndim != 2
        or tables.shape[0] != sequences
        or lengths.shape != (sequences,)
        or (key_scales is not None and key_scales.shape != key_cache.shape[:2])
    ):
        raise ArgumentError(
            f"paged_indexer_logits: query {tuple(query.shape)}, cache {tuple(key_cache.shape)}, weights "
            f"{tuple(weights.shape)}, tables {tuple(tables.shape)} and lengths {tuple(lengths.shape)} do not "
            f"belong together"
        )
    new, heads, width = query.shape[1:]
    page_size, columns = key_cache.shape[1], tables.shape[1] * key_cache.shape[1]
    out = torch.empty((sequences, new, columns), dtype=torch.float32, device=query.device)
    blocks = _blocks(query)
    launch(
        indexer_kernel,
        (cdiv(columns, blocks["BLOCK_N"]), sequences * new),
        out,
        query.contiguous(),
        key_cache.contiguous(),
        None if key_scales is None else key_scales.contiguous(),
        weights.contiguous(),
        tables.contiguous(),
        None,
        lengths.contiguous(),
        new,
        heads,
        width,
        columns,
        page_size,
        tables.shape[1],
        **blocks,
    )
    return out


# ---- records --------------------------------------------------------------------------------------


def _reference(
    query: torch.Tensor,
    key: torch.Tensor,
    weights: torch.Tensor,
    ends: torch.Tensor,
    starts: torch.Tensor | None = None,
    key_scales: torch.Tensor | None = None,
) -> torch.Tensor:
    score = torch.einsum("ihd,jd->ihj", query.double(), key.double()).relu()
    out = torch.einsum("ihj,ih->ij", score, weights.double())
    out = out if key_scales is None else out * key_scales
    place = torch.arange(len(key))
    first = torch.zeros_like(ends) if starts is None else starts
    return out.masked_fill((place < first[:, None]) | (place >= ends[:, None]), -torch.inf)


def _paged_reference(
    query: torch.Tensor,
    key_cache: torch.Tensor,
    weights: torch.Tensor,
    tables: torch.Tensor,
    lengths: torch.Tensor,
    key_scales: torch.Tensor | None = None,
) -> torch.Tensor:
    new = query.shape[1]
    rows = []
    for s, length in enumerate(lengths.tolist()):
        pages = tables[s].long()
        scales = None if key_scales is None else key_scales[pages].flatten()
        ends = torch.arange(new) + length - new + 1
        keys = key_cache.double()[pages].flatten(0, 1)
        rows.append(_reference(query[s], keys, weights[s], ends, None, scales))
    return torch.stack(rows)


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    query, key = tensor((3, 4, 8), dtype, -1, 1), tensor((11, 8), dtype, -1, 1, seed=1)
    yield Sample((query, key, tensor((3, 4), dtype), torch.tensor([11, 0, 7]), torch.tensor([2, 0, 5])))
    # Equal terms, which do not cancel, move their sum by less than each of them.
    halves = torch.full((1, 4, 8), 0.5, dtype=dtype), torch.full((2, 8), 0.5, dtype=dtype)
    yield Sample((*halves, torch.full((1, 4), 0.25, dtype=dtype), torch.tensor([1])))
    small = (tensor(s, torch.float32).to(torch.float8_e4m3fn) for s in ((2, 20, 32), (90, 32)))
    scales = tensor((90,), torch.float32, 0.1, 1)
    yield Sample((*small, tensor((2, 20), dtype), torch.tensor([80, 3]).int(), None, scales))


def _paged_samples(dtype: torch.dtype) -> Iterable[Sample]:
    tables = torch.tensor([[5, 2, 0], [7, 1, 3]], dtype=torch.int32)
    query, cache = tensor((2, 2, 4, 32), dtype, -1, 1), tensor((8, 16, 32), torch.float32, seed=1)
    weights = tensor((2, 2, 4), dtype)
    yield Sample((query, cache.to(dtype), weights, tables, torch.tensor([5, 44])))
    small = query.to(torch.float8_e4m3fn), cache.to(torch.float8_e4m3fn)
    scales = tensor((8, 16), torch.float32, 0.1, 1)
    yield Sample((*small, weights, tables, torch.tensor([48, 2]).int(), scales))


register(Fused("indexer_logits", "attention", indexer_logits, _reference, _samples, (indexer_kernel,)))
register(
    Fused(
        "paged_indexer_logits",
        "attention",
        paged_indexer_logits,
        _paged_reference,
        _paged_samples,
        (indexer_kernel,),
    )
)
