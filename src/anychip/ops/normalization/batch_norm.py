"""Batch normalisation, training and inference, with its running statistics and its backward operators.
Ioffe and Szegedy, arXiv:1502.03167. A channel is `outer` runs of `inner` elements, so that one kernel
serves [n, c, ...] in rows of pixels and channels-last layouts, where neighbouring channels are one tile."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, scalar_bits, signature
from ..memory.copy import COPY
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .batch_norm_kernels import (
    batch_norm_input_gradient_kernel,
    batch_norm_kernel,
    batch_norm_sums_kernel,
    batch_statistics_kernel,
)

TILES = Tiles(simt={"elements": 1024, "channels": 32}, simd={"elements": 1024, "channels": 64})
PLANS: Plans[Plan] = Plans()

# ---- launch ---------------------------------------------------------------------------------------


class ReadableSource(NamedTuple):
    """A source in a layout that the kernels read, and how: sizes with strides, and blocks."""

    source: torch.Tensor
    format: Any
    sizes: tuple[int, ...]
    blocks: dict[str, Any]
    blocks_of_channels: int
    tiles: int


def _layout(name: str, input: torch.Tensor) -> ReadableSource:
    """Channels-last tensors are read as they are, the rest is made contiguous."""
    if input.dtype not in FLOATING:
        raise NotServed(name, f"dtype {input.dtype} is not served")
    if input.ndim < 2:
        raise ArgumentError(f"{name}: expected at least 2 dimensions, but got shape {list(input.shape)}")
    layout: Any = torch.contiguous_format
    if not input.is_contiguous():
        for candidate in {4: [torch.channels_last], 5: [torch.channels_last_3d]}.get(input.ndim, []):
            if input.is_contiguous(memory_format=candidate):
                layout = candidate
    channels, pixels = input.shape[1], math.prod(input.shape[2:])
    if layout is not torch.contiguous_format or pixels == 1:
        sizes = (channels, 1, input.shape[0] * pixels, 1, 0, channels)
    else:
        sizes = (channels, input.shape[0], pixels, pixels, channels * pixels, 1)
    tiles = TILES.on(input)
    if sizes[3] == 1:
        block_c = min(power_of_two(channels), tiles["channels"])
        block_s = min(power_of_two(sizes[2]), tiles["elements"] // block_c)
    else:
        block_s = min(power_of_two(sizes[2]), tiles["elements"])
        block_c = 1
    blocks = {"COMPUTE": TRITON_DTYPES[compute_dtype(input.dtype)], "BLOCK_C": block_c, "BLOCK_S": block_s}
    count = cdiv(channels, block_c)
    source = input.contiguous(memory_format=layout)
    return ReadableSource(source, layout, sizes, blocks, count, count * sizes[1] * cdiv(sizes[2], block_s))


def _plan(
    kernel: Any, layout: ReadableSource, programs: int, label: str, *operands: Any, **constants: Any
) -> Plan:
    key = (kernel.__name__, signature(layout.source, *operands), label, tuple(constants.values()))
    plan = PLANS.get(key)
    if plan is None:
        plan = Plan(kernel, programs, layout.sizes, {**constants, **layout.blocks}, label=label)
        PLANS.remember(key, plan)
    return plan


def statistics(
    layout: ReadableSource,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    momentum: float,
    eps: float,
    dtype: torch.dtype,
    variance: bool,
    label: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean, and reciprocal deviation or biased variance, of every channel; updates running statistics."""
    channels, device = layout.sizes[0], layout.source.device
    mean = torch.empty((channels,), dtype=dtype, device=device)
    scale = torch.empty((channels,), dtype=dtype, device=device)
    plan = _plan(
        batch_statistics_kernel,
        layout,
        layout.blocks_of_channels,
        label,
        running_mean,
        running_var,
        mean,
        VARIANCE=variance,
    )
    numbers = (scalar_bits(momentum, True), scalar_bits(eps, True))
    plan.launch(mean, scale, running_mean, running_var, layout.source, numbers=numbers)
    return mean, scale


def _contiguous(x: torch.Tensor | None) -> torch.Tensor | None:
    return None if x is None else x.contiguous()


def _apply(
    layout: ReadableSource,
    mean: torch.Tensor,
    scale: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    eps: float,
    variance: bool,
    label: str,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    mean, scale, weight, bias = mean.contiguous(), scale.contiguous(), _contiguous(weight), _contiguous(bias)
    plan = _plan(batch_norm_kernel, layout, layout.tiles, label, mean, scale, weight, bias, VARIANCE=variance)
    if out is None:
        out = torch.empty_like(layout.source)
    plan.launch(out, layout.source, mean, scale, weight, bias, numbers=(scalar_bits(eps, True),))
    return out


# ---- forward, backward ----------------------------------------------------------------------------


def native_batch_norm(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(normalised, mean, reciprocal deviation); the last two are empty unless `training`."""
    label = "native_batch_norm"
    layout = _layout(label, input)
    dtype = input.dtype if weight is None else torch.promote_types(input.dtype, weight.dtype)
    if running_mean is not None and weight is None:
        dtype = torch.promote_types(dtype, running_mean.dtype)
    if training:
        mean, scale = statistics(layout, running_mean, running_var, momentum, eps, dtype, False, label)
        return _apply(layout, mean, scale, weight, bias, eps, False, label), mean, scale
    if running_mean is None or running_var is None:
        raise ArgumentError("running_mean and running_var must be defined in evaluation mode")
    out = _apply(layout, running_mean, running_var, weight, bias, eps, True, label)
    nothing = torch.empty((0,), dtype=dtype, device=input.device)
    return out, nothing, torch.empty_like(nothing)


def native_batch_norm_no_stats(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """native_batch_norm without running statistics."""
    return native_batch_norm(input, weight, bias, None, None, training, momentum, eps)


def batch_norm_with_update(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    momentum: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """native_batch_norm in training, and a reserve that is empty."""
    found = native_batch_norm(input, weight, bias, running_mean, running_var, True, momentum, eps)
    return *found, torch.empty((0,), dtype=torch.uint8, device=input.device)


def batch_norm_update_stats(
    input: torch.Tensor, running_mean: torch.Tensor | None, running_var: torch.Tensor | None, momentum: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """(mean, biased variance) of every channel, after moving the running statistics."""
    label = "batch_norm_update_stats"
    dtype = input.dtype
    if running_mean is not None:
        dtype = torch.promote_types(dtype, running_mean.dtype)
    return statistics(_layout(label, input), running_mean, running_var, momentum, 0.0, dtype, True, label)


def native_batch_norm_backward(
    grad_out: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor | None,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    save_mean: torch.Tensor | None,
    save_invstd: torch.Tensor | None,
    train: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Gradients of input, weight and bias, each None where `output_mask` says it is not wanted."""
    label = "native_batch_norm_backward"
    layout = _layout(label, input)
    gradient = grad_out.contiguous(memory_format=layout.format)
    mean, scale = (save_mean, save_invstd) if train else (running_mean, running_var)
    if mean is None or scale is None:
        raise ArgumentError(f"{label}: the statistics that the forward pass used are needed")
    mean, scale, weight = mean.contiguous(), scale.contiguous(), _contiguous(weight)
    compute = compute_dtype(input.dtype)
    sum_g = torch.empty((layout.sizes[0],), dtype=compute, device=input.device)
    sum_gx = torch.empty((layout.sizes[0],), dtype=compute, device=input.device)
    numbers = (scalar_bits(eps, True),)
    if train or output_mask[1] or output_mask[2]:
        plan = _plan(
            batch_norm_sums_kernel, layout, layout.blocks_of_channels, label, mean, scale, VARIANCE=not train
        )
        plan.launch(sum_g, sum_gx, gradient, layout.source, mean, scale, numbers=numbers)
    grad_input = None
    if output_mask[0]:
        grad_input = torch.empty_like(layout.source)
        plan = _plan(
            batch_norm_input_gradient_kernel,
            layout,
            layout.tiles,
            label,
            mean,
            scale,
            weight,
            TRAIN=train,
            VARIANCE=not train,
        )
        operands = (grad_input, gradient, layout.source, mean, scale, weight, sum_g, sum_gx)
        plan.launch(*operands, numbers=numbers)
    dtype = input.dtype if weight is None else weight.dtype
    return (
        grad_input,
        _converted(sum_gx, dtype) if output_mask[1] else None,
        _converted(sum_g, dtype) if output_mask[2] else None,
    )


def _converted(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return x if x.dtype == dtype else COPY(x, out=torch.empty(x.shape, dtype=dtype, device=x.device))


def batch_norm_backward(
    grad_out: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    save_mean: torch.Tensor | None,
    save_var: torch.Tensor | None,
    update: bool,
    eps: float,
    output_mask: Sequence[bool],
    reserve: torch.Tensor,
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """native_batch_norm_backward under its later name."""
    return native_batch_norm_backward(
        grad_out, input, weight, running_mean, running_var, save_mean, save_var, update, eps, output_mask
    )


# ---- record ---------------------------------------------------------------------------------------


def _inputs(dtype: torch.dtype) -> Iterable[torch.Tensor]:
    yield tensor((3, 5, 4, 7), dtype)
    yield tensor((6, 70), dtype)
    if dtype == torch.float32:
        yield tensor((2, 3, 5), dtype)
        yield tensor((2, 3, 2, 3, 4), dtype)
        yield tensor((3, 5, 4, 7), dtype).contiguous(memory_format=torch.channels_last)
        yield tensor((4, 3, 7), dtype).transpose(0, 2)


def _parameters(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    shape, dtype = (x.shape[1],), x.dtype
    return (
        tensor(shape, dtype, seed=1),
        tensor(shape, dtype, seed=2),
        tensor(shape, dtype, seed=3),
        tensor(shape, dtype, 0.5, 2.0, seed=4),
    )


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for x in _inputs(dtype):
        for training in (True, False):
            yield Sample((x, *_parameters(x), training, 0.1, 1e-5))
    yield Sample((tensor((3, 5, 4), dtype), None, None, None, None, True, 0.1, 1e-5))


def _with_stats(dtype: torch.dtype) -> Iterable[Sample]:
    return list(_samples(dtype))[:2]


def _no_stats(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((3, 5, 4, 7), dtype)
    yield Sample((x, *_parameters(x)[:2], True, 0.1, 1e-5))


def _with_update(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((3, 5, 4, 7), dtype)
    yield Sample((x, *_parameters(x), 0.1, 1e-5))


def _updates(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((3, 5, 4, 7), dtype)
    yield Sample((x, *_parameters(x)[2:], 0.25))


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for x in _inputs(dtype):
        weight, _, running_mean, running_var = _parameters(x)
        dims = [d for d in range(x.ndim) if d != 1]
        mean = x.double().mean(dims).to(dtype)
        invstd = (x.double().var(dims, correction=0) + 1e-5).rsqrt().to(dtype)
        for train in (True, False):
            yield Sample(
                (
                    tensor(x.shape, dtype, seed=5),
                    x,
                    weight,
                    running_mean,
                    running_var,
                    mean,
                    invstd,
                    train,
                    1e-5,
                    [True, True, True],
                )
            )


def _later_gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in list(_gradients(dtype))[:1]:
        yield Sample((*sample.arguments, torch.empty((0,), dtype=torch.uint8)))


def _layer(dtype: torch.dtype) -> Sample:
    x = tensor((8, 64, 56, 56), dtype)
    return Sample((x, *_parameters(x), True, 0.1, 1e-5))


def _layer_gradient(dtype: torch.dtype) -> Sample:
    x = tensor((8, 64, 56, 56), dtype)
    gradient, mean, invstd = tensor(x.shape, dtype, seed=5), tensor((64,), dtype), tensor((64,), dtype, 1, 2)
    rest = (None, None, mean, invstd, True, 1e-5, [True, True, True])
    return Sample((gradient, x, tensor((64,), dtype), *rest))


register(
    Operator(
        name="batch_norm",
        overloads=(
            Overload("native_batch_norm", native_batch_norm, _samples, takes_out=False),
            Overload("_native_batch_norm_legit", native_batch_norm, _with_stats, takes_out=False),
            Overload(
                "_native_batch_norm_legit.no_stats", native_batch_norm_no_stats, _no_stats, takes_out=False
            ),
            Overload("_batch_norm_with_update", batch_norm_with_update, _with_update, takes_out=False),
            Overload("batch_norm_update_stats", batch_norm_update_stats, _updates, takes_out=False),
            Overload("native_batch_norm_backward", native_batch_norm_backward, _gradients, takes_out=False),
            Overload("batch_norm_backward", batch_norm_backward, _later_gradients, takes_out=False),
        ),
        kernels=(
            batch_statistics_kernel,
            batch_norm_kernel,
            batch_norm_sums_kernel,
            batch_norm_input_gradient_kernel,
        ),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(
            Benchmark("native_batch_norm", _layer),
            Benchmark("native_batch_norm_backward", _layer_gradient),
        ),
        tolerance=8.0,
    )
)
