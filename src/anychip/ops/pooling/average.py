"""Average pooling, ordinary and adaptive, forward and backward. Backward each input element gathers its
share of the windows that it is in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..launching import TRITON_DTYPES, Plan, Plans, compute_dtype, signature
from ..reduce.sums import MEAN
from ..reduction import reduce_kernel
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, Samples, register
from ..samples import tensor
from .adaptive import adaptive_average, adaptive_average_kernel, rows_fit
from .average_kernels import average_gradient_kernel, average_kernel
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

PLANS: Plans[Plan] = Plans()

# ---- launch ---------------------------------------------------------------------------------------


def _run(
    backward: bool,
    out: torch.Tensor,
    source: torch.Tensor,
    rank: int,
    windows: Windows,
    padded: bool,
    override: int | None,
    label: str,
) -> torch.Tensor:
    """One launch over the elements of `out`, which is the input's gradient if `backward`."""
    key = (backward, signature(source, out), windows, padded, override)
    plan = PLANS.get(key)
    if plan is None:
        if override is None:
            override = windows.volume(padded)
        constants: dict[str, Any] = {}
        margin = 0
        if backward:
            constants["PHASES"] = windows.has_phases
            margin = windows.padding[2] if windows.has_phases else 0
        programs, tile = blocks(out, rank, windows.size if backward else windows.count, margin)
        taps = windows.most() if backward else windows.longest()
        names = ("MOST_D", "MOST_H", "MOST_W") if backward else ("LONGEST_D", "LONGEST_H", "LONGEST_W")
        plan = Plan(
            average_gradient_kernel if backward else average_kernel,
            programs,
            (
                channels(out, rank),
                windows.size,
                windows.count,
                windows.kernel,
                windows.stride[0],
                windows.padding,
                override or 0,
                strides(source, rank),
                strides(out, rank),
            ),
            {
                **constants,
                **dict(zip(names, taps, strict=True)),
                **windows.steps,
                "UNROLL": math.prod(taps) <= UNROLLED_TAPS,
                "PADDED": padded,
                "OVERRIDE": override is not None,
                "COMPUTE": TRITON_DTYPES[compute_dtype(out.dtype)],
                **tile,
            },
            label=label,
        )
        PLANS.remember(key, plan)
    plan.launch(out, source)
    return out


def sums_of_parts(out: torch.Tensor, source: torch.Tensor, rank: int, label: str) -> torch.Tensor:
    """Into `out`, the sums of the equal parts into which it divides `source` along the last dimensions."""
    ones = (1,) * (3 - rank)
    size, count = (*ones, *source.shape[-rank:]), (*ones, *out.shape[-rank:])
    part = tuple(n // c for n, c in zip(size, count, strict=True))
    windows = Windows(size, count, part, part, (0, 0, 0), (1, 1, 1), False)
    return _run(False, out, source, rank, windows, False, 1, label)


def _check(name: str, x: torch.Tensor, override: int | None = None) -> None:
    if x.dtype not in (*FLOATING, torch.int64):
        raise NotServed(name, f"dtype {x.dtype} is not served")
    if override == 0:
        raise ArgumentError("divisor must be not zero")


def _forward(rank: int) -> Any:
    name = f"avg_pool{rank}d"

    def average_pool(
        self: torch.Tensor,
        kernel_size: Any,
        stride: Any = (),
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        out: Any = None,
    ) -> torch.Tensor:
        _check(name, self, divisor_override)
        windows = regular(name, self, rank, kernel_size, stride, padding, 1, ceil_mode)
        result = result_for(self, rank, windows.count, self.dtype)
        return deliver(
            _run(False, result, self, rank, windows, count_include_pad, divisor_override, name), out
        )

    return average_pool


def _backward(rank: int) -> Any:
    name = f"avg_pool{rank}d_backward"

    def average_pool_backward(
        grad_output: torch.Tensor,
        self: torch.Tensor,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        ceil_mode: bool,
        count_include_pad: bool,
        divisor_override: int | None,
        *,
        out: Any = None,
    ) -> torch.Tensor:
        _check(name, self, divisor_override)
        windows = regular(name, self, rank, kernel_size, stride, padding, 1, ceil_mode)
        _same_shape(name, grad_output, self, rank, windows)
        result = result_for(self, rank, windows.size, self.dtype)
        return deliver(
            _run(True, result, grad_output, rank, windows, count_include_pad, divisor_override, name), out
        )

    return average_pool_backward


def _same_shape(name: str, gradient: torch.Tensor, input: torch.Tensor, rank: int, windows: Windows) -> None:
    wanted = (*input.shape[:-rank], *windows.count[3 - rank :])
    if tuple(gradient.shape) != wanted:
        raise ArgumentError(
            f"{name}: Expected a gradient of sizes {list(wanted)}, but got {list(gradient.shape)}"
        )


def _adaptive_forward(rank: int) -> Any:
    name = f"adaptive_avg_pool{rank}d"

    def adaptive_average_pool(self: torch.Tensor, output_size: Any, *, out: Any = None) -> torch.Tensor:
        _check(name, self)
        windows = adaptive(name, self, rank, output_size)
        equal = windows.dividing
        if equal is not None and self.is_contiguous() and self.dtype in FLOATING:
            return deliver(_mean_of_parts(self, rank, windows), out)
        result = result_for(self, rank, windows.count, self.dtype)
        if self.dtype in FLOATING and rows_fit(windows):
            return deliver(adaptive_average(result, self, rank, windows, name), out)
        return deliver(_run(False, result, self, rank, equal or windows, False, None, name), out)

    return adaptive_average_pool


def adaptive_average_pool3d_backward_into(
    grad_output: torch.Tensor, self: torch.Tensor, *, grad_input: torch.Tensor
) -> torch.Tensor:
    """The backward operator of three dimensions, into a given tensor."""
    return _adaptive_backward(3)(grad_output, self, out=grad_input)


def _mean_of_parts(x: torch.Tensor, rank: int, windows: Windows) -> torch.Tensor:
    """Adaptive pooling into equal parts is a mean over dimensions of a view."""
    parts = zip(windows.size[3 - rank :], windows.count[3 - rank :], strict=True)
    lead = x.ndim - rank
    view = x.view(*x.shape[:lead], *(number for n, c in parts for number in (c, n // c)))
    dims = [lead + 2 * k + 1 for k in range(rank)]
    return MEAN(view, dims, False, compute=compute_dtype(x.dtype), result=x.dtype)


def _adaptive_backward(rank: int) -> Any:
    name = f"adaptive_avg_pool{rank}d_backward"

    def adaptive_average_pool_backward(
        grad_output: torch.Tensor, self: torch.Tensor, *, out: Any = None
    ) -> torch.Tensor:
        _check(name, self)
        if grad_output.dtype != self.dtype:
            raise ArgumentError(f"expected dtype {self.dtype} for grad_output but got {grad_output.dtype}")
        windows = adaptive(name, self, rank, grad_output.shape[-rank:])
        _same_shape(name, grad_output, self, rank, windows)
        result = result_for(self, rank, windows.size, self.dtype)
        windows = windows.dividing or windows
        return deliver(_run(True, result, grad_output, rank, windows, False, None, name), out)

    return adaptive_average_pool_backward


# ---- record ---------------------------------------------------------------------------------------

SHAPES = {2: (2, 3, 9, 10), 3: (1, 2, 5, 6, 7)}


def _cases(rank: int, dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, tuple[Any, ...]]]:
    x = tensor(SHAPES[rank], dtype)
    yield x, ([3], [2], [1], False, True, None)
    if dtype != torch.float32:
        return
    yield x, ([2], [], [0], True, True, None)
    yield x[0], ([3], [2], [1], True, False, None)
    yield x, ([3], [1], [0], False, False, 5)
    yield x, ([4], [3], [2], True, True, None)
    layout = torch.channels_last if rank == 2 else torch.channels_last_3d
    yield x.contiguous(memory_format=layout), ([3], [2], [1], False, True, None)


def _samples(rank: int) -> Samples:
    return lambda dtype: [Sample((x, *rest)) for x, rest in _cases(rank, dtype)]


def _gradients(rank: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for x, rest in _cases(rank, dtype):
            kernel, stride, padding, ceil_mode = rest[:4]
            counts = regular("", x, rank, kernel, stride, padding, 1, ceil_mode).count[3 - rank :]
            yield Sample((tensor((*x.shape[:-rank], *counts), dtype, seed=1), x, *rest))

    return draw


SIZES = {2: ([3, 4], [1, 1], [9, 10], [11, 3]), 3: ([3, 4, 2], [1, 1, 1], [5, 7, 7])}


def _sizes(rank: int, dtype: torch.dtype) -> Iterable[list[int]]:
    return SIZES[rank] if dtype == torch.float32 else SIZES[rank][:1]


def _adaptive_samples(rank: int) -> Samples:
    return lambda dtype: [Sample((tensor(SHAPES[rank], dtype), size)) for size in _sizes(rank, dtype)]


def _adaptive_into(rank: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        x, size = tensor(SHAPES[rank], dtype), SIZES[rank][0]
        yield Sample((x, size), {"out": torch.empty((*x.shape[:2], *size), dtype=dtype)})

    return draw


def _adaptive_gradients(rank: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        for size in _sizes(rank, dtype):
            x = tensor(SHAPES[rank], dtype)
            yield Sample((tensor((*x.shape[:2], *size), dtype, seed=1), x))

    return draw


def _adaptive_gradients_into(dtype: torch.dtype) -> Iterable[Sample]:
    for gradient, x in (sample.arguments for sample in _adaptive_gradients(3)(dtype)):
        yield Sample((gradient, x), {"grad_input": torch.empty_like(x)})


def _stem(dtype: torch.dtype) -> Sample:
    return Sample((tensor((8, 64, 112, 112), dtype), [3, 3], [2, 2], [1, 1], False, True, None))


def _stem_gradient(dtype: torch.dtype) -> Sample:
    x, *rest = _stem(dtype).arguments
    return Sample((tensor((8, 64, 56, 56), dtype), x, *rest))


register(
    Operator(
        name="avg_pool",
        overloads=tuple(
            overload
            for rank in (2, 3)
            for overload in (
                Overload(f"avg_pool{rank}d", _forward(rank), _samples(rank)),
                Overload(f"avg_pool{rank}d_backward", _backward(rank), _gradients(rank)),
            )
        ),
        kernels=(average_kernel, average_gradient_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("avg_pool2d", _stem), Benchmark("avg_pool2d_backward", _stem_gradient)),
    )
)
register(
    Operator(
        name="adaptive_avg_pool",
        overloads=(
            Overload(
                "adaptive_avg_pool3d_backward.grad_input",
                adaptive_average_pool3d_backward_into,
                _adaptive_gradients_into,
                takes_out=False,
            ),
            *(
                overload
                for rank in (2, 3)
                for overload in (
                    Overload(f"_adaptive_avg_pool{rank}d", _adaptive_forward(rank), _adaptive_samples(rank)),
                    Overload(f"adaptive_avg_pool{rank}d.out", _adaptive_forward(rank), _adaptive_into(rank)),
                    Overload(
                        f"_adaptive_avg_pool{rank}d_backward",
                        _adaptive_backward(rank),
                        _adaptive_gradients(rank),
                    ),
                )
            ),
        ),
        kernels=(average_kernel, average_gradient_kernel, adaptive_average_kernel, reduce_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(
            Benchmark("_adaptive_avg_pool2d", lambda dtype: Sample((tensor((8, 64, 56, 56), dtype), [7, 7]))),
            Benchmark("_adaptive_avg_pool2d", lambda dtype: Sample((tensor((8, 64, 56, 56), dtype), [5, 5]))),
        ),
    )
)
