"""RMS norm of heads and rotation in one launch: of queries and keys with weights (Qwen3), and of queries and
latents without (DeepSeek-V4), the latents into their cache. Flows in: heads, tables of cosines and sines,
positions. Flows out: rotated heads, the cache."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .normed_kernels import norm_rotary_kernel
from .rotary import rotated
from .rotary import tables as drawn_tables

TILES = Tiles(simt={"elements": 2048}, simd={"elements": 1024})
# ---- functions ------------------------------------------------------------------------------------


def check_tables(
    name: str, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, positions: torch.Tensor, start: int
) -> None:
    """Raises ArgumentError where tables of cosines and sines [positions, pairs] do not fit heads x [tokens,
    heads, width] that are turned from `start` on."""
    if (
        x.ndim != 3
        or cos.ndim != 2
        or cos.shape != sin.shape
        or start < 0
        or start + 2 * cos.shape[1] > x.shape[2]
        or positions.shape != x.shape[:1]
    ):
        raise ArgumentError(
            f"{name}: heads {tuple(x.shape)} [tokens, heads, width] with positions {tuple(positions.shape)} "
            f"do not fit tables {tuple(cos.shape)} and {tuple(sin.shape)} from element {start} on"
        )


def _launch(
    query_out: torch.Tensor,
    key_out: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    weights: tuple[torch.Tensor | None, torch.Tensor | None],
    tables: tuple[torch.Tensor, torch.Tensor],
    positions: torch.Tensor,
    slots: torch.Tensor | None,
    capacity: int,
    start: int,
    eps: float,
    interleaved: bool,
) -> None:
    """Queries [tokens, heads, width], normalised, and keys [tokens, key heads, width], if with a weight."""
    tokens, heads, width = query.shape
    half = tables[0].shape[1]
    still = width - 2 * half
    block = power_of_two(half)
    launch(
        norm_rotary_kernel,
        tokens,
        query_out,
        key_out,
        query,
        key,
        *(None if weight is None else weight.contiguous() for weight in weights),
        *(table.contiguous() for table in tables),
        positions.contiguous(),
        None if slots is None else slots.contiguous(),
        capacity,
        heads,
        key.shape[1],
        width,
        start,
        half,
        0 if start else 2 * half,
        eps,
        QUERY_NORM=True,
        KEY_NORM=weights[1] is not None,
        INTERLEAVED=interleaved,
        BLOCK_H=max(1, min(power_of_two(heads), TILES.on(query)["elements"] // block)),
        BLOCK_P=block,
        BLOCK_REST=power_of_two(still) if still else 0,
    )


def norm_rotary(
    query: torch.Tensor,
    key: torch.Tensor,
    query_weight: torch.Tensor,
    key_weight: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor,
    eps: float = 1e-6,
    interleaved: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """RMS norm of every head of queries and keys, then rotary embedding, as Qwen3 begins its attention.

    query [tokens, heads, width], key [tokens, key heads, width], weights [width], tables [positions, pairs],
    positions [tokens]; pairs as in `rotary_embedding`. Raises ArgumentError.
    """
    for x, weight in ((query, query_weight), (key, key_weight)):
        check_tables("norm_rotary", x, cos, sin, positions, 0)
        if weight.shape != x.shape[2:]:
            raise ArgumentError(f"norm_rotary: a weight {tuple(weight.shape)} for heads {tuple(x.shape)}")
    query, key = query.contiguous(), key.contiguous()
    outs = torch.empty_like(query), torch.empty_like(key)
    weights = query_weight, key_weight
    _launch(*outs, query, key, weights, (cos, sin), positions, None, len(key), 0, eps, interleaved)
    return outs


def norm_rotary_cache_write(
    query: torch.Tensor,
    latent: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor,
    cache: torch.Tensor,
    slots: torch.Tensor,
    eps: float = 1e-6,
    interleaved: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries normalised head by head (no weight) and rotated; latents rotated and written to their slots.

    query [tokens, heads, width], latent [tokens, width], whose last 2 pairs elements turn; tables
    [positions, pairs], positions [tokens]; cache [pages, page size, width] contiguous, slots [tokens] as in
    `latent_cache_write`. Gives the queries and the cache. Raises ArgumentError.
    """
    width = query.shape[-1]
    start = width - 2 * cos.shape[-1]
    check_tables("norm_rotary_cache_write", query, cos, sin, positions, start)
    fits = latent.shape == (query.shape[0], width) and slots.shape == positions.shape
    if not fits or cache.shape[2:] != (width,) or not cache.is_contiguous():
        raise ArgumentError(
            f"norm_rotary_cache_write: latents {tuple(latent.shape)} and slots {tuple(slots.shape)} do not "
            f"fit queries {tuple(query.shape)} and a contiguous cache, {tuple(cache.shape)}"
        )
    query, keys = query.contiguous(), latent.contiguous()[:, None]
    out, slot_count = torch.empty_like(query), cache.shape[0] * cache.shape[1]
    given = query, keys, (None, None), (cos, sin), positions, slots, slot_count, start, eps, interleaved
    _launch(out, cache, *given)
    return out, cache


# ---- records --------------------------------------------------------------------------------------


def _normed(x: torch.Tensor, eps: float) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def rotated_from(
    x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, start: int, interleaved: bool
) -> torch.Tensor:
    """x with the part of its last dimension from `start` on turned, in plain PyTorch."""
    return torch.cat([x[..., :start], rotated(x[..., start:], cos, sin, interleaved)], -1)


def _reference(
    query: torch.Tensor,
    key: torch.Tensor,
    query_weight: torch.Tensor,
    key_weight: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor,
    eps: float = 1e-6,
    interleaved: bool = False,
) -> tuple[torch.Tensor, ...]:
    return tuple(
        rotated(_normed(x, eps) * weight, cos[positions], sin[positions], interleaved)
        for x, weight in ((query, query_weight), (key, key_weight))
    )


def _write_reference(
    query: torch.Tensor,
    latent: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor,
    cache: torch.Tensor,
    slots: torch.Tensor,
    eps: float = 1e-6,
    interleaved: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    start = query.shape[-1] - 2 * cos.shape[-1]
    cos, sin = cos[positions], sin[positions]
    kept = slots >= 0
    rows = rotated_from(latent[:, None], cos, sin, start, interleaved)[:, 0]
    cache.flatten(0, 1)[slots[kept].long()] = rows[kept].to(cache.dtype)
    return rotated_from(_normed(query, eps), cos, sin, start, interleaved), cache


POSITIONS = torch.tensor([0, 7, 3, 3, 9])


def _steady(dtype: torch.dtype) -> torch.Tensor:
    """A head [1, 1, 6] with one large element, whose norm it is: its rounding moves the result by little. It
    lies behind the pairs that turn."""
    return torch.tensor([[[0.5, 0.25, -0.5, 0.25, 16.0, 1.0]]], dtype=dtype)


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    weights = tensor((8,), dtype, seed=1), tensor((8,), dtype, seed=2)
    yield Sample(
        (tensor((5, 3, 8), dtype), tensor((5, 1, 8), dtype), *weights, *drawn_tables(10, 4), POSITIONS)
    )
    weights, first = torch.ones(6, dtype=dtype), torch.tensor([1])
    yield Sample((_steady(dtype), -_steady(dtype), weights, 0.5 * weights, *drawn_tables(2, 2), first))
    query, key = tensor((4, 5, 24), dtype).transpose(0, 1), tensor((5, 2, 24), dtype)
    weights = tensor((24,), dtype, seed=1), tensor((24,), dtype, seed=2)
    yield Sample((query, key, *weights, *drawn_tables(10, 8), POSITIONS.int(), 1e-5, True))


def _write_samples(dtype: torch.dtype) -> Iterable[Sample]:
    query, cache = _steady(dtype).flip(-1), torch.zeros(1, 2, 6, dtype=dtype)
    yield Sample((query, query[0] / 8, *drawn_tables(2, 2), torch.tensor([1]), cache, torch.tensor([1])))
    slots = torch.tensor([3, 17, -1, 8, 0])
    for width, pairs, interleaved in ((14, 4, True), (64, 8, False)):
        query, latent = tensor((5, 3, width), dtype), tensor((5, width), dtype, seed=1)
        cache = tensor((3, 8, width), dtype, seed=2)
        given = query, latent, *drawn_tables(10, pairs), POSITIONS, cache, slots
        yield Sample(given, {"interleaved": interleaved})


register(Fused("norm_rotary", "position", norm_rotary, _reference, _samples, (norm_rotary_kernel,)))
register(
    Fused(
        "norm_rotary_cache_write",
        "position",
        norm_rotary_cache_write,
        _write_reference,
        _write_samples,
        (norm_rotary_kernel,),
        writes=True,
    )
)
