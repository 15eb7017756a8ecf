"""Sources of convolutions with the zeros around them written out, so that no tap needs to ask whether it is
inside. Where one processor core computes many taps from each element, the copy costs less than the asking."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from ..distinct import distinct
from ..iteration import power_of_two
from ..launching import Plan, Plans, Tiles, cdiv, signature
from .geometry import Phase, Sizes

TILES = Tiles(
    simt={"elements": 1024, "row": 256, "written": 0}, simd={"elements": 4096, "row": 256, "written": 1}
)
"""`written`: whether margins are written out."""
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def margin_kernel(
    out,
    source,
    D,
    H,
    W,
    wide_d,
    wide_h,
    wide_w,
    before_d,
    before_h,
    before_w,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[plane, d, h, w] = source[plane, (d, h, w) - before], zero outside; both are contiguous."""
    distinct(out, source)
    tiles_w = tl.cdiv(wide_w, BLOCK_W)
    tiles_h = tl.cdiv(wide_h, BLOCK_H)
    program = tl.program_id(0)
    w = (program % tiles_w) * BLOCK_W + tl.arange(0, BLOCK_W)
    rest = program // tiles_w
    h = (rest % tiles_h) * BLOCK_H + tl.arange(0, BLOCK_H)
    rest = rest // tiles_h
    d = rest % wide_d
    plane = (rest // wide_d).to(tl.int64)
    out += (plane * wide_d + d) * wide_h * wide_w
    source += (plane * D + d - before_d) * H * W
    deep = (d >= before_d) & (d < before_d + D)
    stop_h = tl.where(deep, before_h + H, before_h)
    rows = ((h >= before_h) & (h < stop_h))[:, None]
    columns = ((w >= before_w) & (w < before_w + W))[None, :]
    at = ((h - before_h) * W)[:, None] + (w - before_w)[None, :]
    value = tl.load(source + at, mask=rows & columns, other=0)
    keep = (h < wide_h)[:, None] & (w < wide_w)[None, :]
    tl.store(out + (h * wide_w)[:, None] + w[None, :], value, mask=keep)


# ---- launch ---------------------------------------------------------------------------------------


def with_margins(source: torch.Tensor, phase: Phase) -> tuple[torch.Tensor, Phase, bool]:
    """`source` [n, channels, depth, height, width] (contiguous) with the zeros that `phase` reads around it,
    the phase that reads it so, and whether all of its taps are inside; as they are on chips that ask."""
    sizes: Sizes = (source.shape[2], source.shape[3], source.shape[4])
    before, after = _margins(phase, sizes)
    if not any((*before, *after)):
        return source, phase, True
    tiles = TILES.on(source)
    wide = tuple(b + n + a for b, n, a in zip(before, sizes, after, strict=True))
    if not tiles["written"] or not phase.taps or math.prod(wide) >= 1 << 31:
        return source, phase, False
    out = torch.empty((*source.shape[:2], *wide), dtype=source.dtype, device=source.device)
    key = (signature(source), wide, before)
    plan = PLANS.get(key)
    if plan is None:
        row = min(power_of_two(wide[2]), tiles["row"])
        height = min(power_of_two(wide[1]), tiles["elements"] // row)
        programs = math.prod(source.shape[:2]) * wide[0] * cdiv(wide[1], height) * cdiv(wide[2], row)
        blocks = {"BLOCK_H": height, "BLOCK_W": row}
        plan = PLANS.remember(key, Plan(margin_kernel, programs, (*sizes, *wide, *before), blocks))
    plan.launch(out, source)
    moved = tuple((tap[0], *(s + b for s, b in zip(tap[1:], before, strict=True))) for tap in phase.taps)
    return out, phase._replace(taps=moved), True  # pyright: ignore[reportArgumentType] (tuples of four)


def _margins(phase: Phase, sizes: Sizes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How far the taps reach before and after the source, along each dimension."""
    before, after = [], []
    for d in range(3):
        shifts = [tap[1 + d] for tap in phase.taps] or [0]
        before.append(max(0, -min(shifts)))
        after.append(max(0, phase.stride[d] * (phase.counts[d] - 1) + max(shifts) - sizes[d] + 1))
    return tuple(before), tuple(after)
