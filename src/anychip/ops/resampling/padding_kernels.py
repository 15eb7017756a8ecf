"""The kernels of padding by reflection and by repetition; backward each input element gathers from what
repeats it."""

from __future__ import annotations

import triton
import triton.language as tl

from ..distinct import distinct
from ..pooling.window import in_plane, plane_start, tile_place


@triton.jit
def copied_from(o, before, size, REFLECT: tl.constexpr):
    """The input's position that output position o repeats."""
    i = o - before
    if REFLECT:
        i = tl.abs(i)
        i = size - 1 - tl.abs(size - 1 - i)
    else:
        i = tl.minimum(tl.maximum(i, 0), size - 1)
    return i


@triton.jit
def copied_to(i, k, before, size, count, REFLECT: tl.constexpr):
    """The k-th output position that repeats input position i, and whether there is one."""
    if REFLECT:
        o = i + before
        known = i >= 0
        if k == 1:
            o = before - i
            known = i >= 1
        if k == 2:
            o = before + 2 * (size - 1) - i
            known = i <= size - 2
    else:
        first = tl.maximum(tl.where(i == 0, 0, i + before), 0)
        stop = tl.where(i == size - 1, count, i + before + 1)
        o = first + k
        known = o < stop
    return o, known & (o >= 0) & (o < count)


@triton.jit
def edges(before, size, count, BLOCK_W: tl.constexpr):
    """Of this program: how many output columns lie before the input's first (none, unless its tile of the
    input begins there), where those behind the last begin, and where they end."""
    tiles_w = tl.cdiv(size, BLOCK_W)
    tile = tl.program_id(0) % tiles_w
    left = tl.where(tile == 0, tl.minimum(before, count), 0)
    right = tl.maximum(before + size, 0)
    return left, right, tl.where(tile == tiles_w - 1, count, right)


@triton.jit
def copy_edge(
    out, source, inside, start, stop, before, size, step, step_out, REFLECT: tl.constexpr, EDGE: tl.constexpr
):
    """Output columns from start to stop of the rows that `out` and `source` point to."""
    for first in range(start, stop, EDGE):
        w = first + tl.arange(0, EDGE)
        keep = inside & (w < stop)[None, :]
        read = copied_from(tl.minimum(w, stop - 1), before, size, REFLECT)
        tl.store(
            out + (w * step_out)[None, :], tl.load(source + (read * step)[None, :], mask=keep), mask=keep
        )


@triton.jit
def edge_sum(
    gradient, known, start, stop, step, COMPUTE: tl.constexpr, EDGE: tl.constexpr, BLOCK_H: tl.constexpr
):
    """Sums of the columns from start to stop of the rows that `gradient` points to."""
    total = tl.zeros((BLOCK_H,), COMPUTE)
    for first in range(start, stop, EDGE):
        w = first + tl.arange(0, EDGE)
        part = tl.load(gradient + (w * step)[None, :], mask=known & (w < stop)[None, :], other=0)
        total += tl.sum(part.to(COMPUTE), 1)
    return total


@triton.jit
def border_kernel(
    out,
    source,
    channels,
    size,
    count,
    before,
    source_strides,
    out_strides,
    REFLECT: tl.constexpr,
    EDGE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[plane, o] = source[plane, the position that o repeats]: of some output rows a tile of the columns
    that are copied as they are, and, from the tile at the input's end, those beyond it. Sizes, and how much
    is put before, are triples of depth, height and width, strides those of all five dimensions.

    out [n, channels, *count]; source [n, channels, *size].
    """
    D, H, W = size
    count_d, count_h, count_w = count
    before_d, before_h, before_w = before
    _, _, s_d, s_h, s_w = source_strides
    _, _, o_d, o_h, o_w = out_strides
    distinct(out, source)
    plane, d, h, column, _ = tile_place(count_d, count_h, W, BLOCK_H, BLOCK_W)
    source += plane_start(plane, channels, source_strides) + copied_from(d, before_d, D, REFLECT) * s_d
    out += plane_start(plane, channels, out_strides) + d * o_d
    inside_h = (h < count_h)[:, None]
    source_row = (copied_from(tl.minimum(h, count_h - 1), before_h, H, REFLECT) * s_h)[:, None]
    row = (h * o_h)[:, None]
    w = column + before_w
    kept = tl.minimum(W, count_w - before_w)
    keep = inside_h & ((column >= -before_w) & (column < kept))[None, :]
    value = tl.load(source + source_row + (column * s_w)[None, :], mask=keep)
    tl.store(out + row + (w * o_w)[None, :], value, mask=keep)
    left, right, stop = edges(before_w, W, count_w, BLOCK_W)
    copy_edge(out + row, source + source_row, inside_h, 0, left, before_w, W, s_w, o_w, REFLECT, EDGE)
    copy_edge(out + row, source + source_row, inside_h, right, stop, before_w, W, s_w, o_w, REFLECT, EDGE)


@triton.jit
def gathered_rows(
    k,
    gradient,
    d,
    h,
    column,
    size,
    count,
    before,
    strides,
    MOST_H: tl.constexpr,
    REFLECT: tl.constexpr,
    EDGE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """The sums, over columns, of the gradients in the k-th rows that repeat input rows."""
    D, H, W = size
    count_d, count_h, count_w = count
    before_d, before_h, before_w = before
    _, _, g_d, g_h, g_w = strides
    o_d, known_d = copied_to(d, k // MOST_H, before_d, D, count_d, REFLECT)
    o_h, known_h = copied_to(h, k % MOST_H, before_h, H, count_h, REFLECT)
    known = (known_h & (h < H) & known_d)[:, None]
    gradient += o_d * g_d
    row = (o_h * g_h)[:, None]
    o = column + before_w
    inside = (column >= -before_w) & (column < tl.minimum(W, count_w - before_w))
    total = tl.load(gradient + row + (o * g_w)[None, :], mask=known & inside[None, :], other=0).to(COMPUTE)
    if REFLECT:
        mirrored = before_w - column
        mask = known & ((column >= 1) & (column < tl.minimum(W, before_w + 1)))[None, :]
        total += tl.load(gradient + row + (mirrored * g_w)[None, :], mask=mask, other=0).to(COMPUTE)
        mirrored = before_w + 2 * (W - 1) - column
        mask = known & ((column > before_w + 2 * (W - 1) - count_w) & (column <= W - 2))[None, :]
        total += tl.load(gradient + row + (mirrored * g_w)[None, :], mask=mask, other=0).to(COMPUTE)
    else:
        left, right, stop = edges(before_w, W, count_w, BLOCK_W)
        first_column = edge_sum(gradient + row, known, 0, left, g_w, COMPUTE, EDGE, BLOCK_H)
        last_column = edge_sum(gradient + row, known, right, stop, g_w, COMPUTE, EDGE, BLOCK_H)
        total += tl.where((column == 0)[None, :], first_column[:, None], 0)
        total += tl.where((column == W - 1)[None, :], last_column[:, None], 0)
    return total


@triton.jit
def border_gradient_kernel(
    out,
    gradient,
    channels,
    size,
    count,
    before,
    gradient_strides,
    out_strides,
    MOST_D: tl.constexpr,
    MOST_H: tl.constexpr,
    UNROLL: tl.constexpr,
    REFLECT: tl.constexpr,
    EDGE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """out[plane, i] = sum of the gradients of the positions that repeat i. out [n, channels, *size]; gradient
    [n, channels, *count]."""
    distinct(out, gradient)
    plane, d, h, w, keep = tile_place(size[0], size[1], size[2], BLOCK_H, BLOCK_W)
    gradient += plane_start(plane, channels, gradient_strides)
    out += plane_start(plane, channels, out_strides)
    total = tl.zeros((BLOCK_H, BLOCK_W), COMPUTE)
    if UNROLL:
        for k in tl.static_range(MOST_D * MOST_H):
            total += gathered_rows(
                k,
                gradient,
                d,
                h,
                w,
                size,
                count,
                before,
                gradient_strides,
                MOST_H,
                REFLECT,
                EDGE,
                COMPUTE,
                BLOCK_H,
                BLOCK_W,
            )
    else:
        for k in range(MOST_D * MOST_H):
            total += gathered_rows(
                k,
                gradient,
                d,
                h,
                w,
                size,
                count,
                before,
                gradient_strides,
                MOST_H,
                REFLECT,
                EDGE,
                COMPUTE,
                BLOCK_H,
                BLOCK_W,
            )
    tl.store(out + in_plane(d, h, w, out_strides), total.to(out.dtype.element_ty), mask=keep)
