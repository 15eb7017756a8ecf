"""Adaptive pooling by rows, for windows of several columns: the rows of a window are first combined column
by column, which reads memory in order, and then the columns of each window."""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl

from ..distinct import distinct
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, compute_dtype, signature
from .geometry import Windows, channels, strides
from .window import plane_start, window_start, window_stop

SHORTEST = 4
LONGEST_ROW = 1024
"""Windows are pooled by rows from this length on, along rows that fit into one program."""
PLANS: Plans[Plan] = Plans()
PARTS = tl.constexpr(True)
"""Windows are equal parts of the input, as far as they can be."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def window_rows(count_d, count_h, D, H):
    """Of this program: plane, depth, row, and the bounds of the window in depth and height."""
    rest = tl.program_id(0)
    h = rest % count_h
    rest = rest // count_h
    d = rest % count_d
    first_d = window_start(d, D, count_d, 1, 0, PARTS)
    stop_d = window_stop(d, D, count_d, 1, 1, 0, PARTS)
    first_h = window_start(h, H, count_h, 1, 0, PARTS)
    stop_h = window_stop(h, H, count_h, 1, 1, 0, PARTS)
    return rest // count_d, d, h, first_d, stop_d, first_h, stop_h


@triton.jit
def window_columns(w, W, count_w, BLOCK_O: tl.constexpr):
    """The windows along a row, their lengths, and which columns w are in each [BLOCK_O, columns]."""
    o = tl.arange(0, BLOCK_O)
    first = window_start(o, W, count_w, 1, 0, PARTS)
    stop = window_stop(o, W, count_w, 1, 1, 0, PARTS)
    return o, stop - first, (w[None, :] >= first[:, None]) & (w[None, :] < stop[:, None])


@triton.jit
def adaptive_average_kernel(
    out,
    source,
    channels,
    size,
    count,
    source_strides,
    out_strides,
    COMPUTE: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """One row of windows: out[plane, d, h, o] = mean of source over the window. `source` is [n, c, *size],
    `out` [n, c, *count]; sizes and counts are triples of depth, height and width, strides those of all
    five."""
    distinct(out, source)
    D, H, W = size
    count_d, count_h, count_w = count
    _, _, s_d, s_h, s_w = source_strides
    _, _, o_d, o_h, o_w = out_strides
    plane, d, h, first_d, stop_d, first_h, stop_h = window_rows(count_d, count_h, D, H)
    source += plane_start(plane, channels, source_strides)
    out += plane_start(plane, channels, out_strides) + d * o_d + h * o_h
    w = tl.arange(0, BLOCK_W)
    total = tl.zeros((BLOCK_W,), COMPUTE)
    for at_d in range(first_d, stop_d):
        for at_h in range(first_h, stop_h):
            total += tl.load(source + at_d * s_d + at_h * s_h + w * s_w, mask=w < W, other=0).to(COMPUTE)
    o, length, inside = window_columns(w, W, count_w, BLOCK_O)
    sums = tl.sum(tl.where(inside, total[None, :], 0), 1)
    elements = (stop_d - first_d) * (stop_h - first_h) * length
    tl.store(out + o * o_w, (sums / elements.to(COMPUTE)).to(out.dtype.element_ty), mask=o < count_w)


@triton.jit
def later_maximum(value, place, other, other_place):
    """The larger value with its place: the first of equal ones, the last of several NaN."""
    is_nan = value != value
    other_is_nan = other != other
    later = other_place > place
    equal = (other == value) & (other_place < place)
    better = tl.where(other_is_nan, (not is_nan) | later, (not is_nan) & ((other > value) | equal))
    return tl.where(better, other, value), tl.where(better, other_place, place)


@triton.jit
def adaptive_maximum_kernel(
    out,
    place_out,
    source,
    channels,
    size,
    count,
    source_strides,
    out_strides,
    COMPUTE: tl.constexpr,
    BLOCK_O: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """One row of windows: maxima of source over the windows, and their places in the plane. `source` is [n,
    c, *size], `out` and `place_out`, which have the same strides, are [n, c, *count]."""
    distinct(out, source)
    distinct(place_out, source)
    D, H, W = size
    count_d, count_h, count_w = count
    _, _, s_d, s_h, s_w = source_strides
    _, _, o_d, o_h, o_w = out_strides
    plane, d, h, first_d, stop_d, first_h, stop_h = window_rows(count_d, count_h, D, H)
    source += plane_start(plane, channels, source_strides)
    start = plane_start(plane, channels, out_strides) + d * o_d + h * o_h
    w = tl.arange(0, BLOCK_W)
    best = tl.full((BLOCK_W,), float("-inf"), COMPUTE)
    place = (first_d * H + first_h) * W + w
    for at_d in range(first_d, stop_d):
        for at_h in range(first_h, stop_h):
            row = source + at_d * s_d + at_h * s_h
            value = tl.load(row + w * s_w, mask=w < W, other=float("-inf")).to(COMPUTE)
            better = (value > best) | (value != value)
            best = tl.where(better, value, best)
            place = tl.where(better, (at_d * H + at_h) * W + w, place)
    o, _, inside = window_columns(w, W, count_w, BLOCK_O)
    value = tl.where(inside, best[None, :], float("-inf"))
    at = tl.where(inside, place[None, :], 0x7FFFFFFF)
    value, at = tl.reduce((value, at), 1, later_maximum)
    tl.store(out + start + o * o_w, value.to(out.dtype.element_ty), mask=o < count_w)
    tl.store(place_out + start + o * o_w, at.to(tl.int64), mask=o < count_w)


# ---- launch ---------------------------------------------------------------------------------------


def rows_fit(windows: Windows) -> bool:
    """Whether windows are long enough along rows that are short enough."""
    return windows.longest()[2] >= SHORTEST and windows.size[2] <= LONGEST_ROW and 0 not in windows.count


def _plan(
    kernel: Any, out: torch.Tensor, source: torch.Tensor, rank: int, windows: Windows, label: str
) -> Plan:
    key = (kernel, signature(source, out), windows)
    plan = PLANS.get(key)
    if plan is None:
        constants = {
            "COMPUTE": TRITON_DTYPES[compute_dtype(source.dtype)],
            "BLOCK_O": power_of_two(windows.count[2]),
            "BLOCK_W": power_of_two(windows.size[2]),
        }
        sizes = (
            channels(source, rank),
            windows.size,
            windows.count,
            strides(source, rank),
            strides(out, rank),
        )
        programs = math.prod(source.shape[:-rank]) * windows.count[0] * windows.count[1]
        plan = PLANS.remember(key, Plan(kernel, programs, sizes, constants, label=label))
    return plan


def adaptive_average(
    out: torch.Tensor, source: torch.Tensor, rank: int, windows: Windows, label: str
) -> torch.Tensor:
    """Means of the windows into `out`."""
    _plan(adaptive_average_kernel, out, source, rank, windows, label).launch(out, source)
    return out


def adaptive_maximum(
    out: torch.Tensor, places: torch.Tensor, source: torch.Tensor, rank: int, windows: Windows, label: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima of the windows into `out`, and where in its plane each is into `places`."""
    _plan(adaptive_maximum_kernel, out, source, rank, windows, label).launch(out, places, source)
    return out, places
