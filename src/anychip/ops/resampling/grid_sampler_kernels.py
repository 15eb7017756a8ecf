"""The kernels of grid_sample: places of a grid, weights of their neighbours, and both directions."""

from __future__ import annotations

import triton
import triton.language as tl

from ..distinct import distinct


@triton.jit
def padded_place(x, size, PADDING: tl.constexpr, ALIGN: tl.constexpr):
    """A place brought inside by clipping (1) or reflection (2), and the derivative of that."""
    slope = tl.full(x.shape, 1.0, x.dtype)
    last = tl.zeros((), x.dtype) + (size - 1)
    if PADDING == 2:
        if ALIGN:
            low = 0.0
            span = last
        else:
            low = -0.5
            span = last + 1
        shifted = x - low
        slope = tl.where(shifted < 0, -1.0, slope)
        shifted = tl.abs(shifted)
        length = tl.where(span > 0, span, 1.0)
        turns = tl.floor(shifted / length)
        extra = shifted - turns * length
        even = turns - 2 * tl.floor(turns * 0.5) == 0
        slope = tl.where(even, slope, -slope)
        x = tl.where(span > 0, tl.where(even, extra + low, span - extra + low), 0.0)
        slope = tl.where(span > 0, slope, 0.0)
    if PADDING >= 1:
        slope = tl.where((x > 0) & (x < last), slope, 0.0)
        x = tl.minimum(tl.maximum(x, 0.0), last)
    return x, slope


@triton.jit
def axis_place(x, size, MODE: tl.constexpr, PADDING: tl.constexpr, ALIGN: tl.constexpr):
    """A grid's number in [-1, 1] as a place among `size` pixels, and the derivative of that."""
    if ALIGN:
        scale = (tl.zeros((), x.dtype) + (size - 1)) / 2
        place = (x + 1) * scale
    else:  # rounded once, after the half is off: beside the first pixel's middle the two cancel
        scale = (tl.zeros((), x.dtype) + size) / 2
        place = tl.fma(x + 1, scale, tl.full((), -0.5, x.dtype))
    slope = tl.full(x.shape, 1.0, x.dtype)
    if MODE != 2:
        place, slope = padded_place(place, size, PADDING, ALIGN)
    return place, slope * scale


@triton.jit
def near_cubic(x):
    """Keys's cubic with a = -3/4 at |x| <= 1, and its derivative."""
    return (1.25 * x - 2.25) * x * x + 1, (3.75 * x - 4.5) * x


@triton.jit
def far_cubic(x):
    """The same at 1 < |x| < 2."""
    return ((-0.75 * x + 3.75) * x - 6) * x + 3, (-2.25 * x + 7.5) * x - 6


@triton.jit
def rounded_to_even(x):
    """The nearest integer, halves to even."""
    below = tl.floor(x)
    part = x - below
    odd = below - 2 * tl.floor(below * 0.5)
    return below + tl.where((part > 0.5) | ((part == 0.5) & (odd != 0)), 1.0, 0.0)


@triton.jit
def axis_tap(place, size, K: tl.constexpr, MODE: tl.constexpr, PADDING: tl.constexpr, ALIGN: tl.constexpr):
    """The K-th tap of a place: its pixel, whether there is one, its weight and the weight's derivative."""
    if MODE == 1:
        at = rounded_to_even(place)
        weight = tl.full(place.shape, 1.0, place.dtype)
        slope = tl.zeros(place.shape, place.dtype)
    elif MODE == 0:
        below = tl.floor(place)
        part = place - below
        at = below + K
        if K == 0:
            weight = 1 - part
            slope = tl.full(place.shape, -1.0, place.dtype)
        else:
            weight = part
            slope = tl.full(place.shape, 1.0, place.dtype)
    else:
        below = tl.floor(place)
        part = place - below
        if K == 0:
            weight, slope = far_cubic(part + 1)
        elif K == 1:
            weight, slope = near_cubic(part)
        elif K == 2:
            weight, slope = near_cubic(1 - part)
            slope = -slope
        else:
            weight, slope = far_cubic(2 - part)
            slope = -slope
        at, _ = padded_place(below + (K - 1), size, PADDING, ALIGN)
    inside = (at >= 0) & (at <= size - 1)
    return tl.where(inside, at, 0.0).to(tl.int32), inside, weight, slope


@triton.jit
def grid_place(grid, inside, strides, d, h, w, axis, COMPUTE: tl.constexpr):
    """The grid's number for one axis (0: width, 1: height, 2: depth) at output pixels."""
    _, g_d, g_h, g_w, g_x = strides
    at = d.to(tl.int64) * g_d + h.to(tl.int64) * g_h + w.to(tl.int64) * g_w + axis * g_x
    return tl.load(grid + at, mask=inside, other=0).to(COMPUTE)


@triton.jit
def grid_sampler_kernel(
    out,
    source,
    grid,
    C,
    size,
    out_size,
    source_strides,
    grid_strides,
    RANK: tl.constexpr,
    MODE: tl.constexpr,
    PADDING: tl.constexpr,
    ALIGN: tl.constexpr,
    TAPS: tl.constexpr,
    DEPTH_TAPS: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """out[n, :, pixel] = source[n, :, grid[n, pixel]], interpolated; a block of pixels, all channels. Sizes
    are triples of depth (1 for images), height and width; strides are those of all dimensions.

    out [n, C, *out_size], contiguous; source [n, C, *size]; grid [n, *out_size, RANK].
    """
    D, H, W = size
    out_d, out_h, out_w = out_size
    s_n, s_c, s_d, s_h, s_w = source_strides
    distinct(out, source)
    distinct(out, grid)
    pixels = out_d * out_h * out_w
    tiles = tl.cdiv(pixels, BLOCK_P)
    image = (tl.program_id(0) // tiles).to(tl.int64)
    pixel = (tl.program_id(0) % tiles) * BLOCK_P + tl.arange(0, BLOCK_P)
    inside = pixel < pixels
    d, h, w = pixel // (out_h * out_w), pixel // out_w % out_h, pixel % out_w
    grid += image * grid_strides[0]
    source += image * s_n
    out += image * C * pixels
    raw = grid_place(grid, inside, grid_strides, d, h, w, 0, COMPUTE)
    x, _ = axis_place(raw, W, MODE, PADDING, ALIGN)
    raw = grid_place(grid, inside, grid_strides, d, h, w, 1, COMPUTE)
    y, _ = axis_place(raw, H, MODE, PADDING, ALIGN)
    z = tl.zeros((BLOCK_P,), COMPUTE)
    if RANK == 3:
        raw = grid_place(grid, inside, grid_strides, d, h, w, 2, COMPUTE)
        z, _ = axis_place(raw, D, MODE, PADDING, ALIGN)
    lane = tl.arange(0, BLOCK_C)
    for first in range(0, C, BLOCK_C):
        channel = first + lane
        total = tl.zeros((BLOCK_C, BLOCK_P), COMPUTE)
        for k_z in tl.static_range(DEPTH_TAPS):
            at_z, known_z, weight_z, _ = axis_tap(z, D, k_z, MODE, PADDING, ALIGN)
            for k_y in tl.static_range(TAPS):
                at_y, known_y, weight_y, _ = axis_tap(y, H, k_y, MODE, PADDING, ALIGN)
                for k_x in tl.static_range(TAPS):
                    at_x, known_x, weight_x, _ = axis_tap(x, W, k_x, MODE, PADDING, ALIGN)
                    known = inside & known_y & known_x
                    weight = weight_y * weight_x
                    at = at_y.to(tl.int64) * s_h + at_x.to(tl.int64) * s_w
                    if RANK == 3:
                        known = known & known_z
                        weight = weight * weight_z
                        at += at_z.to(tl.int64) * s_d
                    value = tl.load(
                        source + (channel.to(tl.int64) * s_c)[:, None] + at[None, :],
                        mask=(channel < C)[:, None] & known[None, :],
                        other=0,
                    )
                    total += value.to(COMPUTE) * weight[None, :]
        place = (channel.to(tl.int64) * pixels)[:, None] + pixel[None, :]
        mask = (channel < C)[:, None] & inside[None, :]
        tl.store(out + place, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def grid_sampler_gradient_kernel(
    source_out,
    grid_out,
    gradient,
    source,
    grid,
    C,
    size,
    out_size,
    source_strides,
    grid_strides,
    RANK: tl.constexpr,
    MODE: tl.constexpr,
    PADDING: tl.constexpr,
    ALIGN: tl.constexpr,
    TAPS: tl.constexpr,
    DEPTH_TAPS: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    """Adds the gradient's share to the pixels that each sample read, and sums over channels the gradient of
    the sample's place.

    source_out [n, C, *size], zeroed, or None where it is not wanted; grid_out [n, *out_size, RANK]; gradient
    [n, C, *out_size], these contiguous; source [n, C, *size]; grid [n, *out_size, RANK].
    """
    D, H, W = size
    out_d, out_h, out_w = out_size
    s_n, s_c, s_d, s_h, s_w = source_strides
    pixels = out_d * out_h * out_w
    tiles = tl.cdiv(pixels, BLOCK_P)
    image = (tl.program_id(0) // tiles).to(tl.int64)
    pixel = (tl.program_id(0) % tiles) * BLOCK_P + tl.arange(0, BLOCK_P)
    inside = pixel < pixels
    d, h, w = pixel // (out_h * out_w), pixel // out_w % out_h, pixel % out_w
    grid += image * grid_strides[0]
    source += image * s_n
    plane = D * H * W
    gradient += image * C * pixels
    raw = grid_place(grid, inside, grid_strides, d, h, w, 0, COMPUTE)
    x, slope_x = axis_place(raw, W, MODE, PADDING, ALIGN)
    raw = grid_place(grid, inside, grid_strides, d, h, w, 1, COMPUTE)
    y, slope_y = axis_place(raw, H, MODE, PADDING, ALIGN)
    z = tl.zeros((BLOCK_P,), COMPUTE)
    slope_z = tl.zeros((BLOCK_P,), COMPUTE)
    if RANK == 3:
        raw = grid_place(grid, inside, grid_strides, d, h, w, 2, COMPUTE)
        z, slope_z = axis_place(raw, D, MODE, PADDING, ALIGN)
    lane = tl.arange(0, BLOCK_C)
    total_x = tl.zeros((BLOCK_P,), COMPUTE)
    total_y = tl.zeros((BLOCK_P,), COMPUTE)
    total_z = tl.zeros((BLOCK_P,), COMPUTE)
    for first in range(0, C, BLOCK_C):
        channel = first + lane
        here = (channel.to(tl.int64) * pixels)[:, None] + pixel[None, :]
        mask = (channel < C)[:, None] & inside[None, :]
        g = tl.load(gradient + here, mask=mask, other=0).to(COMPUTE)
        for k_z in tl.static_range(DEPTH_TAPS):
            at_z, known_z, weight_z, change_z = axis_tap(z, D, k_z, MODE, PADDING, ALIGN)
            for k_y in tl.static_range(TAPS):
                at_y, known_y, weight_y, change_y = axis_tap(y, H, k_y, MODE, PADDING, ALIGN)
                for k_x in tl.static_range(TAPS):
                    at_x, known_x, weight_x, change_x = axis_tap(x, W, k_x, MODE, PADDING, ALIGN)
                    known = inside & known_y & known_x
                    weight = weight_y * weight_x
                    along_x = change_x * weight_y
                    along_y = weight_x * change_y
                    along_z = weight * change_z
                    at = at_y.to(tl.int64) * s_h + at_x.to(tl.int64) * s_w
                    to = at_y.to(tl.int64) * W + at_x
                    if RANK == 3:
                        known = known & known_z
                        weight = weight * weight_z
                        along_x = along_x * weight_z
                        along_y = along_y * weight_z
                        at += at_z.to(tl.int64) * s_d
                        to += at_z.to(tl.int64) * (H * W)
                    known_all = (channel < C)[:, None] & known[None, :]
                    if source_out is not None:
                        target = (image * C + channel.to(tl.int64)) * plane
                        part = g * weight[None, :]
                        tl.atomic_add(
                            source_out + target[:, None] + to[None, :], part, mask=known_all, sem="relaxed"
                        )
                    if MODE != 1:
                        value = tl.load(
                            source + (channel.to(tl.int64) * s_c)[:, None] + at[None, :],
                            mask=known_all,
                            other=0,
                        )
                        pull = tl.sum(value.to(COMPUTE) * g, 0)
                        total_x += pull * along_x
                        total_y += pull * along_y
                        if RANK == 3:
                            total_z += pull * along_z
    grid_out += (image * pixels + pixel) * RANK
    tl.store(grid_out, (total_x * slope_x).to(grid_out.dtype.element_ty), mask=inside)
    tl.store(grid_out + 1, (total_y * slope_y).to(grid_out.dtype.element_ty), mask=inside)
    if RANK == 3:
        tl.store(grid_out + 2, (total_z * slope_z).to(grid_out.dtype.element_ty), mask=inside)
