"""The arithmetic of pooling's windows that forward and backward kernels share: where a window begins and
ends, which windows a position is in, and the tile of a plane that a program covers. A window is affine in
the output's position, or, for adaptive pooling, one of `count` nearly equal parts of the input."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def window_start(o, size, count, stride, padding, ADAPTIVE: tl.constexpr):
    """First position of window o, before it is clipped to the input."""
    if ADAPTIVE:
        first = (o.to(tl.int64) * size // count).to(tl.int32)
    else:
        first = o * stride - padding
    return first


@triton.jit
def window_stop(o, size, count, kernel, stride, padding, ADAPTIVE: tl.constexpr):
    """One after the last position of window o, before it is clipped to the input."""
    if ADAPTIVE:
        stop = (((o + 1).to(tl.int64) * size + count - 1) // count).to(tl.int32)
    else:
        stop = o * stride - padding + kernel
    return stop


@triton.jit
def window_starts(o, size, count, stride, padding, ADAPTIVE: tl.constexpr):
    """`window_start` along depth, height and width: all arguments are triples."""
    d = window_start(o[0], size[0], count[0], stride[0], padding[0], ADAPTIVE)
    h = window_start(o[1], size[1], count[1], stride[1], padding[1], ADAPTIVE)
    w = window_start(o[2], size[2], count[2], stride[2], padding[2], ADAPTIVE)
    return d, h, w


@triton.jit
def window_stops(o, size, count, kernel, stride, padding, ADAPTIVE: tl.constexpr):
    """`window_stop` along depth, height and width."""
    d = window_stop(o[0], size[0], count[0], kernel[0], stride[0], padding[0], ADAPTIVE)
    h = window_stop(o[1], size[1], count[1], kernel[1], stride[1], padding[1], ADAPTIVE)
    w = window_stop(o[2], size[2], count[2], kernel[2], stride[2], padding[2], ADAPTIVE)
    return d, h, w


@triton.jit
def first_window(i, size, count, reach, stride, padding, ADAPTIVE: tl.constexpr):
    """The first window that position i may be in; `reach` is a window's length, dilation included."""
    if ADAPTIVE:
        first = (i.to(tl.int64) * count // size).to(tl.int32)
    else:
        first = tl.maximum(i + padding - reach + stride, 0) // stride
    return first


@triton.jit
def last_window(i, size, count, stride, padding, ADAPTIVE: tl.constexpr):
    """One after the last window that position i may be in."""
    if ADAPTIVE:
        stop = (((i + 1).to(tl.int64) * count + size - 1) // size).to(tl.int32)
    else:
        stop = (i + padding) // stride + 1
    return tl.minimum(stop, count)


@triton.jit
def tap_place(k, LONGEST_H: tl.constexpr, LONGEST_W: tl.constexpr):
    """Depth, row and column of the k-th place of a window."""
    return k // (LONGEST_H * LONGEST_W), k // LONGEST_W % LONGEST_H, k % LONGEST_W


@triton.jit
def tap_inside(d, h, w, size, stop, ADAPTIVE: tl.constexpr):
    """Which of a depth, rows h and columns w are in the input of this size, and before the windows' ends
    where windows differ in length."""
    D, H, W = size
    stop_d, stop_h, stop_w = stop
    inside_h = (h >= 0) & (h < H) & (d >= 0) & (d < D)
    inside_w = (w >= 0) & (w < W)
    if ADAPTIVE:
        inside_h = inside_h & (h < stop_h) & (d < stop_d)
        inside_w = inside_w & (w < stop_w)
    return inside_h[:, None] & inside_w[None, :]


@triton.jit
def in_tile(d, h, w, step_d, step_h, step_w):
    """Offsets of a depth, rows and columns."""
    return d * step_d + (h * step_h)[:, None] + (w * step_w)[None, :]


@triton.jit
def in_plane(d, h, w, strides):
    """Offsets of a depth, rows and columns in a plane of a tensor [n, c, d, h, w]."""
    return in_tile(d, h, w, strides[2], strides[3], strides[4])


@triton.jit
def plane_start(plane, channels, strides):
    """Offset of a plane, counted over images and channels, of a tensor [n, c, d, h, w]."""
    return (plane // channels).to(tl.int64) * strides[0] + (plane % channels).to(tl.int64) * strides[1]


@triton.jit
def tile_place(depth, height, width, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr):
    """Of this program: the plane's number, depth, rows, columns, and the mask of those that exist."""
    tiles_w = tl.cdiv(width, BLOCK_W)
    tiles_h = tl.cdiv(height, BLOCK_H)
    program = tl.program_id(0)
    w = (program % tiles_w) * BLOCK_W + tl.arange(0, BLOCK_W)
    rest = program // tiles_w
    h = (rest % tiles_h) * BLOCK_H + tl.arange(0, BLOCK_H)
    rest = rest // tiles_h
    return rest // depth, rest % depth, h, w, (h < height)[:, None] & (w < width)[None, :]


@triton.jit
def column_phases(first, stride: tl.constexpr, BLOCK_W: tl.constexpr):
    """Columns first, first + 1, ... as stride * quotient + phase, where stride, a power of two, divides
    `first`: both without a division, so that a compiler sees that neighbours have nearly equal quotients."""
    quotient = first // stride + tl.arange(0, BLOCK_W // stride)
    phase = tl.arange(0, stride)
    quotients = tl.broadcast_to(quotient[:, None], (BLOCK_W // stride, stride))
    phases = tl.broadcast_to(phase[None, :], (BLOCK_W // stride, stride))
    return tl.reshape(quotients, (BLOCK_W,)), tl.reshape(phases, (BLOCK_W,))


@triton.jit
def gradient_tile(
    size,
    count_w,
    reach_w,
    pad_w,
    stride_w: tl.constexpr,
    ADAPTIVE: tl.constexpr,
    PHASES: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """Of this program of a backward kernel: plane, depth, rows and columns of the input with the mask of
    those that exist; the first window of each column (the last, if PHASES, counting down), one after the
    last, and the place of each column in that window."""
    D, H, W = size
    if PHASES:
        plane, d, h, shifted, keep = tile_place(D, H, W + pad_w, BLOCK_H, BLOCK_W)
        tiles_w = tl.cdiv(W + pad_w, BLOCK_W)
        first_w, phase = column_phases((tl.program_id(0) % tiles_w) * BLOCK_W, stride_w, BLOCK_W)
        w = shifted - pad_w
        keep = keep & (w >= 0)[None, :]
        stop_w = count_w
    else:
        plane, d, h, w, keep = tile_place(D, H, W, BLOCK_H, BLOCK_W)
        first_w = first_window(w, W, count_w, reach_w, stride_w, pad_w, ADAPTIVE)
        stop_w = last_window(w, W, count_w, stride_w, pad_w, ADAPTIVE)
        phase = w
    return plane, d, h, w, keep, first_w, stop_w, phase


@triton.jit
def column_window(k, first, stop, phase, reach, stride: tl.constexpr, PHASES: tl.constexpr):
    """The k-th window of each column of a `gradient_tile`, whether it exists, and whether the column is in
    it."""
    if PHASES:
        o = first - k
        inside = (o >= 0) & (o < stop)
        member = phase + k * stride < reach
    else:
        o = first + k
        inside = o < stop
        member = inside
    return o, inside, member
