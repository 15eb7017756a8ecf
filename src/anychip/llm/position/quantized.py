"""Rotation and quantisation in one launch: of an index's queries into 8-bit floats, and of attention's result
turned back (DeepSeek-V3.2 and V4). Flows in: heads, tables of cosines and sines, positions. Flows out: 8-bit
floats with scales."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..quantization.rounding import over_largest
from ..registry import Fused, register
from .normed import POSITIONS, check_tables, rotated_from

LARGEST = 448.0
"""Of float8_e4m3fn."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def partner_of(lane, start, half, INTERLEAVED: tl.constexpr):
    """Of each lane: whether it turns, its pair, whether it is the pair's first, where the other one is."""
    place = lane - start
    turns = (place >= 0) & (place < 2 * half)
    if INTERLEAVED:
        pair = place // 2
        is_first = place % 2 == 0
        other = tl.where(is_first, lane + 1, lane - 1)
    else:
        is_first = place < half
        pair = tl.where(is_first, place, place - half)
        other = tl.where(is_first, lane + half, lane - half)
    return turns, pair, is_first, tl.where(turns, other, lane)


@triton.jit
def turned_head(
    x,
    at,
    cosines,
    sines,
    position,
    width,
    start,
    half,
    direction,
    INTERLEAVED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One head, rotated from element `start` on, in float32."""
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    turns, pair, is_first, other = partner_of(lane, start, half, INTERLEAVED)
    value = tl.load(x + at + lane, mask=mask, other=0.0).to(tl.float32)
    partner = tl.load(x + at + other, mask=mask, other=0.0).to(tl.float32)
    inside = mask & turns
    cosine = tl.load(cosines + position * half + pair, mask=inside, other=1.0).to(tl.float32)
    sine = tl.load(sines + position * half + pair, mask=inside, other=0.0).to(tl.float32) * direction
    return value * cosine + tl.where(is_first, -partner, partner) * sine


@triton.jit
def rotary_fp8_kernel(
    out,
    scales,
    x,
    cosines,
    sines,
    positions,
    heads,
    width,
    start,
    half,
    group,
    groups,
    direction,
    LARGEST: tl.constexpr,
    INTERLEAVED: tl.constexpr,
    BLOCK: tl.constexpr,
    GROUPS: tl.constexpr,
):
    """One head of one token, rotated, as 8-bit floats with a scale for each group of its elements."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    position = tl.load(positions + row // heads).to(tl.int64)
    value = turned_head(
        x, row * width, cosines, sines, position, width, start, half, direction, INTERLEAVED, BLOCK
    )
    mine = lane // group
    largest = tl.zeros((BLOCK,), tl.float32)
    part = tl.arange(0, GROUPS)
    factors = tl.zeros((GROUPS,), tl.float32)
    for one in range(groups):
        most = tl.max(tl.where((mine == one) & (lane < width), tl.abs(value), 0.0), 0)
        most = tl.where(most == 0.0, 1.0, most)
        largest = tl.where(mine == one, most, largest)
        factors = tl.where(part == one, most / LARGEST, factors)
    scaled = over_largest(value, tl.where(lane < width, largest, 1.0), LARGEST)
    scaled = tl.minimum(tl.maximum(scaled, -LARGEST), LARGEST)
    tl.store(out + row * width + lane, scaled.to(out.dtype.element_ty), mask=lane < width)
    tl.store(scales + row * groups + part, factors, mask=part < groups)


# ---- functions ------------------------------------------------------------------------------------


def rotary_quantize_fp8(
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor,
    group: int = 128,
    start: int = 0,
    inverse: bool = False,
    interleaved: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Heads rotated from element `start` on (back with `inverse`) as float8_e4m3fn with scales of groups.

    x [tokens, heads, width], tables [positions, pairs], positions [tokens]. Gives [tokens, heads, width] and
    scales [tokens, heads, groups] float32, max / 448 of each `group` elements (1/448 for zeros).
    Raises ArgumentError.
    """
    check_tables("rotary_quantize_fp8", x, cos, sin, positions, start)
    if group < 1:
        raise ArgumentError(f"rotary_quantize_fp8: groups have at least one element, not {group}")
    tokens, heads, width = x.shape
    groups = -(-width // group)
    out = torch.empty(x.shape, dtype=torch.float8_e4m3fn, device=x.device)
    scales = torch.empty((tokens, heads, groups), dtype=torch.float32, device=x.device)
    launch(
        rotary_fp8_kernel,
        tokens * heads,
        out,
        scales,
        x.contiguous(),
        cos.contiguous(),
        sin.contiguous(),
        positions.contiguous(),
        heads,
        width,
        start,
        cos.shape[1],
        group,
        groups,
        -1.0 if inverse else 1.0,
        LARGEST=LARGEST,
        INTERLEAVED=interleaved,
        BLOCK=power_of_two(width),
        GROUPS=power_of_two(groups),
    )
    return out, scales


# ---- records --------------------------------------------------------------------------------------


def _fp8_reference(
    x: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    positions: torch.Tensor,
    group: int = 128,
    start: int = 0,
    inverse: bool = False,
    interleaved: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    x = rotated_from(x, cos[positions], sin[positions] * (-1 if inverse else 1), start, interleaved)
    largest = torch.stack([part.abs().amax(-1) for part in x.split(group, -1)], -1)
    largest = torch.where(largest == 0, 1.0, largest)
    wide = largest.repeat_interleave(group, -1)[..., : x.shape[-1]]
    return (x * LARGEST / wide).float().to(torch.float8_e4m3fn), largest / LARGEST


def _fp8_samples(dtype: torch.dtype) -> Iterable[Sample]:
    """Angles of a quarter turn: products are exact, so that the nearest 8-bit float is one and the same."""
    turn = torch.arange(10)[:, None] + torch.arange(4)
    cos, sin = torch.tensor([1.0, 0.0, -1.0, 0.0])[turn % 4], torch.tensor([0.0, 1.0, 0.0, -1.0])[turn % 4]
    yield Sample((tensor((5, 3, 8), dtype), cos, sin, POSITIONS, 8))
    x = tensor((5, 2, 64), dtype)
    yield Sample((x, cos, sin, POSITIONS, 16), {"start": 56, "inverse": True, "interleaved": True})


register(
    Fused(
        "rotary_quantize_fp8",
        "position",
        rotary_quantize_fp8,
        _fp8_reference,
        _fp8_samples,
        (rotary_fp8_kernel,),
    )
)
