"""The kernels of maximum pooling; backward each input element gathers from the windows that it is in and
whose maximum it was."""

from __future__ import annotations

import triton
import triton.language as tl

from ..distinct import distinct
from .window import (
    column_window,
    first_window,
    gradient_tile,
    in_plane,
    last_window,
    plane_start,
    tap_inside,
    tap_place,
    tile_place,
    window_starts,
    window_stops,
)


@triton.jit
def larger_at(
    k,
    best,
    place,
    source,
    start,
    gap,
    size,
    stop,
    strides,
    LONGEST_H: tl.constexpr,
    LONGEST_W: tl.constexpr,
    ADAPTIVE: tl.constexpr,
    FLOATING: tl.constexpr,
):
    """The maxima so far and their places, after the k-th elements; a NaN is larger than anything."""
    k_d, k_h, k_w = tap_place(k, LONGEST_H, LONGEST_W)
    d, h, w = start[0] + k_d * gap[0], start[1] + k_h * gap[1], start[2] + k_w * gap[2]
    mask = tap_inside(d, h, w, size, stop, ADAPTIVE)
    value = tl.load(source + in_plane(d, h, w, strides), mask=mask, other=0).to(best.dtype)
    better = value > best
    if FLOATING:
        better = better | (value != value)
    better = (better | (place < 0)) & mask
    here = (d * size[1] + h)[:, None] * size[2] + w[None, :]
    return tl.where(better, value, best), tl.where(better, here, place)


@triton.jit
def maximum_kernel(
    out,
    place_out,
    source,
    channels,
    size,
    count,
    reach,
    stride_d,
    padding,
    gap,
    source_strides,
    out_strides,
    LONGEST_D: tl.constexpr,
    LONGEST_H: tl.constexpr,
    LONGEST_W: tl.constexpr,
    UNROLL: tl.constexpr,
    stride_h: tl.constexpr,
    stride_w: tl.constexpr,
    ADAPTIVE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """The first maximum over each window, and its place in its plane. Sizes and the like are triples of
    depth, height and width, strides those of all five dimensions.

    out and place_out [n, channels, *count], of the same strides; source [n, channels, *size].
    """
    distinct(out, source)
    distinct(place_out, source)
    plane, d, h, w, keep = tile_place(count[0], count[1], count[2], BLOCK_H, BLOCK_W)
    source += plane_start(plane, channels, source_strides)
    stride = (stride_d, stride_h, stride_w)
    start = window_starts((d, h, w), size, count, stride, padding, ADAPTIVE)
    stop = window_stops((d, h, w), size, count, reach, stride, padding, ADAPTIVE)
    floating: tl.constexpr = COMPUTE.is_floating()
    best = tl.zeros((BLOCK_H, BLOCK_W), COMPUTE)
    place = tl.full((BLOCK_H, BLOCK_W), -1, tl.int32)
    taps: tl.constexpr = LONGEST_D * LONGEST_H * LONGEST_W
    if UNROLL:
        for k in tl.static_range(taps):
            best, place = larger_at(
                k,
                best,
                place,
                source,
                start,
                gap,
                size,
                stop,
                source_strides,
                LONGEST_H,
                LONGEST_W,
                ADAPTIVE,
                floating,
            )
    else:
        for k in range(taps):
            best, place = larger_at(
                k,
                best,
                place,
                source,
                start,
                gap,
                size,
                stop,
                source_strides,
                LONGEST_H,
                LONGEST_W,
                ADAPTIVE,
                floating,
            )
    at = plane_start(plane, channels, out_strides) + in_plane(d, h, w, out_strides)
    tl.store(out + at, best.to(out.dtype.element_ty), mask=keep)
    tl.store(place_out + at, place.to(tl.int64), mask=keep)


@triton.jit
def of_maximum(
    k,
    gradient,
    places,
    here,
    first,
    stop,
    phase,
    reach_w,
    gradient_strides,
    place_strides,
    MOST_H: tl.constexpr,
    MOST_W: tl.constexpr,
    stride_w: tl.constexpr,
    PHASES: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Of the k-th windows that elements are in, the gradient where the maximum is `here`, else zero."""
    k_d, k_h, k_w = tap_place(k, MOST_H, MOST_W)
    d, h = first[0] + k_d, first[1] + k_h
    w, inside_w, _ = column_window(k_w, first[2], stop[2], phase, reach_w, stride_w, PHASES)
    mask = ((h < stop[1]) & (d < stop[0]))[:, None] & inside_w[None, :]
    place = tl.load(places + in_plane(d, h, w, place_strides), mask=mask, other=-1).to(tl.int32)
    value = tl.load(gradient + in_plane(d, h, w, gradient_strides), mask=mask, other=0).to(COMPUTE)
    return tl.where(place == here, value, 0)


@triton.jit
def maximum_gradient_kernel(
    out,
    gradient,
    places,
    channels,
    size,
    count,
    reach,
    stride_d,
    padding,
    gradient_strides,
    place_strides,
    out_strides,
    MOST_D: tl.constexpr,
    MOST_H: tl.constexpr,
    MOST_W: tl.constexpr,
    UNROLL: tl.constexpr,
    stride_h: tl.constexpr,
    stride_w: tl.constexpr,
    ADAPTIVE: tl.constexpr,
    PHASES: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[plane, i] = sum of the gradients of the windows whose maximum is i. Sizes and the like are triples
    of depth, height and width, strides those of all five dimensions.

    out [n, channels, *size]; gradient and places [n, channels, *count].
    """
    distinct(out, gradient)
    distinct(out, places)
    plane, d, h, w, keep, first_w, stop_w, phase = gradient_tile(
        size, count[2], reach[2], padding[2], stride_w, ADAPTIVE, PHASES, BLOCK_H, BLOCK_W
    )
    gradient += plane_start(plane, channels, gradient_strides)
    places += plane_start(plane, channels, place_strides)
    first_d = first_window(d, size[0], count[0], reach[0], stride_d, padding[0], ADAPTIVE)
    first_h = first_window(h, size[1], count[1], reach[1], stride_h, padding[1], ADAPTIVE)
    stop_d = last_window(d, size[0], count[0], stride_d, padding[0], ADAPTIVE)
    stop_h = last_window(h, size[1], count[1], stride_h, padding[1], ADAPTIVE)
    first, stop = (first_d, first_h, first_w), (stop_d, stop_h, stop_w)
    here = (d * size[1] + h)[:, None] * size[2] + w[None, :]
    total = tl.zeros((BLOCK_H, BLOCK_W), COMPUTE)
    windows: tl.constexpr = MOST_D * MOST_H * MOST_W
    if UNROLL:
        for k in tl.static_range(windows):
            total += of_maximum(
                k,
                gradient,
                places,
                here,
                first,
                stop,
                phase,
                reach[2],
                gradient_strides,
                place_strides,
                MOST_H,
                MOST_W,
                stride_w,
                PHASES,
                COMPUTE,
            )
    else:
        for k in range(windows):
            total += of_maximum(
                k,
                gradient,
                places,
                here,
                first,
                stop,
                phase,
                reach[2],
                gradient_strides,
                place_strides,
                MOST_H,
                MOST_W,
                stride_w,
                PHASES,
                COMPUTE,
            )
    out += plane_start(plane, channels, out_strides)
    tl.store(out + in_plane(d, h, w, out_strides), total.to(out.dtype.element_ty), mask=keep)
