"""Writing new keys and values into caches: contiguous ones, ones in pages whose slots a scheduler chose
(Kwon et al., 2023), and pages of 8-bit integers with a scale for each token and head. Flows in: keys and
values, caches, places. Flows out: the caches, changed in place."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..quantization.rounding import nearest_of_127
from ..registry import Fused, register

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def copy_row(to, to_row, source, source_row, length, BLOCK: tl.constexpr):
    """A row of `length` elements, converted to the type of `to`."""
    for first in range(0, length, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < length
        value = tl.load(source + source_row * length + lane, mask=mask)
        tl.store(to + to_row * length + lane, value.to(to.dtype.element_ty), mask=mask)


@triton.jit
def cache_write_kernel(
    key_cache, value_cache, key, value, starts, tokens, capacity, key_row, value_row, BLOCK: tl.constexpr
):
    """One token of one sequence, to the place counted from its sequence's start; nothing past the end."""
    token = tl.program_id(0).to(tl.int64)
    sequence = token // tokens
    place = tl.load(starts + sequence).to(tl.int64) + token % tokens
    if (place >= 0) & (place < capacity):
        row = sequence * capacity + place
        copy_row(key_cache, row, key, token, key_row, BLOCK)
        copy_row(value_cache, row, value, token, value_row, BLOCK)


@triton.jit
def paged_write_kernel(
    key_cache, value_cache, key, value, slots, capacity, key_row, value_row, BLOCK: tl.constexpr
):
    """One token to its slot; nothing where that is negative or past the end."""
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + token).to(tl.int64)
    if (slot >= 0) & (slot < capacity):
        copy_row(key_cache, slot, key, token, key_row, BLOCK)
        copy_row(value_cache, slot, value, token, value_row, BLOCK)


@triton.jit
def quantized_row(cache, scales, x, slot, token, heads, head, width, BLOCK: tl.constexpr):
    """round(127 x / max|x|) of one head of one token, and max|x| / 127."""
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    value = tl.load(x + (token * heads + head) * width + lane, mask=mask, other=0.0).to(tl.float32)
    largest = tl.max(tl.abs(value), 0)
    largest = tl.where(largest == 0.0, 1.0, largest)
    rounded = nearest_of_127(value, largest)
    tl.store(cache + (slot * heads + head) * width + lane, rounded.to(tl.int8), mask=mask)
    tl.store(scales + slot * heads + head, largest / 127.0)


@triton.jit
def quantized_write_kernel(
    key_cache,
    value_cache,
    key_scales,
    value_scales,
    key,
    value,
    slots,
    capacity,
    heads,
    key_width,
    value_width,
    BLOCK_K: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """One head of one token to its slot, quantised; nothing where that is negative or past the end."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    slot = tl.load(slots + token).to(tl.int64)
    if (slot >= 0) & (slot < capacity):
        quantized_row(key_cache, key_scales, key, slot, token, heads, head, key_width, BLOCK_K)
        quantized_row(value_cache, value_scales, value, slot, token, heads, head, value_width, BLOCK_V)


# ---- functions ------------------------------------------------------------------------------------


def _check(
    name: str,
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    ranks: tuple[int, int],
) -> None:
    """Ranks of new tokens and of caches; equal tokens, heads and widths; caches that can be written."""
    for x, cache, what in ((key, key_cache, "key"), (value, value_cache, "value")):
        if (x.ndim, cache.ndim) != ranks or x.shape[-2:] != cache.shape[-2:] or not cache.is_contiguous():
            raise ArgumentError(
                f"{name}: {what} of shape {tuple(x.shape)} (expected {ranks[0]} dimensions) does not fit its "
                f"cache of shape {tuple(cache.shape)} and strides {cache.stride()} (expected {ranks[1]} "
                f"dimensions, contiguous, and the same heads and width)"
            )
    if key.shape[:-1] != value.shape[:-1] or key_cache.shape[:-1] != value_cache.shape[:-1]:
        raise ArgumentError(
            f"{name}: keys and values differ in tokens or heads: {tuple(key.shape)} and "
            f"{tuple(value.shape)}, caches {tuple(key_cache.shape)} and {tuple(value_cache.shape)}"
        )


def _check_slots(name: str, slots: torch.Tensor, count: int) -> None:
    if slots.shape != (count,):
        raise ArgumentError(f"{name}: expected {count} places, got a tensor of shape {tuple(slots.shape)}")


def kv_cache_write(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    starts: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write new tokens after those that each sequence has; returns the caches, changed in place.

    key and value [batch, tokens, heads, width], caches [batch, capacity, heads, width] contiguous, starts
    [batch] integers: where the first new token goes. What would lie past the end is not written. The dtype
    becomes the cache's. Raises ArgumentError.
    """
    _check("kv_cache_write", key, value, key_cache, value_cache, (4, 4))
    _check_slots("kv_cache_write", starts, key_cache.shape[0])
    if key.shape[0] != key_cache.shape[0]:
        raise ArgumentError(f"kv_cache_write: {key.shape[0]} sequences for {key_cache.shape[0]} in the cache")
    rows = key.shape[2] * key.shape[3], value.shape[2] * value.shape[3]
    launch(
        cache_write_kernel,
        key.shape[0] * key.shape[1],
        key_cache,
        value_cache,
        key.contiguous(),
        value.contiguous(),
        starts.contiguous(),
        key.shape[1],
        key_cache.shape[1],
        *rows,
        BLOCK=min(TILES.on(key)["block"], power_of_two(max(rows))),
    )
    return key_cache, value_cache


def paged_kv_cache_write(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    slots: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write each new token to its slot; returns the caches, changed in place.

    key and value [tokens, heads, width], caches [pages, page size, heads, width] contiguous, slots [tokens]
    integers: page * page size + place in the page, no two alike; negative ones are skipped. The dtype becomes
    the cache's. Raises ArgumentError.
    """
    _check("paged_kv_cache_write", key, value, key_cache, value_cache, (3, 4))
    _check_slots("paged_kv_cache_write", slots, key.shape[0])
    rows = key.shape[1] * key.shape[2], value.shape[1] * value.shape[2]
    launch(
        paged_write_kernel,
        key.shape[0],
        key_cache,
        value_cache,
        key.contiguous(),
        value.contiguous(),
        slots.contiguous(),
        key_cache.shape[0] * key_cache.shape[1],
        *rows,
        BLOCK=min(TILES.on(key)["block"], power_of_two(max(rows))),
    )
    return key_cache, value_cache


def quantized_kv_cache_write(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    key_scales: torch.Tensor,
    value_scales: torch.Tensor,
    slots: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Write each new token to its slot as 8-bit integers; returns caches and scales, changed in place.

    As `paged_kv_cache_write`, with caches of int8 and scales [pages, page size, heads] of float32: a head of
    a token is round(x / scale), ties to even, where scale = max|x| / 127 (1/127 if all are zero).
    Raises ArgumentError.
    """
    name = "quantized_kv_cache_write"
    _check(name, key, value, key_cache, value_cache, (3, 4))
    _check_slots(name, slots, key.shape[0])
    for cache, scales in ((key_cache, key_scales), (value_cache, value_scales)):
        if cache.dtype != torch.int8 or scales.shape != cache.shape[:-1] or not scales.is_contiguous():
            raise ArgumentError(
                f"{name}: expected a cache of int8 with contiguous scales [pages, page size, heads], got "
                f"{cache.dtype} {tuple(cache.shape)} and scales {tuple(scales.shape)}"
            )
    launch(
        quantized_write_kernel,
        (key.shape[0], key.shape[1]),
        key_cache,
        value_cache,
        key_scales,
        value_scales,
        key.contiguous(),
        value.contiguous(),
        slots.contiguous(),
        key_cache.shape[0] * key_cache.shape[1],
        key.shape[1],
        key.shape[2],
        value.shape[2],
        BLOCK_K=power_of_two(key.shape[2]),
        BLOCK_V=power_of_two(value.shape[2]),
    )
    return key_cache, value_cache, key_scales, value_scales


# ---- records --------------------------------------------------------------------------------------


def _reference(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    starts: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    for sequence, start in enumerate(starts.tolist()):
        fits = min(key.shape[1], key_cache.shape[1] - start)
        key_cache[sequence, start : start + fits] = key[sequence, :fits]
        value_cache[sequence, start : start + fits] = value[sequence, :fits]
    return key_cache, value_cache


def _paged_reference(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    slots: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    kept = slots >= 0
    key_cache.flatten(0, 1)[slots[kept].long()] = key[kept].to(key_cache.dtype)
    value_cache.flatten(0, 1)[slots[kept].long()] = value[kept].to(value_cache.dtype)
    return key_cache, value_cache


def _quantized_reference(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    key_scales: torch.Tensor,
    value_scales: torch.Tensor,
    slots: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    parts = []
    for x in (key, value):
        largest = x.abs().amax(-1, keepdim=True)
        largest = torch.where(largest == 0, 1.0, largest)
        parts.append(((x * 127 / largest).round(), largest[..., 0] / 127))
    (key, key_scale), (value, value_scale) = parts
    _paged_reference(key, value, key_cache, value_cache, slots)
    _paged_reference(key_scale, value_scale, key_scales, value_scales, slots)
    return key_cache, value_cache, key_scales, value_scales


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    new = tensor((2, 3, 5, 7), dtype), tensor((2, 3, 5, 4), dtype, seed=1)
    caches = tensor((2, 11, 5, 7), dtype, seed=2), tensor((2, 11, 5, 4), dtype, seed=3)
    yield Sample((*new, *caches, torch.tensor([4, 9])))
    new = tuple(tensor((3, 4, 6, 64), dtype, seed=k).transpose(1, 2) for k in range(2))
    caches = tuple(tensor((3, 40, 4, 64), dtype, seed=k) for k in range(2))
    yield Sample((*new, *caches, torch.tensor([0, 34, 7]).int()))


def _places(tokens: int, capacity: int) -> torch.Tensor:
    places = torch.randperm(capacity, generator=torch.Generator().manual_seed(1))[:tokens]
    places[1] = -1
    return places


def _paged_samples(dtype: torch.dtype) -> Iterable[Sample]:
    new = tensor((5, 3, 7), dtype), tensor((5, 3, 4), dtype, seed=1)
    caches = tensor((6, 4, 3, 7), dtype, seed=2), tensor((6, 4, 3, 4), dtype, seed=3)
    yield Sample((*new, *caches, _places(5, 24)))
    new = tuple(tensor((40, 50, 64), dtype, seed=k)[:, ::10] for k in range(2))
    caches = tuple(torch.zeros((9, 16, 5, 64), dtype=torch.float32) for _ in range(2))
    yield Sample((*new, *caches, _places(40, 144).int()))


def _quantized_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for tokens, heads, width, pages in ((5, 3, 7, 6), (33, 2, 64, 20)):
        new = tensor((tokens, heads, width), dtype), tensor((tokens, heads, width + 1), dtype, seed=1)
        new[0][2, 1] = 0
        caches = tuple(torch.zeros((pages, 4, heads, x.shape[-1]), dtype=torch.int8) for x in new)
        scales = tuple(torch.zeros((pages, 4, heads)) for _ in new)
        yield Sample((*new, *caches, *scales, _places(tokens, pages * 4)))


register(
    Fused("kv_cache_write", "cache", kv_cache_write, _reference, _samples, (cache_write_kernel,), writes=True)
)
register(
    Fused(
        "paged_kv_cache_write",
        "cache",
        paged_kv_cache_write,
        _paged_reference,
        _paged_samples,
        (paged_write_kernel,),
        writes=True,
    )
)
register(
    Fused(
        "quantized_kv_cache_write",
        "cache",
        quantized_kv_cache_write,
        _quantized_reference,
        _quantized_samples,
        (quantized_write_kernel,),
        writes=True,
    )
)
