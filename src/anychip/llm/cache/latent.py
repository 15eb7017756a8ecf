"""Caches of multi-head latent attention (DeepSeek-V2 to V3.2): latents and rotated keys written side by side,
the same or the index's keys as 8-bit floats with scales of groups, and whole sequences gathered out of pages
again. Flows in: rows of tokens and slots, or tables of pages. Flows out: caches, changed in place, or
rows."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..quantization.rounding import over_largest
from ..registry import FLOATING, Fused, register

LARGEST = 448.0
"""Of float8_e4m3fn."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def latent_write_kernel(
    cache,
    latent,
    rope,
    slots,
    capacity,
    latent_width,
    rope_width,
    BLOCK_D: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """One token's latent and rotated key into its slot; nothing where that is outside of the cache."""
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + token).to(tl.int64)
    if (slot >= 0) & (slot < capacity):
        row = cache + slot * (latent_width + rope_width)
        lane = tl.arange(0, BLOCK_D)
        mask = lane < latent_width
        value = tl.load(latent + token * latent_width + lane, mask=mask)
        tl.store(row + lane, value.to(cache.dtype.element_ty), mask=mask)
        lane = tl.arange(0, BLOCK_R)
        mask = lane < rope_width
        value = tl.load(rope + token * rope_width + lane, mask=mask)
        tl.store(row + latent_width + lane, value.to(cache.dtype.element_ty), mask=mask)


@triton.jit
def fp8_write_kernel(
    cache, scales, x, slots, capacity, width, group, groups, LARGEST: tl.constexpr, BLOCK: tl.constexpr
):
    """One group of one token's row as 8-bit floats into its slot, and its scale."""
    token = tl.program_id(0).to(tl.int64)
    part = tl.program_id(1)
    slot = tl.load(slots + token).to(tl.int64)
    if (slot >= 0) & (slot < capacity):
        lane = tl.arange(0, BLOCK)
        column = part * group + lane
        mask = (lane < group) & (column < width)
        value = tl.load(x + token * width + column, mask=mask, other=0.0).to(tl.float32)
        largest = tl.max(tl.abs(value), 0)
        largest = tl.where(largest == 0.0, 1.0, largest)
        scaled = over_largest(value, largest, LARGEST)
        scaled = tl.minimum(tl.maximum(scaled, -LARGEST), LARGEST)
        tl.store(cache + slot * width + column, scaled.to(cache.dtype.element_ty), mask=mask)
        tl.store(scales + slot * groups + part, largest / LARGEST)


@triton.jit
def gather_pages_kernel(
    out,
    cache,
    scales,
    tables,
    starts,
    width,
    group,
    groups,
    page_size,
    most_pages,
    sequences,
    BLOCK: tl.constexpr,
):
    """One row of the result: the token's row of the cache, times its scales where there are any."""
    row = tl.program_id(0).to(tl.int64)
    sequence = tl.zeros((), tl.int32)
    for one in range(1, sequences):
        sequence += (tl.load(starts + one).to(tl.int64) <= row).to(tl.int32)
    token = row - tl.load(starts + sequence).to(tl.int64)
    page = tl.load(tables + sequence.to(tl.int64) * most_pages + token // page_size).to(tl.int64)
    slot = page * page_size + token % page_size
    for first in range(0, width, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < width
        value = tl.load(cache + slot * width + lane, mask=mask)
        if scales is not None:
            scale = tl.load(scales + slot * groups + lane // group, mask=mask, other=0.0)
            tl.store(
                out + row * width + lane, (value.to(tl.float32) * scale).to(out.dtype.element_ty), mask=mask
            )
        else:
            tl.store(out + row * width + lane, value.to(out.dtype.element_ty), mask=mask)


# ---- functions ------------------------------------------------------------------------------------


def latent_cache_write(
    latent: torch.Tensor, rope: torch.Tensor, cache: torch.Tensor, slots: torch.Tensor
) -> torch.Tensor:
    """Write each token's latent, and its rotated key behind it, to the token's slot; returns the cache.

    latent [tokens, latent], rope [tokens, rope], cache [pages, page size, latent + rope] contiguous, slots
    [tokens] integers, no two alike; those outside of the cache are skipped. The dtype becomes the cache's.
    Raises ArgumentError.
    """
    fits = latent.ndim == rope.ndim == 2 and latent.shape[0] == rope.shape[0] == slots.numel()
    if not fits or cache.shape[2:] != (latent.shape[1] + rope.shape[1],) or not cache.is_contiguous():
        raise ArgumentError(
            f"latent_cache_write: latents {tuple(latent.shape)}, rotated keys {tuple(rope.shape)} and slots "
            f"{tuple(slots.shape)} do not fit a contiguous cache [pages, page size, latent + rope], got "
            f"{tuple(cache.shape)} with strides {cache.stride()}"
        )
    widths = latent.shape[1], rope.shape[1]
    launch(
        latent_write_kernel,
        slots.numel(),
        cache,
        latent.contiguous(),
        rope.contiguous(),
        slots.contiguous(),
        cache.shape[0] * cache.shape[1],
        *widths,
        BLOCK_D=power_of_two(widths[0]),
        BLOCK_R=power_of_two(widths[1]),
    )
    return cache


def fp8_cache_write(
    x: torch.Tensor, cache: torch.Tensor, scales: torch.Tensor, slots: torch.Tensor, group: int = 128
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write each token's row to its slot as 8-bit floats with a scale for each `group` elements.

    x [tokens, width] floating, cache [pages, page size, width] float8_e4m3fn, scales [pages, page size,
    groups] float32, both contiguous; slots [tokens] as in `latent_cache_write`. A group is x / scale, where
    scale = max|x| / 448 (1/448 for zeros). Returns cache and scales. Raises ArgumentError.
    """
    width = x.shape[1] if x.ndim == 2 else -1
    groups = cdiv(width, max(1, group))
    if (
        slots.shape != x.shape[:1]
        or cache.dtype != torch.float8_e4m3fn
        or cache.shape[2:] != (width,)
        or scales.shape != (*cache.shape[:2], groups)
        or not (cache.is_contiguous() and scales.is_contiguous())
        or group < 1
    ):
        raise ArgumentError(
            f"fp8_cache_write: rows {tuple(x.shape)} and slots {tuple(slots.shape)} do not fit a contiguous "
            f"cache {tuple(cache.shape)} of {cache.dtype} and scales {tuple(scales.shape)}, groups of {group}"
        )
    launch(
        fp8_write_kernel,
        (slots.numel(), groups),
        cache,
        scales,
        x.contiguous(),
        slots.contiguous(),
        cache.shape[0] * cache.shape[1],
        width,
        group,
        groups,
        LARGEST=LARGEST,
        BLOCK=power_of_two(group),
    )
    return cache, scales


def gather_pages(
    cache: torch.Tensor,
    tables: torch.Tensor,
    starts: torch.Tensor,
    rows: int,
    scales: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """The tokens of sequences out of their pages, one sequence after the other.

    cache [pages, page size, width], tables [sequences, most pages], starts [sequences + 1] integers from 0 to
    `rows`: sequence s fills rows starts[s] to starts[s + 1] - 1. With scales [pages, page size, groups] of
    equal groups, rows are multiplied by them. Gives [rows, width] of `dtype` (None: the cache's, or float32
    with scales). Raises ArgumentError.
    """
    wanted = dtype or (cache.dtype if scales is None else torch.float32)
    if (
        cache.ndim != 3
        or tables.ndim != 2
        or starts.shape != (tables.shape[0] + 1,)
        or (scales is not None and scales.shape[:-1] != cache.shape[:2])
        or (scales is not None and wanted not in FLOATING)
    ):
        raise ArgumentError(
            f"gather_pages: cache {tuple(cache.shape)}, tables {tuple(tables.shape)}, starts "
            f"{tuple(starts.shape)} and scales to {wanted} do not belong together"
        )
    width = cache.shape[2]
    groups = 1 if scales is None else scales.shape[2]
    out = torch.empty((rows, width), dtype=wanted, device=cache.device)
    launch(
        gather_pages_kernel,
        rows,
        out,
        cache.contiguous(),
        None if scales is None else scales.contiguous(),
        tables.contiguous(),
        starts.contiguous(),
        width,
        cdiv(width, max(1, groups)),
        groups,
        cache.shape[1],
        tables.shape[1],
        tables.shape[0],
        BLOCK=min(1024, power_of_two(width)),
    )
    return out


# ---- records --------------------------------------------------------------------------------------


def _write_reference(
    latent: torch.Tensor, rope: torch.Tensor, cache: torch.Tensor, slots: torch.Tensor
) -> torch.Tensor:
    kept = (slots >= 0) & (slots < cache.shape[0] * cache.shape[1])
    cache.flatten(0, 1)[slots[kept].long()] = torch.cat([latent, rope], -1)[kept].to(cache.dtype)
    return cache


def _fp8_reference(
    x: torch.Tensor, cache: torch.Tensor, scales: torch.Tensor, slots: torch.Tensor, group: int = 128
) -> tuple[torch.Tensor, torch.Tensor]:
    rows, factors = [], []
    for part in x.split(group, -1):
        largest = part.abs().amax(-1, keepdim=True)
        largest = torch.where(largest == 0, 1.0, largest)
        rows.append((part * LARGEST / largest).float())
        factors.append(largest / LARGEST)
    kept = slots >= 0
    lines = cache.view(torch.uint8).flatten(0, 1)
    new = torch.cat(rows, -1).to(cache.dtype).view(torch.uint8)
    lines[slots[kept].long()] = new[kept]
    scales.flatten(0, 1)[slots[kept].long()] = torch.cat(factors, -1)[kept].to(scales.dtype)
    return cache, scales


def _gather_reference(
    cache: torch.Tensor,
    tables: torch.Tensor,
    starts: torch.Tensor,
    rows: int,
    scales: torch.Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    wide = cache.double()
    if scales is not None:
        wide = (
            wide * scales.repeat_interleave(-(-cache.shape[2] // scales.shape[2]), -1)[..., : cache.shape[2]]
        )
    parts = []
    for s, length in enumerate(starts.diff().tolist()):
        parts.append(wide[tables[s].long()].flatten(0, 1)[:length])
    return torch.cat(parts)


SLOTS = torch.tensor([3, 17, -1, 8, 0])


def _write_samples(dtype: torch.dtype) -> Iterable[Sample]:
    cache = tensor((3, 8, 11), dtype, seed=2)
    yield Sample((tensor((5, 7), dtype), tensor((5, 4), dtype, seed=1), cache, SLOTS))
    cache = torch.zeros((2, 16, 80), dtype=dtype)
    yield Sample((tensor((64, 5), dtype).t(), tensor((5, 16), dtype, seed=1), cache, SLOTS.int()))


def _fp8_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for width, group in ((7, 7), (80, 32)):
        cache = torch.zeros((3, 8, width)).to(torch.float8_e4m3fn)
        scales = torch.zeros((3, 8, -(-width // group)))
        yield Sample((tensor((5, width), dtype), cache, scales, SLOTS, group))


def _gather_samples(dtype: torch.dtype) -> Iterable[Sample]:
    tables = torch.tensor([[2, 0, 1], [4, 3, 2]], dtype=torch.int32)
    starts = torch.tensor([0, 5, 26])
    yield Sample((tensor((5, 8, 7), dtype), tables, starts, 26))
    small = tensor((5, 8, 64), torch.float32).to(torch.float8_e4m3fn)
    given = small, tables, starts.int(), 26, tensor((5, 8, 2), torch.float32, 0.1, 1)
    yield Sample(given, {"dtype": dtype})


register(
    Fused(
        "latent_cache_write",
        "cache",
        latent_cache_write,
        _write_reference,
        _write_samples,
        (latent_write_kernel,),
        writes=True,
    )
)
register(
    Fused(
        "fp8_cache_write",
        "cache",
        fp8_cache_write,
        _fp8_reference,
        _fp8_samples,
        (fp8_write_kernel,),
        writes=True,
    )
)
register(
    Fused("gather_pages", "cache", gather_pages, _gather_reference, _gather_samples, (gather_pages_kernel,))
)
