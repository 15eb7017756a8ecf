"""Gradient of a convolution's filters as a matrix product over pixels: output channels by input channels
for each tap, or by input channels and taps together where the channels are few. The images are shared out
among programs whose partial results are added up afterwards."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, signature
from ..reduce.sums import SUM
from ..reduction import accumulator
from .geometry import Phase
from .implicit import FEW_CHANNELS

TILES = Tiles(
    simt={"out": 64, "in": 64, "pixels": 32, "programs": 256},
    simd={"out": 64, "in": 64, "pixels": 128, "programs": 8},
)
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def weight_gradient_kernel(
    out,
    gradient,
    source,
    table,
    taps,
    N,
    images,
    groups,
    K,
    C,
    size,
    rows,
    counts,
    stride,
    FLAT: tl.constexpr,
    SAME: tl.constexpr,
    MERGED: tl.constexpr,
    FLOAT: tl.constexpr,
    ACCUMULATE: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """out[share, k, c, t] = sum over the share's images and pixels of gradient[n, k, pixel] source[n, c,
    pixel + shift t]. With FLAT pixels are numbered over the source's rows; SAME says that the gradient's rows
    are as long. With MERGED a column is a pair (c, t), else a program has one tap. Sizes are triples of
    depth, height and width; K and C count the channels of one group.

    out [shares, groups K, C, taps]; gradient [N, groups K, *counts]; source [N, groups C, *size], all
    contiguous; table [taps, 4]: a tap's number, and its shifts.
    """
    D, H, W = size
    rows_d, rows_h, rows_w = rows
    count_d, count_h, count_w = counts
    stride_d, stride_h, stride_w = stride
    columns = C
    if MERGED:
        columns = C * taps
    tiles_c = tl.cdiv(columns, BLOCK_C)
    tiles_k = tl.cdiv(K, BLOCK_K)
    program = tl.program_id(0)
    first_c = (program % tiles_c) * BLOCK_C
    rest = program // tiles_c
    first_k = (rest % tiles_k) * BLOCK_K
    rest = rest // tiles_k
    t = 0
    if not MERGED:
        t = rest % taps
        rest = rest // taps
    group = (rest % groups).to(tl.int64)
    share = rest // groups
    plane = D * H * W
    count = count_d * count_h * count_w
    lane_k = tl.arange(0, BLOCK_K)
    lane_p = tl.arange(0, BLOCK_P)
    column = first_c + tl.arange(0, BLOCK_C)
    inside_k = lane_k < K - first_k
    inside_c = column < columns
    row_k = (group * K + first_k + lane_k).to(tl.int64)
    if MERGED:
        tap = column % taps
        channel = column // taps
        shift_d = tl.load(table + tap * 4 + 1, mask=inside_c, other=0)
        shift_h = tl.load(table + tap * 4 + 2, mask=inside_c, other=0)
        shift_w = tl.load(table + tap * 4 + 3, mask=inside_c, other=0)
        offset = channel.to(tl.int64) * plane + (shift_d * H + shift_h) * W + shift_w
    else:
        shift_d = tl.load(table + t * 4 + 1)
        shift_h = tl.load(table + t * 4 + 2)
        shift_w = tl.load(table + t * 4 + 3)
        offset = column.to(tl.int64) * plane + ((shift_d * H + shift_h) * W + shift_w)
    total = tl.zeros((BLOCK_K, BLOCK_C), ACCUMULATE)
    for n in range(share * images, tl.minimum(share * images + images, N)):
        image = n.to(tl.int64)
        ours = source + (image * groups + group) * C * plane
        theirs = gradient + image * groups * K * count
        for first in range(0, rows_d * rows_h * rows_w, BLOCK_P):
            pixel = first + lane_p
            u_d = pixel // (rows_h * rows_w)
            u_h = pixel // rows_w % rows_h
            u_w = pixel % rows_w
            keep = (u_d < count_d) & (u_h < count_h) & (u_w < count_w)
            if SAME:
                at = first + lane_p
            else:
                at = (u_d * count_h + u_h) * count_w + u_w
            if FLAT:
                base = first + lane_p
            else:
                base = (u_d * stride_d * H + u_h * stride_h) * W + u_w * stride_w
            left = tl.load(
                theirs + (row_k * count)[:, None] + at[None, :],
                mask=inside_k[:, None] & keep[None, :],
                other=0,
            )
            if MERGED:
                d = (u_d * stride_d)[:, None] + shift_d[None, :]
                h = (u_h * stride_h)[:, None] + shift_h[None, :]
                w = (u_w * stride_w)[:, None] + shift_w[None, :]
                known = (d >= 0) & (d < D) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
                mask = known & keep[:, None] & inside_c[None, :]
            else:
                d = u_d * stride_d + shift_d
                h = u_h * stride_h + shift_h
                w = u_w * stride_w + shift_w
                known = keep & (d >= 0) & (d < D) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
                mask = known[:, None] & inside_c[None, :]
            right = tl.load(ours + base[:, None] + offset[None, :], mask=mask, other=0)
            if FLOAT:
                total = tl.dot(left, right, total, input_precision="ieee", out_dtype=ACCUMULATE)
            else:
                total += tl.sum(left.to(ACCUMULATE)[:, :, None] * right.to(ACCUMULATE)[None, :, :], 1)
    out += (share.to(tl.int64) * groups * K) * C * taps
    mask = inside_k[:, None] & inside_c[None, :]
    if MERGED:
        at = (row_k * columns)[:, None] + column[None, :]
    else:
        at = (row_k * (C * taps))[:, None] + (column * taps + t)[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


# ---- launch ---------------------------------------------------------------------------------------


def weight_gradient(
    gradient: torch.Tensor, source: torch.Tensor, out: torch.Tensor, groups: int, phase: Phase, label: str
) -> None:
    """`out` [groups K, C, taps] from `gradient` [n, groups K, ...] and `source` [n, groups C, ...], all
    contiguous."""
    key = (signature(gradient, source, out), phase)
    plan = PLANS.get(key)
    if plan is None:
        plan = PLANS.remember(key, _plan(gradient, source, out, groups, phase, label))
    table, shares = plan.result
    if shares == 1:
        plan.launch(out, gradient, source, table)
        return
    wide = accumulator(out.dtype)
    partial = torch.empty((shares, *out.shape), dtype=wide, device=out.device)
    plan.launch(partial, gradient, source, table)
    SUM(partial, [0], False, compute=wide, result=out.dtype, out=out)


def _plan(
    gradient: torch.Tensor, source: torch.Tensor, out: torch.Tensor, groups: int, phase: Phase, label: str
) -> Plan:
    floating = source.dtype.is_floating_point
    taps = len(phase.taps)
    K, C, N = out.shape[0] // groups, out.shape[1], source.shape[0]
    counts, sizes = phase.counts, source.shape[2:]
    merged = C < FEW_CHANNELS and taps > 1
    flat = phase.stride == (1, 1, 1) and counts[2] <= sizes[2] and (counts[0] == 1 or counts[1] <= sizes[1])
    rows = (counts[0], sizes[1] if counts[0] > 1 else counts[1], sizes[2]) if flat else counts
    tiles = TILES.on(source)
    largest = {name: size if floating else 16 for name, size in tiles.items()}
    columns = C * taps if merged else C
    block_k = max(16, min(largest["out"], power_of_two(K)))
    block_c = max(16, min(largest["in"], power_of_two(columns)))
    block_p = max(16, min(largest["pixels"], power_of_two(math.prod(rows))))
    fixed = groups * cdiv(K, block_k) * cdiv(columns, block_c) * (1 if merged else taps)
    shares = max(1, min(N, tiles["programs"] // max(fixed, 1)))
    images = cdiv(N, shares)
    shares = cdiv(N, images)
    return Plan(
        weight_gradient_kernel,
        fixed * shares,
        (taps, N, images, groups, K, C, tuple(sizes), rows, counts, phase.stride),
        {
            "FLAT": flat,
            "SAME": tuple(rows) == tuple(counts),
            "MERGED": merged,
            "FLOAT": floating,
            "ACCUMULATE": TRITON_DTYPES[accumulator(source.dtype)],
            "BLOCK_K": block_k,
            "BLOCK_C": block_c,
            "BLOCK_P": block_p,
        },
        label=label,
        result=(torch.tensor(phase.taps, dtype=torch.int32).to(source.device), shares),
    )
