"""The kernels of average pooling; backward each input element gathers its share of the windows that it is
in."""

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
    window_start,
    window_starts,
    window_stop,
    window_stops,
)


@triton.jit
def divisor(o, size, count, kernel, stride, padding, ADAPTIVE: tl.constexpr, PADDED: tl.constexpr):
    """The number of positions of window o that count: those of the padding, too, if PADDED."""
    start = window_start(o, size, count, stride, padding, ADAPTIVE)
    stop = window_stop(o, size, count, kernel, stride, padding, ADAPTIVE)
    if PADDED:
        counted = tl.minimum(stop, size + padding) - start
    else:
        counted = tl.minimum(stop, size) - tl.maximum(start, 0)
    return counted


@triton.jit
def divisors(o, size, count, kernel, stride, padding, ADAPTIVE: tl.constexpr, PADDED: tl.constexpr):
    """The number of positions that count in windows at a depth, rows and columns: `divisor` of each
    triple."""
    depth = divisor(o[0], size[0], count[0], kernel[0], stride[0], padding[0], ADAPTIVE, PADDED)
    height = divisor(o[1], size[1], count[1], kernel[1], stride[1], padding[1], ADAPTIVE, PADDED)
    width = divisor(o[2], size[2], count[2], kernel[2], stride[2], padding[2], ADAPTIVE, PADDED)
    return (depth * height)[:, None] * width[None, :]


@triton.jit
def taken(
    k,
    source,
    start,
    size,
    stop,
    strides,
    LONGEST_H: tl.constexpr,
    LONGEST_W: tl.constexpr,
    ADAPTIVE: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """The k-th elements of windows, zero beyond the windows' ends and the input's."""
    k_d, k_h, k_w = tap_place(k, LONGEST_H, LONGEST_W)
    d, h, w = start[0] + k_d, start[1] + k_h, start[2] + k_w
    mask = tap_inside(d, h, w, size, stop, ADAPTIVE)
    return tl.load(source + in_plane(d, h, w, strides), mask=mask, other=0).to(COMPUTE)


@triton.jit
def average_kernel(
    out,
    source,
    channels,
    size,
    count,
    kernel,
    stride_d,
    padding,
    override,
    source_strides,
    out_strides,
    LONGEST_D: tl.constexpr,
    LONGEST_H: tl.constexpr,
    LONGEST_W: tl.constexpr,
    UNROLL: tl.constexpr,
    stride_h: tl.constexpr,
    stride_w: tl.constexpr,
    ADAPTIVE: tl.constexpr,
    PADDED: tl.constexpr,
    OVERRIDE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[plane, o] = sum of source over window o / number of positions (or `override`, if OVERRIDE). Sizes
    and the like are triples of depth, height and width, strides those of all five dimensions.

    out [n, channels, *count]; source [n, channels, *size].
    """
    distinct(out, source)
    plane, d, h, w, keep = tile_place(count[0], count[1], count[2], BLOCK_H, BLOCK_W)
    source += plane_start(plane, channels, source_strides)
    out += plane_start(plane, channels, out_strides)
    stride = (stride_d, stride_h, stride_w)
    start = window_starts((d, h, w), size, count, stride, padding, ADAPTIVE)
    stop = window_stops((d, h, w), size, count, kernel, stride, padding, ADAPTIVE)
    total = tl.zeros((BLOCK_H, BLOCK_W), COMPUTE)
    taps: tl.constexpr = LONGEST_D * LONGEST_H * LONGEST_W
    if UNROLL:
        for k in tl.static_range(taps):
            total += taken(
                k, source, start, size, stop, source_strides, LONGEST_H, LONGEST_W, ADAPTIVE, COMPUTE
            )
    else:
        for k in range(taps):
            total += taken(
                k, source, start, size, stop, source_strides, LONGEST_H, LONGEST_W, ADAPTIVE, COMPUTE
            )
    if OVERRIDE:
        positions = tl.zeros((BLOCK_H, BLOCK_W), tl.int32) + override
    else:
        positions = divisors((d, h, w), size, count, kernel, stride, padding, ADAPTIVE, PADDED)
    if COMPUTE.is_floating():
        total = total / positions.to(COMPUTE)
    else:
        total = total // tl.where(keep, positions, 1).to(COMPUTE)
    tl.store(out + in_plane(d, h, w, out_strides), total.to(out.dtype.element_ty), mask=keep)


@triton.jit
def share(
    k,
    gradient,
    first,
    stop,
    phase,
    size,
    count,
    kernel,
    stride,
    padding,
    override,
    strides,
    MOST_H: tl.constexpr,
    MOST_W: tl.constexpr,
    stride_w: tl.constexpr,
    ADAPTIVE: tl.constexpr,
    PHASES: tl.constexpr,
    PADDED: tl.constexpr,
    OVERRIDE: tl.constexpr,
    COMPUTE: tl.constexpr,
):
    """Of the k-th windows that elements are in, gradient / divisor (a float's gradient, if OVERRIDE)."""
    k_d, k_h, k_w = tap_place(k, MOST_H, MOST_W)
    d, h = first[0] + k_d, first[1] + k_h
    w, inside_w, member = column_window(k_w, first[2], stop[2], phase, kernel[2], stride_w, PHASES)
    inside = ((h < stop[1]) & (d < stop[0]))[:, None] & inside_w[None, :]
    value = tl.load(gradient + in_plane(d, h, w, strides), mask=inside, other=0).to(COMPUTE)
    if OVERRIDE:
        positions = override
    else:
        positions = divisors((d, h, w), size, count, kernel, stride, padding, ADAPTIVE, PADDED)
        positions = tl.where(inside, positions, 1)
    if not COMPUTE.is_floating():
        value = value // positions.to(COMPUTE)
    elif not OVERRIDE:
        value = value / positions.to(COMPUTE)
    return tl.where(member[None, :], value, 0)


@triton.jit
def average_gradient_kernel(
    out,
    gradient,
    channels,
    size,
    count,
    kernel,
    stride_d,
    padding,
    override,
    gradient_strides,
    out_strides,
    MOST_D: tl.constexpr,
    MOST_H: tl.constexpr,
    MOST_W: tl.constexpr,
    UNROLL: tl.constexpr,
    stride_h: tl.constexpr,
    stride_w: tl.constexpr,
    ADAPTIVE: tl.constexpr,
    PHASES: tl.constexpr,
    PADDED: tl.constexpr,
    OVERRIDE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[plane, i] = sum over the windows that i is in of their gradient / number of positions. Sizes and
    the like are triples of depth, height and width, strides those of all five dimensions.

    out [n, channels, *size]; gradient [n, channels, *count].
    """
    distinct(out, gradient)
    plane, d, h, w, keep, first_w, stop_w, phase = gradient_tile(
        size, count[2], kernel[2], padding[2], stride_w, ADAPTIVE, PHASES, BLOCK_H, BLOCK_W
    )
    gradient += plane_start(plane, channels, gradient_strides)
    out += plane_start(plane, channels, out_strides)
    first_d = first_window(d, size[0], count[0], kernel[0], stride_d, padding[0], ADAPTIVE)
    first_h = first_window(h, size[1], count[1], kernel[1], stride_h, padding[1], ADAPTIVE)
    stop_d = last_window(d, size[0], count[0], stride_d, padding[0], ADAPTIVE)
    stop_h = last_window(h, size[1], count[1], stride_h, padding[1], ADAPTIVE)
    first, stop = (first_d, first_h, first_w), (stop_d, stop_h, stop_w)
    stride = (stride_d, stride_h, stride_w)
    total = tl.zeros((BLOCK_H, BLOCK_W), COMPUTE)
    windows: tl.constexpr = MOST_D * MOST_H * MOST_W
    if UNROLL:
        for k in tl.static_range(windows):
            total += share(
                k,
                gradient,
                first,
                stop,
                phase,
                size,
                count,
                kernel,
                stride,
                padding,
                override,
                gradient_strides,
                MOST_H,
                MOST_W,
                stride_w,
                ADAPTIVE,
                PHASES,
                PADDED,
                OVERRIDE,
                COMPUTE,
            )
    else:
        for k in range(windows):
            total += share(
                k,
                gradient,
                first,
                stop,
                phase,
                size,
                count,
                kernel,
                stride,
                padding,
                override,
                gradient_strides,
                MOST_H,
                MOST_W,
                stride_w,
                ADAPTIVE,
                PHASES,
                PADDED,
                OVERRIDE,
                COMPUTE,
            )
    if OVERRIDE and COMPUTE.is_floating():
        total = total / override
    tl.store(out + in_plane(d, h, w, out_strides), total.to(out.dtype.element_ty), mask=keep)
