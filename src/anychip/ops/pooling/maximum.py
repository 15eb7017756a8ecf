"""Maximum pooling, ordinary and adaptive, with the places of the maxima, forward and backward. Backward
each input element gathers from the windows that it is in and whose maximum it was."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

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
from .maximum_kernels import maximum_gradient_kernel, maximum_kernel

PLANS: Plans[Plan] = Plans()

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
