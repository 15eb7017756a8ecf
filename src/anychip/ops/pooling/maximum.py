"""Maximum pooling, ordinary and adaptive, with the places of the maxima, forward and backward. Backward
each input element gathers from the windows that it is in and whose maximum it was."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..distinct import distinct
from ..errors import ArgumentError, NotServed
from ..launching import TRITON_DTYPES, Plan, Plans, compute_dtype, signature
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, Samples, register
from ..samples import tensor
from .adaptive import adaptive_maximum, adaptive_maximum_kernel, rows_fit
from .geometry import (
    TILES,
    UNROLLED_TAPS,
    Windows,
    adaptive,
    blocks,
    channels,
    deliver,
    regular,
    result_for,
    strides,
)
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

PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


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


# ---- launch ---------------------------------------------------------------------------------------


def _forward(x: torch.Tensor, rank: int, windows: Windows, label: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima and their places."""
    if x.dtype not in (*FLOATING, *INTEGRAL):
        raise NotServed(label, f"dtype {x.dtype} is not served")
    out = result_for(x, rank, windows.count, x.dtype)
    places = result_for(x, rank, windows.count, torch.int64)
    key = (signature(x), windows)
    plan = PLANS.get(key)
    if plan is None:
        programs, tile = blocks(out, rank, windows.count)
        taps = windows.longest()
        plan = Plan(
            maximum_kernel,
            programs,
            (
                channels(x, rank),
                windows.size,
                windows.count,
                windows.reach(),
                windows.stride[0],
                windows.padding,
                windows.dilation,
                strides(x, rank),
                strides(out, rank),
            ),
            {
                **dict(zip(("LONGEST_D", "LONGEST_H", "LONGEST_W"), taps, strict=True)),
                "UNROLL": math.prod(taps) <= UNROLLED_TAPS,
                **windows.steps,
                "COMPUTE": TRITON_DTYPES[compute_dtype(x.dtype)],
                **tile,
            },
            label=label,
        )
        PLANS.remember(key, plan)
    plan.launch(out, places, x)
    return out, places


def _backward(
    gradient: torch.Tensor, x: torch.Tensor, places: torch.Tensor, rank: int, windows: Windows, label: str
) -> torch.Tensor:
    """Gradient of the input of `_forward`."""
    if x.dtype not in FLOATING:
        raise NotServed(label, f"dtype {x.dtype} is not served")
    if gradient.dtype != x.dtype:
        raise ArgumentError(f"{label}: expected dtype {x.dtype} for grad_output but got {gradient.dtype}")
    wanted = (*x.shape[:-rank], *windows.count[3 - rank :])
    if tuple(gradient.shape) != wanted or tuple(places.shape) != wanted:
        raise ArgumentError(
            f"{label}: Expected gradient and indices of sizes {list(wanted)}, but got {list(gradient.shape)} "
            f"and {list(places.shape)}"
        )
    out = result_for(x, rank, windows.size, x.dtype)
    key = (signature(gradient, places, out), windows)
    plan = PLANS.get(key)
    if plan is None:
        margin = windows.padding[2] if windows.has_phases else 0
        programs, tile = blocks(out, rank, windows.size, margin)
        taps = windows.most()
        plan = Plan(
            maximum_gradient_kernel,
            programs,
            (
                channels(x, rank),
                windows.size,
                windows.count,
                windows.reach(),
                windows.stride[0],
                windows.padding,
                strides(gradient, rank),
                strides(places, rank),
                strides(out, rank),
            ),
            {
                "PHASES": windows.has_phases,
                **dict(zip(("MOST_D", "MOST_H", "MOST_W"), taps, strict=True)),
                "UNROLL": math.prod(taps) <= UNROLLED_TAPS,
                **windows.steps,
                "COMPUTE": TRITON_DTYPES[compute_dtype(x.dtype)],
                **tile,
            },
            label=label,
        )
        PLANS.remember(key, plan)
    plan.launch(out, gradient, places)
    return out


# ---- operators ------------------------------------------------------------------------------------


def maximum_pool(rank: int) -> Any:
    """max_pool2d_with_indices or max_pool3d_with_indices."""
    name = f"max_pool{rank}d"

    def pool(
        self: torch.Tensor,
        kernel_size: Any,
        stride: Any = (),
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        windows = regular(name, self, rank, kernel_size, stride, padding, dilation, ceil_mode)
        return _forward(self, rank, windows, name)

    return pool


def maximum_pool_backward(rank: int) -> Any:
    """The backward operator of `maximum_pool`."""
    name = f"max_pool{rank}d_backward"

    def pool_backward(
        grad_output: torch.Tensor,
        self: torch.Tensor,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        ceil_mode: bool,
        indices: torch.Tensor,
        *,
        out: Any = None,
    ) -> torch.Tensor:
        windows = regular(name, self, rank, kernel_size, stride, padding, dilation, ceil_mode)
        return deliver(_backward(grad_output, self, indices, rank, windows, name), out)

    return pool_backward


def adaptive_maximum_pool(rank: int) -> Any:
    """adaptive_max_pool2d or adaptive_max_pool3d."""
    name = f"adaptive_max_pool{rank}d"

    def pool(self: torch.Tensor, output_size: Any) -> tuple[torch.Tensor, torch.Tensor]:
        windows = adaptive(name, self, rank, output_size)
        if self.dtype in FLOATING and rows_fit(windows):
            values = result_for(self, rank, windows.count, self.dtype)
            places = result_for(self, rank, windows.count, torch.int64)
            return adaptive_maximum(values, places, self, rank, windows, name)
        return _forward(self, rank, windows.dividing or windows, name)

    return pool


def adaptive_maximum_pool_backward(rank: int) -> Any:
    """The backward operator of `adaptive_maximum_pool`."""
    name = f"adaptive_max_pool{rank}d_backward"

    def pool_backward(
        grad_output: torch.Tensor, self: torch.Tensor, indices: torch.Tensor, *, out: Any = None
    ) -> torch.Tensor:
        windows = adaptive(name, self, rank, grad_output.shape[-rank:])
        windows = windows.dividing or windows
        return deliver(_backward(grad_output, self, indices, rank, windows, name), out)

    return pool_backward


# ---- record ---------------------------------------------------------------------------------------

SHAPES = {2: (2, 3, 9, 10), 3: (1, 2, 5, 6, 7)}
SIZES = {2: ([3, 4], [9, 10], [11, 3]), 3: ([3, 4, 2],)}


def _cases(rank: int, dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, tuple[Any, ...]]]:
    x = tensor(SHAPES[rank], dtype)
    yield x, ([3], [2], [1], [1], False)
    if dtype != torch.float32:
        return
    yield x, ([2], [], [0], [1], True)
    yield x[0], ([3], [1], [1], [2], False)
    layout = torch.channels_last if rank == 2 else torch.channels_last_3d
    yield x.contiguous(memory_format=layout), ([3], [2], [1], [1], True)
    spoiled = tensor(SHAPES[rank], dtype, seed=1)
    spoiled[..., 2] = math.nan
    spoiled[..., 5:] = -math.inf
    yield spoiled, ([2], [2], [0], [1], False)


def _samples(rank: int) -> Samples:
    return lambda dtype: [Sample((x, *rest)) for x, rest in _cases(rank, dtype)]


def _gradients(rank: int) -> Samples:
    forward = getattr(torch.ops.aten, f"max_pool{rank}d_with_indices")

    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for x, rest in _cases(rank, dtype):
            values, places = forward(x, *rest)
            yield Sample((tensor(values.shape, dtype, seed=1), x, *rest, places))

    return draw


def _sizes(rank: int, dtype: torch.dtype) -> Iterable[list[int]]:
    return SIZES[rank] if dtype == torch.float32 else SIZES[rank][:1]


def _adaptive_samples(rank: int) -> Samples:
    return lambda dtype: [Sample((tensor(SHAPES[rank], dtype), size)) for size in _sizes(rank, dtype)]


def _adaptive_gradients(rank: int) -> Samples:
    forward = getattr(torch.ops.aten, f"adaptive_max_pool{rank}d")

    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for size in _sizes(rank, dtype):
            x = tensor(SHAPES[rank], dtype)
            values, places = forward(x, size)
            yield Sample((tensor(values.shape, dtype, seed=1), x, places))

    return draw


def _stem(dtype: torch.dtype) -> Sample:
    return Sample((tensor((8, 64, 112, 112), dtype), [3, 3], [2, 2], [1, 1], [1, 1], False))


def _stem_gradient(dtype: torch.dtype) -> Sample:
    x, *rest = _stem(dtype).arguments
    places = torch.ops.aten.max_pool2d_with_indices(x, *rest)[1]
    return Sample((tensor((8, 64, 56, 56), dtype), x, *rest, places))


register(
    Operator(
        name="max_pool",
        overloads=tuple(
            overload
            for rank in (2, 3)
            for overload in (
                Overload(
                    f"max_pool{rank}d_with_indices", maximum_pool(rank), _samples(rank), takes_out=False
                ),
                Overload(
                    f"max_pool{rank}d_with_indices_backward", maximum_pool_backward(rank), _gradients(rank)
                ),
            )
        ),
        kernels=(maximum_kernel, maximum_gradient_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(
            Benchmark("max_pool2d_with_indices", _stem),
            Benchmark("max_pool2d_with_indices_backward", _stem_gradient),
        ),
    )
)
register(
    Operator(
        name="adaptive_max_pool",
        overloads=tuple(
            overload
            for rank in (2, 3)
            for overload in (
                Overload(
                    f"adaptive_max_pool{rank}d",
                    adaptive_maximum_pool(rank),
                    _adaptive_samples(rank),
                    takes_out=False,
                ),
                Overload(
                    f"adaptive_max_pool{rank}d_backward",
                    adaptive_maximum_pool_backward(rank),
                    _adaptive_gradients(rank),
                ),
            )
        ),
        kernels=(maximum_kernel, maximum_gradient_kernel, adaptive_maximum_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(
            Benchmark("adaptive_max_pool2d", lambda dtype: Sample((tensor((8, 64, 56, 56), dtype), [7, 7]))),
        ),
    )
)
