"""Latent attention of each token to the few tokens that an index names for it (DeepSeek-V3.2, 2025), from a
flat cache, with sinks. Flows in: queries, a cache of latents, indices. Flows out: weighted latents, and the
logarithm of the summed exponentials."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.kernels.running_softmax import finished, weigh, with_sink
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .scores import load_rows, store_rows

TILES = Tiles(simt={"heads": 16, "keys": 16}, simd={"heads": 16, "keys": 64})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def sparse_latent_kernel(
    out,
    sums,
    query,
    cache,
    indices,
    counts,
    sinks,
    heads,
    width,
    latent,
    slots,
    most,
    scale,
    BLOCK_H: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """A tile of heads of one token over the slots that its indices name; those outside are not seen."""
    token = tl.program_id(0).to(tl.int64)
    lane_h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    lane_d = tl.arange(0, BLOCK_D)
    lane_r = latent + tl.arange(0, BLOCK_R)
    in_h = lane_h < heads
    row = token * heads + lane_h
    mask_d, mask_r = (lane_d < latent)[None, :], (lane_r < width)[None, :]
    q = tl.load(query + row[:, None] * width + lane_d[None, :], mask=in_h[:, None] & mask_d, other=0.0)
    turned = load_rows(query, row, in_h, lane_r, width)
    count = most
    if counts is not None:
        count = tl.minimum(most, tl.load(counts + token).to(tl.int32))
    largest = tl.full((BLOCK_H,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_H,), tl.float32)
    result = tl.zeros((BLOCK_H, BLOCK_D), tl.float32)
    for start in range(0, count, BLOCK_N):
        place = start + tl.arange(0, BLOCK_N)
        slot = tl.load(indices + token * most + place, mask=place < count, other=-1).to(tl.int64)
        in_n = (slot >= 0) & (slot < slots)
        at = slot[:, None] * width
        c = tl.load(cache + at + lane_d[None, :], mask=in_n[:, None] & mask_d, other=0.0).to(q.dtype)
        r = tl.load(cache + at + lane_r[None, :], mask=in_n[:, None] & mask_r, other=0.0).to(q.dtype)
        score = tl.dot(q, tl.trans(c), input_precision="ieee")
        score = tl.dot(turned, tl.trans(r), score, input_precision="ieee") * scale
        score = tl.where(in_n[None, :], score, float("-inf"))
        probability, decay, largest, total = weigh(score, largest, total, 1)
        result = tl.dot(probability.to(q.dtype), c, result * decay[:, None], input_precision="ieee")
    if sinks is not None:
        sink = tl.load(sinks + lane_h, mask=in_h, other=0.0).to(tl.float32)
        decay, largest, total = with_sink(sink, largest, total)
        result *= decay[:, None]
    result, ending = finished(result, largest, total, 1)
    store_rows(out, row, in_h, lane_d, latent, result)
    tl.store(sums + row, ending, mask=in_h)


# ---- functions ------------------------------------------------------------------------------------


def sparse_latent_attention(
    query: torch.Tensor,
    cache: torch.Tensor,
    indices: torch.Tensor,
    latent: int,
    scale: float,
    counts: torch.Tensor | None = None,
    sinks: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latent attention of each token to the slots that its row of `indices` names.

    query [tokens, heads, latent + rope], cache [slots, latent + rope] (a paged one flattened), indices
    [tokens, most] of slots, no two alike in a row; those outside of the cache (-1) are not seen, nor those
    from counts [tokens] on; sinks [heads] as in `flash_attention`. The value of a slot is its first `latent`
    elements. Gives [tokens, heads, latent], zeros where nothing is seen, and the logarithms of the summed
    exponentials [tokens, heads] in float32. Raises ArgumentError.
    """
    if (
        query.ndim != 3
        or cache.ndim != 2
        or cache.shape[1] != query.shape[2]
        or not 0 < latent < cache.shape[1]
        or indices.ndim != 2
        or indices.shape[0] != query.shape[0]
        or (counts is not None and counts.shape != query.shape[:1])
        or (sinks is not None and sinks.shape != query.shape[1:2])
    ):
        raise ArgumentError(
            f"sparse_latent_attention: query {tuple(query.shape)}, cache {tuple(cache.shape)}, indices "
            f"{tuple(indices.shape)}, a latent of {latent}, counts of tokens and sinks of heads do not "
            f"belong together"
        )
    tokens, heads, width = query.shape
    out = torch.empty((tokens, heads, latent), dtype=query.dtype, device=query.device)
    sums = torch.empty((tokens, heads), dtype=torch.float32, device=query.device)
    tiles = TILES.on(query)
    launch(
        sparse_latent_kernel,
        (tokens, cdiv(heads, tiles["heads"])),
        out,
        sums,
        query.contiguous(),
        cache.contiguous(),
        indices.contiguous(),
        counts,
        None if sinks is None else sinks.contiguous(),
        heads,
        width,
        latent,
        cache.shape[0],
        indices.shape[1],
        scale,
        BLOCK_H=tiles["heads"],
        BLOCK_N=tiles["keys"],
        BLOCK_D=max(16, power_of_two(latent)),
        BLOCK_R=max(16, power_of_two(width - latent)),
    )
    return out, sums


# ---- records --------------------------------------------------------------------------------------


def _reference(
    query: torch.Tensor,
    cache: torch.Tensor,
    indices: torch.Tensor,
    latent: int,
    scale: float,
    counts: torch.Tensor | None = None,
    sinks: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    most = indices.shape[1]
    seen = (indices >= 0) & (indices < len(cache))
    if counts is not None:
        seen &= torch.arange(most) < counts[:, None]
    keys = cache[torch.where(seen, indices, 0).long()]
    score = torch.einsum("thd,tnd->thn", query, keys) * scale
    score = score.masked_fill(~seen[:, None], -torch.inf)
    if sinks is not None:
        score = torch.cat([score, sinks[:, None].expand(*score.shape[:2], 1)], -1)
    weight = score.softmax(-1).nan_to_num(0.0)[..., :most]
    return torch.einsum("thn,tnd->thd", weight, keys[..., :latent]), score.logsumexp(-1)


CASES = ((3, 3, 24, 8, 11, 5), (2, 20, 64, 16, 150, 90))
"""Tokens, heads, latent, rope, slots, indices a token."""


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    generator = torch.Generator().manual_seed(1)
    for tokens, heads, latent, rope, slots, most in CASES:
        width = latent + rope
        query, cache = tensor((tokens, heads, width), dtype), tensor((slots, width), dtype, -1, 1)
        order = [torch.randperm(slots + 9, generator=generator)[:most] - 5 for _ in range(tokens)]
        given = query, cache, torch.stack(order), latent, 0.1
        yield Sample((*given, torch.tensor([70, 0]), tensor((heads,), dtype)) if tokens == 2 else given)


register(
    Fused(
        "sparse_latent_attention",
        "attention",
        sparse_latent_attention,
        _reference,
        _samples,
        (sparse_latent_kernel,),
    )
)
