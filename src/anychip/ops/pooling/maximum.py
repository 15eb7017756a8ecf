"""Maximum pooling, ordinary and adaptive, with the places of the maxima, forward and backward. Backward
each input element gathers from the windows that it is in and whose maximum it was."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..launch import TRITON_DTYPES, Plan, Plans, compute_dtype, signature
from ..memory.copy import copy_
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, Samples, register
from ..samples import tensor
from .window import (
    TILES,
    UNROLLED_TAPS,
    Windows,
    adaptive,
    blocks,
    channels,
    first_window,
    last_window,
    regular,
    result_for,
    strides,
    tile_place,
    window_start,
    window_stop,
)

PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def larger_at(
    best, place, source, d, h, w, D, H, W, stop_d, stop_h, stop_w, s_d, s_h, s_w, keep,
    FLOATING: tl.constexpr,
):  # fmt: skip
    """The maximum so far and its place, after source[d, h, w]; a NaN is larger than anything."""
    inside_h = (h >= 0) & (h < H) & (h < stop_h) & (d >= 0) & (d < D) & (d < stop_d)
    inside_w = (w >= 0) & (w < W) & (w < stop_w)
    mask = inside_h[:, None] & inside_w[None, :] & keep
    at = d * s_d + (h * s_h)[:, None] + (w * s_w)[None, :]
    value = tl.load(source + at, mask=mask, other=0).to(best.dtype)
    better = value > best
    if FLOATING:
        better = better | (value != value)
    better = (better | (place < 0)) & mask
    here = (d * H + h)[:, None] * W + w[None, :]
    return tl.where(better, value, best), tl.where(better, here, place)


@triton.jit
def maximum_kernel(
    out, place_out, source, channels, D, H, W, count_d, count_h, count_w, reach_d, reach_h, reach_w,
    stride_d, stride_h, stride_w, pad_d, pad_h, pad_w, gap_d, gap_h, gap_w,
    s_n: tl.int64, s_c: tl.int64, s_d, s_h, s_w, o_n: tl.int64, o_c: tl.int64, o_d, o_h, o_w,
    LONGEST_D: tl.constexpr, LONGEST_H: tl.constexpr, LONGEST_W: tl.constexpr, UNROLL: tl.constexpr,
    ADAPTIVE: tl.constexpr, COMPUTE: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """The first maximum over each window, and its place in its plane."""
    plane, d, h, w, keep = tile_place(count_d, count_h, count_w, BLOCK_H, BLOCK_W)
    source += (plane // channels).to(tl.int64) * s_n + (plane % channels).to(tl.int64) * s_c
    start_d = window_start(d, D, count_d, stride_d, pad_d, ADAPTIVE)
    start_h = window_start(h, H, count_h, stride_h, pad_h, ADAPTIVE)
    start_w = window_start(w, W, count_w, stride_w, pad_w, ADAPTIVE)
    stop_d = window_stop(d, D, count_d, reach_d, stride_d, pad_d, ADAPTIVE)
    stop_h = window_stop(h, H, count_h, reach_h, stride_h, pad_h, ADAPTIVE)
    stop_w = window_stop(w, W, count_w, reach_w, stride_w, pad_w, ADAPTIVE)
    best = tl.zeros((BLOCK_H, BLOCK_W), COMPUTE)
    place = tl.full((BLOCK_H, BLOCK_W), -1, tl.int32)
    if UNROLL:
        for k_d in tl.static_range(LONGEST_D):
            for k_h in tl.static_range(LONGEST_H):
                for k_w in tl.static_range(LONGEST_W):
                    best, place = larger_at(
                        best, place, source, start_d + k_d * gap_d, start_h + k_h * gap_h,
                        start_w + k_w * gap_w, D, H, W, stop_d, stop_h, stop_w, s_d, s_h, s_w, keep,
                        COMPUTE.is_floating(),
                    )  # fmt: skip
    else:
        for k_d in range(LONGEST_D):
            for k_h in range(LONGEST_H):
                for k_w in range(LONGEST_W):
                    best, place = larger_at(
                        best, place, source, start_d + k_d * gap_d, start_h + k_h * gap_h,
                        start_w + k_w * gap_w, D, H, W, stop_d, stop_h, stop_w, s_d, s_h, s_w, keep,
                        COMPUTE.is_floating(),
                    )  # fmt: skip
    start = (plane // channels).to(tl.int64) * o_n + (plane % channels).to(tl.int64) * o_c
    at = d * o_d + (h * o_h)[:, None] + (w * o_w)[None, :]
    tl.store(out + start + at, best.to(out.dtype.element_ty), mask=keep)
    tl.store(place_out + start + at, place.to(tl.int64), mask=keep)


@triton.jit
def of_maximum(
    gradient, places, here, o_d, o_h, o_w, stop_d, stop_h, stop_w, g_d, g_h, g_w, i_d, i_h, i_w, keep,
    COMPUTE: tl.constexpr,
):  # fmt: skip
    """gradient[o] where the maximum of window o is at `here`, else zero."""
    inside_h = (o_h < stop_h) & (o_d < stop_d)
    mask = inside_h[:, None] & (o_w < stop_w)[None, :] & keep
    place = tl.load(places + (o_d * i_d + (o_h * i_h)[:, None] + (o_w * i_w)[None, :]), mask=mask, other=-1)
    at = o_d * g_d + (o_h * g_h)[:, None] + (o_w * g_w)[None, :]
    return tl.load(gradient + at, mask=mask & (place.to(tl.int32) == here), other=0).to(COMPUTE)


@triton.jit
def maximum_gradient_kernel(
    out, gradient, places, channels, D, H, W, count_d, count_h, count_w, reach_d, reach_h, reach_w,
    stride_d, stride_h, stride_w, pad_d, pad_h, pad_w,
    g_n: tl.int64, g_c: tl.int64, g_d, g_h, g_w, i_n: tl.int64, i_c: tl.int64, i_d, i_h, i_w,
    o_n: tl.int64, o_c: tl.int64, o_d, o_h, o_w,
    MOST_D: tl.constexpr, MOST_H: tl.constexpr, MOST_W: tl.constexpr, UNROLL: tl.constexpr,
    ADAPTIVE: tl.constexpr, COMPUTE: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_W: tl.constexpr,
):  # fmt: skip
    """out[plane, i] = sum of the gradients of the windows whose maximum is i."""
    plane, d, h, w, keep = tile_place(D, H, W, BLOCK_H, BLOCK_W)
    image, channel = (plane // channels).to(tl.int64), (plane % channels).to(tl.int64)
    gradient += image * g_n + channel * g_c
    places += image * i_n + channel * i_c
    first_d = first_window(d, D, count_d, reach_d, stride_d, pad_d, ADAPTIVE)
    first_h = first_window(h, H, count_h, reach_h, stride_h, pad_h, ADAPTIVE)
    first_w = first_window(w, W, count_w, reach_w, stride_w, pad_w, ADAPTIVE)
    stop_d = last_window(d, D, count_d, stride_d, pad_d, ADAPTIVE)
    stop_h = last_window(h, H, count_h, stride_h, pad_h, ADAPTIVE)
    stop_w = last_window(w, W, count_w, stride_w, pad_w, ADAPTIVE)
    here = (d * H + h)[:, None] * W + w[None, :]
    total = tl.zeros((BLOCK_H, BLOCK_W), COMPUTE)
    if UNROLL:
        for k_d in tl.static_range(MOST_D):
            for k_h in tl.static_range(MOST_H):
                for k_w in tl.static_range(MOST_W):
                    total += of_maximum(
                        gradient, places, here, first_d + k_d, first_h + k_h, first_w + k_w,
                        stop_d, stop_h, stop_w, g_d, g_h, g_w, i_d, i_h, i_w, keep, COMPUTE,
                    )  # fmt: skip
    else:
        for k_d in range(MOST_D):
            for k_h in range(MOST_H):
                for k_w in range(MOST_W):
                    total += of_maximum(
                        gradient, places, here, first_d + k_d, first_h + k_h, first_w + k_w,
                        stop_d, stop_h, stop_w, g_d, g_h, g_w, i_d, i_h, i_w, keep, COMPUTE,
                    )  # fmt: skip
    out += image * o_n + channel * o_c
    at = d * o_d + (h * o_h)[:, None] + (w * o_w)[None, :]
    tl.store(out + at, total.to(out.dtype.element_ty), mask=keep)


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
                channels(x, rank), *windows.size, *windows.count, *windows.reach(), *windows.stride,
                *windows.padding, *windows.dilation, *strides(x, rank), *strides(out, rank),
            ),
            {
                **dict(zip(("LONGEST_D", "LONGEST_H", "LONGEST_W"), taps, strict=True)),
                "UNROLL": math.prod(taps) <= UNROLLED_TAPS, "ADAPTIVE": windows.adaptive,
                "COMPUTE": TRITON_DTYPES[compute_dtype(x.dtype)], **tile,
            },
            label=label,
        )  # fmt: skip
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
        programs, tile = blocks(out, rank, windows.size)
        taps = windows.most()
        plan = Plan(
            maximum_gradient_kernel,
            programs,
            (
                channels(x, rank), *windows.size, *windows.count, *windows.reach(), *windows.stride,
                *windows.padding, *strides(gradient, rank), *strides(places, rank), *strides(out, rank),
            ),
            {
                **dict(zip(("MOST_D", "MOST_H", "MOST_W"), taps, strict=True)),
                "UNROLL": math.prod(taps) <= UNROLLED_TAPS, "ADAPTIVE": windows.adaptive,
                "COMPUTE": TRITON_DTYPES[compute_dtype(x.dtype)], **tile,
            },
            label=label,
        )  # fmt: skip
        PLANS.remember(key, plan)
    plan.launch(out, gradient, places)
    return out


# ---- operators ------------------------------------------------------------------------------------


def _deliver(result: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return copy_(out, result)


def maximum_pool(rank: int) -> Any:
    """max_pool2d_with_indices or max_pool3d_with_indices."""
    name = f"max_pool{rank}d"

    def pool(
        self: torch.Tensor, kernel_size: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1,
        ceil_mode: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        windows = regular(name, self, rank, kernel_size, stride, padding, dilation, ceil_mode)
        return _forward(self, rank, windows, name)

    return pool


def maximum_pool_backward(rank: int) -> Any:
    """The backward operator of `maximum_pool`."""
    name = f"max_pool{rank}d_backward"

    def pool_backward(
        grad_output: torch.Tensor, self: torch.Tensor, kernel_size: Any, stride: Any, padding: Any,
        dilation: Any, ceil_mode: bool, indices: torch.Tensor, *, out: Any = None,
    ) -> torch.Tensor:  # fmt: skip
        windows = regular(name, self, rank, kernel_size, stride, padding, dilation, ceil_mode)
        return _deliver(_backward(grad_output, self, indices, rank, windows, name), out)

    return pool_backward


def adaptive_maximum_pool(rank: int) -> Any:
    """adaptive_max_pool2d or adaptive_max_pool3d."""
    name = f"adaptive_max_pool{rank}d"

    def pool(self: torch.Tensor, output_size: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return _forward(self, rank, adaptive(name, self, rank, output_size), name)

    return pool


def adaptive_maximum_pool_backward(rank: int) -> Any:
    """The backward operator of `adaptive_maximum_pool`."""
    name = f"adaptive_max_pool{rank}d_backward"

    def pool_backward(
        grad_output: torch.Tensor, self: torch.Tensor, indices: torch.Tensor, *, out: Any = None
    ) -> torch.Tensor:
        windows = adaptive(name, self, rank, grad_output.shape[-rank:])
        return _deliver(_backward(grad_output, self, indices, rank, windows, name), out)

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
        domain="pooling",
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
        domain="pooling",
        overloads=tuple(
            overload
            for rank in (2, 3)
            for overload in (
                Overload(
                    f"adaptive_max_pool{rank}d", adaptive_maximum_pool(rank), _adaptive_samples(rank),
                    takes_out=False,
                ),
                Overload(
                    f"adaptive_max_pool{rank}d_backward", adaptive_maximum_pool_backward(rank),
                    _adaptive_gradients(rank),
                ),
            )
        ),
        kernels=(maximum_kernel, maximum_gradient_kernel),
        dtypes=FLOATING,
        tiles=TILES,
    )
)  # fmt: skip
