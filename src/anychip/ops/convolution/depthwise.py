"""Convolutions in which each group has one source channel: no product of matrices, but a sum of shifted
planes with scalar weights, and its weight gradient, a sum of products of two planes for each tap."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl

from ..distinct import distinct
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, signature
from ..reduction import accumulator
from .geometry import Phase
from .margin import with_margins

TILES = Tiles(simt={"elements": 512, "row": 64}, simd={"elements": 2048, "row": 128})
UNROLLED_TAPS = 64
PLANS: Plans[Plan] = Plans()
GRADIENT_PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def shifted_plane(source, table, t, d, h, w, D, H, W, keep, INSIDE: tl.constexpr):
    """The pixels that tap t reads for output rows h and columns w, zero outside the plane. Where every tap
    is INSIDE, the table holds its offset in place of its shift along depth."""
    shift_d = tl.load(table + t * 4 + 1)
    if INSIDE:
        start = source + (d * (H * W) + shift_d)
        mask = keep
    else:
        shift_h = tl.load(table + t * 4 + 2)
        shift_w = tl.load(table + t * 4 + 3)
        inside_d = (d + shift_d >= 0) & (d + shift_d < D)
        inside_h = (h + shift_h >= 0) & (h + shift_h < H) & inside_d
        inside_w = (w + shift_w >= 0) & (w + shift_w < W)
        mask = inside_h[:, None] & inside_w[None, :] & keep
        start = source + (((d + shift_d) * H + shift_h) * W + shift_w)
    return tl.load(start + (h * W)[:, None] + w[None, :], mask=mask, other=0)


@triton.jit
def add_product(total, pixels, factor):
    """total + pixels * factor, rounded once where that is one instruction."""
    if total.dtype.is_floating():
        total = tl.fma(pixels, tl.broadcast_to(factor, pixels.shape), total)
    else:
        total += pixels * factor
    return total


@triton.jit
def depthwise_kernel(
    out,
    source,
    weight,
    bias,
    table,
    K,
    multiplier,
    size,
    count,
    stride_d,
    stride_h,
    out_strides,
    weight_k,
    stride_w: tl.constexpr,
    TAPS: tl.constexpr,
    UNROLL: tl.constexpr,
    INSIDE: tl.constexpr,
    ACCUMULATE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[n, k, pixel] = bias[k] + sum over t of weight[k, tap t] source[n, k / multiplier, pixel + shift t]:
    one tile of one plane of the output. Sizes are triples of depth, height and width.

    out [n, K, *count], of any strides; source [n, K / multiplier, *size], contiguous; weight [K, weight_k];
    bias [K] or None; table [TAPS, 4]: a tap's number, and its shifts.
    """
    D, H, W = size
    count_d, count_h, count_w = count
    out_n, out_k, out_d, out_h, out_w = out_strides
    distinct(out, source)
    tiles_w = tl.cdiv(count_w, BLOCK_W)
    tiles_h = tl.cdiv(count_h, BLOCK_H)
    program = tl.program_id(0)
    w = (program % tiles_w) * BLOCK_W + tl.arange(0, BLOCK_W)
    rest = program // tiles_w
    h = (rest % tiles_h) * BLOCK_H + tl.arange(0, BLOCK_H)
    rest = rest // tiles_h
    d = rest % count_d
    rest = rest // count_d
    k = rest % K
    image = (rest // K).to(tl.int64)
    source += (image * (K // multiplier) + k // multiplier) * (D * H * W)
    weight += k * weight_k
    keep = (h < count_h)[:, None] & (w < count_w)[None, :]
    at_d, at_h, at_w = d * stride_d, h * stride_h, w * stride_w
    total = tl.zeros((BLOCK_H, BLOCK_W), ACCUMULATE)
    if UNROLL:
        for t in tl.static_range(TAPS):
            factor = tl.load(weight + tl.load(table + t * 4)).to(ACCUMULATE)
            pixels = shifted_plane(source, table, t, at_d, at_h, at_w, D, H, W, keep, INSIDE)
            total = add_product(total, pixels.to(ACCUMULATE), factor)
    else:
        for t in range(TAPS):
            factor = tl.load(weight + tl.load(table + t * 4)).to(ACCUMULATE)
            pixels = shifted_plane(source, table, t, at_d, at_h, at_w, D, H, W, keep, INSIDE)
            total = add_product(total, pixels.to(ACCUMULATE), factor)
    if bias is not None:
        total += tl.load(bias + k).to(ACCUMULATE)
    at = (
        image * out_n
        + k.to(tl.int64) * out_k
        + d.to(tl.int64) * out_d
        + (h * out_h)[:, None]
        + (w * out_w)[None, :]
    )
    tl.store(out + at, total.to(out.dtype.element_ty), mask=keep)


@triton.jit
def depthwise_weight_gradient_kernel(
    out,
    gradient,
    source,
    table,
    N,
    K,
    multiplier,
    size,
    count,
    stride_d,
    stride_h,
    taps,
    stride_w: tl.constexpr,
    INSIDE: tl.constexpr,
    ACCUMULATE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[k, t] = sum over n and pixels of gradient[n, k, pixel] source[n, k / multiplier, pixel + shift t]
    for one filter and one tap.

    out [K, taps]; gradient [N, K, *count]; source [N, K / multiplier, *size], all contiguous; table [taps,
    4].
    """
    D, H, W = size
    count_d, count_h, count_w = count
    t = tl.program_id(0) % taps
    k = tl.program_id(0) // taps
    lane_h = tl.arange(0, BLOCK_H)
    lane_w = tl.arange(0, BLOCK_W)
    total = tl.zeros((), ACCUMULATE)
    for n in range(N):
        image = n.to(tl.int64)
        plane = source + (image * (K // multiplier) + k // multiplier) * (D * H * W)
        for d in range(count_d):
            ours = gradient + ((image * K + k) * count_d + d) * (count_h * count_w)
            for first_h in range(0, count_h, BLOCK_H):
                h = first_h + lane_h
                for first_w in range(0, count_w, BLOCK_W):
                    w = first_w + lane_w
                    keep = (h < count_h)[:, None] & (w < count_w)[None, :]
                    pixels = shifted_plane(
                        plane, table, t, d * stride_d, h * stride_h, w * stride_w, D, H, W, keep, INSIDE
                    )
                    value = tl.load(ours + h[:, None] * count_w + w[None, :], mask=keep, other=0)
                    products = pixels.to(ACCUMULATE) * value.to(ACCUMULATE)
                    total += tl.sum(tl.reshape(products, (BLOCK_H * BLOCK_W,)), 0)
    tl.store(out + k * taps + t, total.to(out.dtype.element_ty))


# ---- launch ---------------------------------------------------------------------------------------


def _blocks(counts: tuple[int, int, int], device: torch.device) -> dict[str, int]:
    tiles = TILES.on(device)
    row = min(power_of_two(counts[2]), tiles["row"])
    return {"BLOCK_H": min(power_of_two(counts[1]), tiles["elements"] // row), "BLOCK_W": row}


def _table(phase: Phase, source: torch.Tensor, inside: bool) -> torch.Tensor:
    """Number and shifts of each tap; number and offset if all are inside."""
    _, _, _, height, width = source.shape
    taps = phase.taps or ((0, 0, 0, 0),)
    if inside:
        taps = tuple((tap, (d * height + h) * width + w, 0, 0) for tap, d, h, w in taps)
    return torch.tensor(taps, dtype=torch.int32).to(source.device)


def depthwise(
    source: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    out: torch.Tensor,
    phase: Phase,
    label: str,
) -> None:
    """One phase of a convolution of `source` [n, groups, depth, height, width] (contiguous) with `weight`
    [groups, K, 1, taps] into `out` [n, groups K, ...] (any strides)."""
    groups, multiplier, _, count = weight.shape
    source, phase, inside = with_margins(source, phase)
    key = (signature(source, weight, bias), out.shape, out.stride(), phase)
    plan = PLANS.get(key)
    if plan is None:
        blocks = _blocks(phase.counts, source.device)
        tiles = cdiv(phase.counts[1], blocks["BLOCK_H"]) * cdiv(phase.counts[2], blocks["BLOCK_W"])
        strides = [stride * step for stride, step in zip(out.stride()[2:], phase.step, strict=True)]
        channels = groups * multiplier
        plan = Plan(
            depthwise_kernel,
            source.shape[0] * channels * phase.counts[0] * tiles,
            (
                channels,
                multiplier,
                tuple(source.shape[2:]),
                phase.counts,
                *phase.stride[:2],
                (*out.stride()[:2], *strides),
                count,
            ),
            {
                "stride_w": phase.stride[2],
                "TAPS": len(phase.taps),
                "UNROLL": len(phase.taps) <= UNROLLED_TAPS,
                "INSIDE": inside,
                "ACCUMULATE": TRITON_DTYPES[accumulator(source.dtype)],
                **blocks,
            },
            label=label,
            result=_table(phase, source, inside),
        )
        PLANS.remember(key, plan)
    d, h, w = phase.first
    place = out[:, :, d:, h:, w:]
    plan.launch(place, source, weight.contiguous(), bias, plan.result)


def depthwise_weight_gradient(
    gradient: torch.Tensor, source: torch.Tensor, out: torch.Tensor, phase: Phase, label: str
) -> None:
    """`out` [channels, taps] from `gradient` [n, channels, ...] and `source` [n, groups, ...], all
    contiguous."""
    source, phase, inside = with_margins(source, phase)
    key = (signature(gradient, source, out), phase)
    plan = GRADIENT_PLANS.get(key)
    if plan is None:
        channels = gradient.shape[1]
        taps = len(phase.taps)
        plan = Plan(
            depthwise_weight_gradient_kernel,
            channels * taps,
            (
                source.shape[0],
                channels,
                channels // source.shape[1],
                tuple(source.shape[2:]),
                phase.counts,
                *phase.stride[:2],
                taps,
            ),
            {
                "stride_w": phase.stride[2],
                "INSIDE": inside,
                "ACCUMULATE": TRITON_DTYPES[accumulator(source.dtype)],
                **_blocks(phase.counts, source.device),
            },
            label=label,
            result=_table(phase, source, inside),
        )
        GRADIENT_PLANS.remember(key, plan)
    assert math.prod(out.shape) == plan.grid[0]
    plan.launch(out, gradient, source, plan.result)
