"""Convolution as a matrix product whose right side is never formed: output channels by output pixels,
summed over input channels and filter taps. Where the source is read at stride one, pixels are numbered
over the rows of the source, so that every tap reads a contiguous run."""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl

from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, signature
from ..memory.copy import dense
from ..pooling.window import column_phases
from ..reduction import accumulator
from .geometry import Phase, Sizes
from .margin import with_margins

TILES = Tiles(
    simt={"channels": 64, "pixels": 64, "inner": 32, "smallest": 16},
    simd={"channels": 64, "pixels": 64, "inner": 64, "smallest": 8},
)
PROGRAMS_PER_THREAD = 4
SMALLEST_PIXELS = 32
FEWEST_COLUMNS = 16
SPARE = 1.15
FEW_CHANNELS = 16
"""With fewer input channels than this, channels and taps are one inner dimension."""
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def implicit_product_kernel(
    out,
    source,
    weight,
    bias,
    table,
    taps,
    K,
    C,
    groups,
    size,
    rows,
    count,
    stride_d,
    stride_h,
    out_strides,
    stride_w: tl.constexpr,
    INSIDE: tl.constexpr,
    FLAT: tl.constexpr,
    DENSE: tl.constexpr,
    MERGED: tl.constexpr,
    FLOAT: tl.constexpr,
    ACCUMULATE: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """out[n, k, pixel] = bias[k] + sum over c, t of weight[tap t, k, c] source[n, c, pixel + shift t], with
    zeros outside the source. Pixels are numbered over `rows` if FLAT, else a program has a tile of BLOCK_W
    columns; if DENSE, numbers are places of the output. K and C count the channels of one group. Sizes are
    triples of depth, height and width.

    out [n, groups K, *count], of any strides; source [n, groups C, *size], contiguous; weight [taps, groups
    K, C], or [groups K, C taps] if MERGED; bias [groups K] or None; table [taps, 4]: a tap's number, and its
    shifts.
    """
    D, H, W = size
    rows_d, rows_h, rows_w = rows
    count_d, count_h, count_w = count
    out_n, out_k, out_d, out_h, out_w = out_strides
    tiles_k = tl.cdiv(K, BLOCK_K)
    tiles_w = tl.cdiv(count_w, BLOCK_W)
    tiles_h = tl.cdiv(count_h, BLOCK_P // BLOCK_W)
    if FLAT:
        tiles_p = tl.cdiv(rows_d * rows_h * rows_w, BLOCK_P)
    else:
        tiles_p = count_d * tiles_h * tiles_w
    program = tl.program_id(0)
    first_k = (program % tiles_k) * BLOCK_K
    rest = program // tiles_k
    tile = rest % tiles_p
    rest = rest // tiles_p
    group = rest % groups
    image = (rest // groups).to(tl.int64)
    plane = D * H * W
    source += (image * groups + group) * C * plane.to(tl.int64)
    lane_p = tl.arange(0, BLOCK_P)
    lane_k = tl.arange(0, BLOCK_K)
    lane_c = tl.arange(0, BLOCK_C)
    pixel = tile * BLOCK_P + lane_p
    if FLAT:
        u_d = pixel // (rows_h * rows_w)
        u_h = pixel // rows_w % rows_h
        u_w = pixel % rows_w
    else:
        u_h, u_w = column_phases(0, BLOCK_W, BLOCK_P)
        u_d = tl.zeros((BLOCK_P,), tl.int32) + tile // (tiles_w * tiles_h)
        u_h += tile // tiles_w % tiles_h * (BLOCK_P // BLOCK_W)
        u_w += tile % tiles_w * BLOCK_W
    keep = (u_h < count_h) & (u_w < count_w)
    at_d = u_d * stride_d
    at_h = u_h * stride_h
    at_w = u_w * stride_w
    if FLAT:
        keep = keep & (u_d < count_d)
        base = pixel
    else:
        base = (at_d * H + at_h) * W + at_w
    inside_k = lane_k < K - first_k
    row_k = (group * K + first_k + lane_k).to(tl.int64)
    total = tl.zeros((BLOCK_K, BLOCK_P), ACCUMULATE)
    if MERGED:
        inner = C * taps
        for first in range(0, inner, BLOCK_C):
            index = first + lane_c
            inside = index < inner
            row = table + (index % taps) * 4
            shift_d = tl.load(row + 1, mask=inside, other=0)
            shift_h = tl.load(row + 2, mask=inside, other=0)
            shift_w = tl.load(row + 3, mask=inside, other=0)
            offset = (index // taps) * plane + (shift_d * H + shift_h) * W + shift_w
            left = tl.load(
                weight + (row_k * inner)[:, None] + index[None, :],
                mask=inside_k[:, None] & inside[None, :],
                other=0,
            )
            mask = inside[:, None] & keep[None, :]
            if not INSIDE:
                d = at_d[None, :] + shift_d[:, None]
                h = at_h[None, :] + shift_h[:, None]
                w = at_w[None, :] + shift_w[:, None]
                mask = mask & (d >= 0) & (d < D) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
            right = tl.load(source + offset[:, None] + base[None, :], mask=mask, other=0)
            if FLOAT:
                total = tl.dot(left, right, total, input_precision="ieee", out_dtype=ACCUMULATE)
            else:
                total += tl.sum(left.to(ACCUMULATE)[:, :, None] * right.to(ACCUMULATE)[None, :, :], 1)
    else:
        for t in range(taps):
            tap = tl.load(table + t * 4).to(tl.int64)
            shift_d = tl.load(table + t * 4 + 1)
            shift_h = tl.load(table + t * 4 + 2)
            shift_w = tl.load(table + t * 4 + 3)
            known = keep
            if not INSIDE:
                d = at_d + shift_d
                h = at_h + shift_h
                w = at_w + shift_w
                known = known & (d >= 0) & (d < D) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
            shifted = source + ((shift_d * H + shift_h) * W + shift_w)
            row = weight + (tap * groups * K + row_k) * C
            for c in range(0, C, BLOCK_C):
                inside = lane_c < C - c
                left = tl.load(
                    row[:, None] + (c + lane_c)[None, :], mask=inside_k[:, None] & inside[None, :], other=0
                )
                at = (c + lane_c).to(tl.int64) * plane
                right = tl.load(
                    shifted + at[:, None] + base[None, :], mask=inside[:, None] & known[None, :], other=0
                )
                if FLOAT:
                    total = tl.dot(left, right, total, input_precision="ieee", out_dtype=ACCUMULATE)
                else:
                    total += tl.sum(left.to(ACCUMULATE)[:, :, None] * right.to(ACCUMULATE)[None, :, :], 1)
    if bias is not None:
        total += tl.load(bias + row_k, mask=inside_k, other=0).to(ACCUMULATE)[:, None]
    if DENSE:
        at_out = pixel * out_w
        keep = pixel < count_d * count_h * count_w
    else:
        at_out = u_d * out_d + u_h * out_h + u_w * out_w
    out += image * out_n
    tl.store(
        out + (row_k * out_k)[:, None] + at_out[None, :],
        total.to(out.dtype.element_ty),
        mask=inside_k[:, None] & keep[None, :],
    )


# ---- launch ---------------------------------------------------------------------------------------


def packed(weight: torch.Tensor, groups: int, swapped: bool) -> torch.Tensor:
    """[groups, K, C, taps] (a view) of a filter stored as [out channels, in channels / groups, ...], or,
    if `swapped`, as [in channels, out channels / groups, ...]."""
    shape = (groups, weight.shape[0] // groups, weight.shape[1], math.prod(weight.shape[2:]))
    view = weight.contiguous().view(shape)
    return view.transpose(1, 2) if swapped else view


def correlate(
    source: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    out: torch.Tensor,
    phase: Phase,
    label: str,
) -> None:
    """One phase of a convolution of `source` [n, channels, depth, height, width] (contiguous) with
    `weight` [groups, K, C, taps] into `out` (any strides)."""
    groups, K, C, count = weight.shape
    merged = C < FEW_CHANNELS and len(phase.taps) == count > 1
    inside = False
    if merged or not _is_flat(phase, source):
        source, phase, inside = with_margins(source, phase)
    key = (signature(source, weight, bias), out.shape, out.stride(), phase)
    plan = PLANS.get(key)
    if plan is None:
        plan = PLANS.remember(key, _plan(source, groups, K, C, out, phase, merged, inside, label))
    if merged:
        filters = weight.contiguous()
    else:
        filters = dense(weight.permute(3, 0, 1, 2))
    d, h, w = phase.first
    place = out[:, :, d:, h:, w:]
    plan.launch(place, source, filters, bias, plan.result)


def _is_flat(phase: Phase, source: torch.Tensor) -> bool:
    """Whether pixels can be numbered over the rows of the source."""
    return (
        phase.stride == (1, 1, 1)
        and phase.counts[2] <= source.shape[4]
        and (phase.counts[0] == 1 or phase.counts[1] <= source.shape[3])
    )


def _steps(length: int, largest: int) -> int:
    """The largest step, down to 16, that takes hardly more than the shortest way over `length`."""
    sizes = [largest >> k for k in range(largest.bit_length()) if largest >> k >= 16]
    least = min(cdiv(length, size) * size for size in sizes)
    return next(size for size in sizes if cdiv(length, size) * size <= SPARE * least)


def _columns(counts: Sizes, block: int) -> int:
    """The columns of a tile of `block` pixels that covers the output with the fewest to spare."""

    def covered(columns: int) -> int:
        rows = block // columns
        return cdiv(counts[1], rows) * rows * cdiv(counts[2], columns) * columns

    return min((block >> k for k in range(block.bit_length()) if block >> k >= FEWEST_COLUMNS), key=covered)


def _plan(
    source: torch.Tensor,
    groups: int,
    K: int,
    C: int,
    out: torch.Tensor,
    phase: Phase,
    merged: bool,
    inside: bool,
    label: str,
) -> Plan:
    sizes: Sizes = (source.shape[2], source.shape[3], source.shape[4])
    flat = _is_flat(phase, source)
    rows = phase.counts
    if flat:
        rows = (phase.counts[0], sizes[1] if phase.counts[0] > 1 else phase.counts[1], sizes[2])
    floating = source.dtype.is_floating_point
    tiles = TILES.on(source)
    inner = C * len(phase.taps) if merged else C
    largest = {name: size if floating else 16 for name, size in tiles.items()}
    block_k = max(tiles["smallest"], min(largest["channels"], power_of_two(K)))
    block_p = max(16, min(largest["pixels"], power_of_two(math.prod(rows))))
    block_c = _steps(inner, max(16, min(largest["inner"], power_of_two(inner))))
    fixed = source.shape[0] * groups * cdiv(K, block_k)

    def tiles_of(block: int) -> int:
        if flat:
            return cdiv(math.prod(rows), block)
        columns = _columns(phase.counts, block)
        return phase.counts[0] * cdiv(phase.counts[1], block // columns) * cdiv(phase.counts[2], columns)

    if source.device.type == "cpu":
        wanted = PROGRAMS_PER_THREAD * torch.get_num_threads()
        while block_p > SMALLEST_PIXELS and fixed * tiles_of(block_p) < wanted:
            block_p //= 2
    strides = [stride * step for stride, step in zip(out.stride()[2:], phase.step, strict=True)]
    shape, steps = out.shape[2:], out.stride()[2:]
    dense = flat and rows == phase.counts == tuple(shape)
    dense = dense and all(steps[d] == steps[d + 1] * shape[d + 1] for d in range(2) if shape[d] > 1)
    table = torch.tensor(phase.taps or ((0, 0, 0, 0),), dtype=torch.int32).to(source.device)
    arguments: tuple[Any, ...] = (
        len(phase.taps),
        K,
        C,
        groups,
        sizes,
        rows,
        phase.counts,
        *phase.stride[:2],
        (*out.stride()[:2], *strides),
    )
    return Plan(
        implicit_product_kernel,
        fixed * tiles_of(block_p),
        arguments,
        {
            "stride_w": phase.stride[2],
            "INSIDE": inside,
            "FLAT": flat,
            "DENSE": dense,
            "MERGED": merged,
            "FLOAT": floating,
            "ACCUMULATE": TRITON_DTYPES[accumulator(source.dtype)],
            "BLOCK_K": block_k,
            "BLOCK_P": block_p,
            "BLOCK_W": _columns(phase.counts, block_p),
            "BLOCK_C": block_c,
        },
        label=label,
        result=table,
    )
