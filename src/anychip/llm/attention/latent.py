"""Attention of one new token a sequence to the compressed latents of multi-head latent attention
(DeepSeek-V2, 2024) in pages, its projections absorbed. Flows in: queries, a cache of latents, tables of
pages, lengths. Flows out: weighted latents."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.kernels.running_softmax import weigh
from ...ops.launching import cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .paged import (
    TILES,
    check_tables,
    join_parts_kernel,
    joined,
    keep_part,
    keys_at_a_time,
    paged_reference,
    pages_of,
    parts_of,
)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def latent_attention_kernel(
    partial,
    sums,
    query,
    query_rope,
    cache,
    tables,
    lengths,
    rows,
    heads,
    latent,
    rope,
    page_size,
    most_pages,
    keys_of_part,
    scale,
    BLOCK_H: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """A tile of heads of one sequence over one part of its tokens. A row of the cache is a latent, which is
    key and value of all heads, and the rotated part of the key."""
    sequence = tl.program_id(0).to(tl.int64)
    part = tl.program_id(2)
    lane_h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    lane_d = tl.arange(0, BLOCK_D)
    lane_r = tl.arange(0, BLOCK_R)
    in_h, in_d, in_r = lane_h < heads, lane_d < latent, lane_r < rope
    row = sequence * heads + lane_h
    q = tl.load(
        query + row[:, None] * latent + lane_d[None, :], mask=in_h[:, None] & in_d[None, :], other=0.0
    )
    turned = tl.load(
        query_rope + row[:, None] * rope + lane_r[None, :], mask=in_h[:, None] & in_r[None, :], other=0.0
    )
    length = tl.load(lengths + sequence).to(tl.int32)
    largest = tl.full((BLOCK_H,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_H,), tl.float32)
    result = tl.zeros((BLOCK_H, BLOCK_D), tl.float32)
    for start in range(part * keys_of_part, tl.minimum(length, (part + 1) * keys_of_part), BLOCK_N):
        column = start + tl.arange(0, BLOCK_N)
        in_n = column < length
        page = tl.load(tables + sequence * most_pages + column // page_size, mask=in_n, other=0).to(tl.int64)
        at = ((page * page_size + column % page_size) * (latent + rope))[:, None]
        c = tl.load(cache + at + lane_d[None, :], mask=in_n[:, None] & in_d[None, :], other=0.0).to(q.dtype)
        r_mask = in_n[:, None] & in_r[None, :]
        r = tl.load(cache + at + latent + lane_r[None, :], mask=r_mask, other=0.0).to(q.dtype)
        score = tl.dot(q, tl.trans(c), input_precision="ieee")
        score = tl.dot(turned, tl.trans(r), score, input_precision="ieee") * scale
        score = tl.where(in_n[None, :], score, float("-inf"))
        probability, decay, largest, total = weigh(score, largest, total, 1)
        result = tl.dot(probability.to(q.dtype), c, result * decay[:, None], input_precision="ieee")
    keep_part(partial, sums, row, in_h, lane_d, latent, result, largest, total, rows, part, BLOCK_D)


# ---- functions ------------------------------------------------------------------------------------


def latent_attention(
    query: torch.Tensor,
    query_rope: torch.Tensor,
    cache: torch.Tensor,
    tables: torch.Tensor,
    lengths: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """Multi-head latent attention of each sequence's newest token, with the projections absorbed.

    query [sequences, heads, latent] (already times the up-projection of keys), query_rope [sequences, heads,
    rope], cache [pages, page size, latent + rope] contiguous, tables and lengths as in `paged_attention`.
    The score of token t is scale (query . latent_t + query_rope . rope_t), its value latent_t; gives
    [sequences, heads, latent]. Raises ArgumentError.
    """
    name = "latent_attention"
    if query.ndim != 3 or query_rope.shape[:-1] != query.shape[:-1] or cache.ndim != 3:
        raise ArgumentError(
            f"{name}: expected queries [sequences, heads, latent] and [sequences, heads, rope] and a cache "
            f"[pages, page size, latent + rope], got {tuple(query.shape)}, {tuple(query_rope.shape)}, "
            f"{tuple(cache.shape)}"
        )
    sequences, heads, latent = query.shape
    rope = query_rope.shape[-1]
    if cache.shape[-1] != latent + rope or not cache.is_contiguous():
        raise ArgumentError(
            f"{name}: the cache's rows have {cache.shape[-1]} elements (strides {cache.stride()}); "
            f"{latent + rope} contiguous ones are needed"
        )
    check_tables(name, sequences, tables, lengths)
    tiles = TILES.on(query)
    block_d = max(16, power_of_two(latent))
    parts, keys_of_part = parts_of(tables.shape[1] * cache.shape[1], query.device)
    partial = torch.empty((parts, sequences, heads, latent), dtype=torch.float32, device=query.device)
    sums = torch.empty((parts, sequences, heads), dtype=torch.float32, device=query.device)
    launch(
        latent_attention_kernel,
        (sequences, cdiv(heads, tiles["heads"]), parts),
        partial,
        sums,
        query.contiguous(),
        query_rope.contiguous(),
        cache,
        tables.contiguous(),
        lengths.contiguous(),
        sequences * heads,
        heads,
        latent,
        rope,
        cache.shape[1],
        tables.shape[1],
        keys_of_part,
        scale,
        BLOCK_H=tiles["heads"],
        BLOCK_N=keys_at_a_time(query, block_d),
        BLOCK_D=block_d,
        BLOCK_R=max(16, power_of_two(rope)),
    )
    return joined(query, latent, partial, sums)


# ---- records --------------------------------------------------------------------------------------


def _latent_reference(
    query: torch.Tensor,
    query_rope: torch.Tensor,
    cache: torch.Tensor,
    tables: torch.Tensor,
    lengths: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    latent = query.shape[-1]
    key = cache[:, :, None]
    joined = torch.cat([query, query_rope], -1)
    return paged_reference(joined, key, key[..., :latent], tables, lengths, scale)


def _latent_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for sequences, heads, latent, rope, page, most in ((2, 3, 24, 8, 4, 3), (1, 20, 64, 16, 16, 80)):
        query = tensor((sequences, heads, latent), dtype), tensor((sequences, heads, rope), dtype, seed=1)
        cache = tensor((sequences * most + 1, page, latent + rope), dtype, -1, 1, seed=2)
        lengths = torch.tensor([most * page - 3, 1])[:sequences]
        yield Sample((*query, cache, pages_of(sequences, len(cache), most), lengths, 0.1))


register(
    Fused(
        "latent_attention",
        "attention",
        latent_attention,
        _latent_reference,
        _latent_samples,
        (latent_attention_kernel, join_parts_kernel),
        tolerance=2.0,  # sums of products of sums
    )
)
