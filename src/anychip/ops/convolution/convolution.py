"""convolution (ordinary and transposed, one to three spatial dimensions, groups) and its backward
operator. Everything is brought to three spatial dimensions; `implicit` and `depthwise` do the work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..errors import ArgumentError, NotServed
from ..launching import Tiles
from ..memory.copy import zero_
from ..reduce.sums import SUM
from ..reduction import accumulator
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .depthwise import (
    depthwise,
    depthwise_kernel,
    depthwise_weight_gradient,
    depthwise_weight_gradient_kernel,
)
from .geometry import Phase, Sizes, ordinary, output_size, spread, three, transposed, transposed_size
from .implicit import TILES, correlate, implicit_product_kernel, packed
from .weight_gradient import weight_gradient, weight_gradient_kernel

# ---- forward --------------------------------------------------------------------------------------


class Settings:
    """Stride, padding, dilation and the rest as three numbers each, checked against the operands."""

    def __init__(
        self,
        input: torch.Tensor,
        weight: torch.Tensor,
        stride: Any,
        padding: Any,
        dilation: Any,
        is_transposed: bool,
        output_padding: Any,
        groups: int,
    ):
        rank = weight.ndim - 2
        if rank not in (1, 2, 3) or input.ndim != weight.ndim:
            raise ArgumentError(
                f"convolution: expected input and weight of 3 to 5 dimensions each, but got shapes "
                f"{list(input.shape)} and {list(weight.shape)}"
            )
        if input.dtype != weight.dtype:
            raise ArgumentError(
                f"Input type ({input.dtype}) and weight type ({weight.dtype}) should be the same"
            )
        if input.dtype not in FLOATING and input.dtype not in INTEGRAL:
            raise NotServed("convolution", f"dtype {input.dtype} is not served")
        self.rank = rank
        self.transposed = is_transposed
        self.groups = groups
        along = [
            spread(values, rank, name)
            for values, name in (
                (stride, "stride"),
                (padding, "padding"),
                (dilation, "dilation"),
                (output_padding, "output_padding"),
            )
        ]
        if groups <= 0:
            raise ArgumentError("non-positive groups is not supported")
        if any(p < 0 for p in along[1]):
            raise ArgumentError("negative padding is not supported")
        if any(p < 0 for p in along[3]):
            raise ArgumentError("negative output_padding is not supported")
        if any(s <= 0 for s in along[0]):
            raise ArgumentError("non-positive stride is not supported")
        if any(d <= 0 for d in along[2]):
            raise ArgumentError("dilation should be greater than zero")
        self.stride, self.dilation = three(along[0], 1), three(along[2], 1)
        self.padding, self.extra = three(along[1], 0), three(along[3], 0)
        self.kernel = three(weight.shape[2:], 1)
        self._check(input, weight)
        small: Sizes = three(input.shape[2:], 1)
        if is_transposed:
            self.channels = weight.shape[1] * groups
            self.out = self._lengths(transposed_size, small, self.extra)
        else:
            self.channels = weight.shape[0]
            self.out = self._lengths(output_size, small)
        if any(n < (0 if 0 in small else 1) for n in self.out):
            raise ArgumentError(
                f"Given input size per channel: {list(input.shape[2:])}, kernel size: "
                f"{list(weight.shape[2:])}. Calculated output size: {list(self.out[3 - rank :])}: "
                "it is too small"
            )

    def _lengths(self, length: Any, sizes: Sizes, *more: Sizes) -> Sizes:
        found = [
            length(*numbers)
            for numbers in zip(
                sizes, self.kernel, self.stride, self.padding, self.dilation, *more, strict=True
            )
        ]
        return found[0], found[1], found[2]

    def _check(self, input: torch.Tensor, weight: torch.Tensor) -> None:
        groups = self.groups
        expected = weight.shape[0] if self.transposed else weight.shape[1] * groups
        if input.shape[1] != expected:
            raise ArgumentError(
                f"Given groups={groups}, weight of size {list(weight.shape)}, expected input"
                f"{list(input.shape)} to have {expected} channels, but got {input.shape[1]} channels instead"
            )
        if weight.shape[0] < groups or weight.shape[0] % groups:
            raise ArgumentError(
                f"Given groups={groups}, expected weight to be at least {groups} and divisible by {groups} "
                f"at dimension 0, but got weight of size {list(weight.shape)} instead"
            )
        if 0 in weight.shape[2:]:
            raise ArgumentError("kernel size should be greater than zero")
        if not self.transposed:
            reach = self.kernel
            sizes = three(input.shape[2:], 1)
            span = [d * (k - 1) + 1 for k, d in zip(reach, self.dilation, strict=True)]
            if any(n + 2 * p < s for n, p, s in zip(sizes, self.padding, span, strict=True)):
                raise ArgumentError(
                    f"Calculated padded input size per channel: {list(sizes[3 - self.rank :])} with padding "
                    f"{list(self.padding[3 - self.rank :])}. Kernel size: {span[3 - self.rank :]}. "
                    "Kernel size can't be greater than actual input size"
                )
        elif any(e >= max(s, d) for e, s, d in zip(self.extra, self.stride, self.dilation, strict=True)):
            raise ArgumentError(
                "output padding must be smaller than either stride or dilation, but got "
                f"output_padding {self.extra}, stride {self.stride}, dilation {self.dilation}"
            )

    def ordinary(self, out: Sizes) -> Phase:
        """The phase in which the larger side of the convolution is read."""
        return ordinary(out, self.kernel, self.stride, self.padding, self.dilation)

    def transposed_phases(self, out: Sizes) -> Iterable[Phase]:
        """The phases in which the smaller side is read."""
        return transposed(out, self.kernel, self.stride, self.padding, self.dilation)


def spatial(x: torch.Tensor) -> torch.Tensor:
    """A view with three spatial dimensions of [n, channels, ...]."""
    while x.ndim < 5:
        x = x.unsqueeze(2)
    return x


def _run(
    source: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    out: torch.Tensor,
    phases: Iterable[Phase],
    groups: int,
    swapped: bool,
    label: str,
) -> None:
    """All phases into `out`; `swapped` where the filter's first dimension is the source's channels."""
    source, target = spatial(source.contiguous()), spatial(out)
    filters = packed(weight, groups, swapped)
    added = None if bias is None else bias.contiguous()
    for phase in phases:
        if filters.shape[2] == 1:
            depthwise(source, filters, added, target, phase, label)
        else:
            correlate(source, filters, added, target, phase, label)


def _channels_last(*tensors: torch.Tensor) -> Any:
    """The memory format of a result that is computed from these."""
    for x in tensors:
        if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            return torch.channels_last
        if x.ndim == 5 and x.is_contiguous(memory_format=torch.channels_last_3d) and not x.is_contiguous():
            return torch.channels_last_3d
    return torch.contiguous_format


def convolution(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> torch.Tensor:
    """Convolution of [n, channels, ...] with filters [out, in / groups, ...], or, if `transposed`, its
    adjoint with filters [in, out / groups, ...]; zeros stand outside the input."""
    settings = Settings(input, weight, stride, padding, dilation, transposed, output_padding, groups)
    if bias is not None:
        if bias.ndim != 1 or bias.shape[0] != settings.channels:
            raise ArgumentError(
                f"Given transposed={transposed}, weight of size {list(weight.shape)}, expected bias to be "
                f"1-dimensional with {settings.channels} elements, but got bias of size {list(bias.shape)}"
            )
        if bias.dtype != input.dtype:
            raise ArgumentError(f"Input type ({input.dtype}) and bias type ({bias.dtype}) should be the same")
    shape = (input.shape[0], settings.channels, *settings.out[3 - settings.rank :])
    layout = _channels_last(input, weight)
    out = torch.empty(shape, dtype=input.dtype, device=input.device, memory_format=layout)
    if out.numel():
        phases = (
            settings.transposed_phases(settings.out) if transposed else (settings.ordinary(settings.out),)
        )
        _run(input, weight, bias, out, phases, groups, transposed, "convolution")
    return out


def convolution_with_flags(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    benchmark: bool,
    deterministic: bool,
    cudnn_enabled: bool,
    allow_tf32: bool,
) -> torch.Tensor:
    """convolution; what the flags choose among does not exist here."""
    return convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)


# ---- backward -------------------------------------------------------------------------------------


def convolution_backward(
    grad_output: torch.Tensor,
    input: torch.Tensor,
    weight: torch.Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Gradients of input, filters and bias, each None where `output_mask` says it is not wanted."""
    settings = Settings(input, weight, stride, padding, dilation, transposed, output_padding, groups)
    gradient = grad_output.contiguous()
    source = input.contiguous()
    grad_input = grad_weight = grad_bias = None
    small = three(input.shape[2:], 1)
    label = "convolution_backward"
    if output_mask[0]:
        layout = _channels_last(input, weight)
        grad_input = torch.empty(input.shape, dtype=input.dtype, device=input.device, memory_format=layout)
        if not gradient.numel():
            zero_(grad_input)
        elif grad_input.numel():
            phases = (settings.ordinary(small),) if transposed else settings.transposed_phases(small)
            _run(gradient, weight, None, grad_input, phases, groups, not transposed, label)
    if output_mask[1]:
        grad_weight = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
        if not gradient.numel() or not source.numel():
            zero_(grad_weight)
        elif grad_weight.numel():
            read, written = (gradient, source) if transposed else (source, gradient)
            phase = settings.ordinary(three(written.shape[2:], 1))
            flat = grad_weight.view(weight.shape[0], weight.shape[1], -1)
            read, written = spatial(read), spatial(written)
            if weight.shape[1] == 1:
                depthwise_weight_gradient(written, read, flat, phase, label)
            else:
                weight_gradient(written, read, flat, groups, phase, label)
        layout = _channels_last(input, weight)
        if layout is not torch.contiguous_format:
            grad_weight = grad_weight.contiguous(memory_format=layout)
    if output_mask[2]:
        dims = [d for d in range(gradient.ndim) if d != 1]
        grad_bias = SUM(gradient, dims, False, compute=accumulator(gradient.dtype), result=gradient.dtype)
    return grad_input, grad_weight, grad_bias


# ---- record ---------------------------------------------------------------------------------------


def _cases(dtype: torch.dtype) -> Iterable[tuple[tuple[int, ...], tuple[int, ...], bool, tuple[Any, ...]]]:
    """Shapes of input and filter, whether there is a bias, and the remaining arguments; the kernels are
    generic in the dtype, so that only float32 goes through all of them."""
    yield (2, 20, 7, 9), (24, 20, 3, 3), True, ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    yield (2, 4, 5, 6), (4, 3, 3, 4), True, ([2, 3], [1, 0], [2, 1], True, [1, 2], 2)
    yield (2, 3, 8, 8), (6, 1, 3, 3), True, ([2, 2], [1, 1], [1, 1], False, [0, 0], 3)
    if dtype != torch.float32:
        return
    yield (2, 3, 9), (4, 3, 3), True, ([1], [1], [1], False, [0], 1)
    yield (2, 20, 7), (5, 20, 3), True, ([2], [0], [2], False, [0], 1)
    yield (1, 3, 9, 8), (4, 3, 5, 3), False, ([2, 3], [2, 1], [1, 2], False, [0, 0], 1)
    yield (2, 6, 5, 8), (6, 1, 3, 3), True, ([1, 1], [1, 1], [1, 1], False, [0, 0], 6)
    yield (2, 4, 6, 5), (6, 2, 1, 1), True, ([1, 1], [0, 0], [1, 1], False, [0, 0], 2)
    yield (1, 3, 4, 5, 6), (2, 3, 2, 3, 3), True, ([1, 2, 1], [0, 1, 1], [1, 1, 1], False, [0, 0, 0], 1)
    yield (2, 4, 5), (4, 3, 3), True, ([2], [1], [1], True, [1], 1)
    yield (2, 18, 5, 6), (18, 17, 3, 3), False, ([1, 1], [0, 1], [1, 1], True, [0, 0], 1)
    yield (1, 2, 3, 3, 4), (2, 3, 2, 2, 2), True, ([2, 2, 1], [0, 1, 0], [1, 1, 1], True, [0, 1, 0], 1)


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, filters, biased, rest in _cases(dtype):
        is_transposed, groups = rest[3], rest[5]
        channels = filters[1] * groups if is_transposed else filters[0]
        bias = tensor((channels,), dtype, seed=2) if biased else None
        yield Sample((tensor(shape, dtype, -1, 1), tensor(filters, dtype, -1, 1, seed=1), bias, *rest))
    x, weight = tensor((2, 20, 6, 7), dtype, -1, 1), tensor((8, 20, 3, 3), dtype, -1, 1, seed=1)
    rest = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    yield Sample((x.contiguous(memory_format=torch.channels_last), weight, None, *rest))
    yield Sample((tensor((0, 20, 6, 7), dtype), weight, None, *rest))


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, filters, biased, rest in _cases(dtype):
        is_transposed, groups = rest[3], rest[5]
        channels = filters[1] * groups if is_transposed else filters[0]
        x, weight = tensor(shape, dtype, -1, 1), tensor(filters, dtype, -1, 1, seed=1)
        settings = Settings(x, weight, *rest)
        out = tensor((shape[0], channels, *settings.out[3 - settings.rank :]), dtype, -1, 1, seed=3)
        sizes = [channels] if biased else [0]
        yield Sample((out, x, weight, sizes, *rest, [True, True, biased]))


def _with_flags(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in list(_samples(dtype))[:1]:
        yield Sample((*sample.arguments, False, False, False, False))


def _layer(dtype: torch.dtype) -> Sample:
    x, weight = tensor((8, 64, 56, 56), dtype, -1, 1), tensor((64, 64, 3, 3), dtype, -1, 1, seed=1)
    return Sample((x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1))


def _planes(dtype: torch.dtype) -> Sample:
    x, weight = tensor((8, 64, 56, 56), dtype, -1, 1), tensor((64, 1, 3, 3), dtype, -1, 1, seed=1)
    return Sample((x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 64))


def _layer_gradient(dtype: torch.dtype) -> Sample:
    x, weight, _, *rest = _layer(dtype).arguments
    return Sample((tensor((8, 64, 56, 56), dtype, -1, 1, seed=2), x, weight, [0], *rest, [True, True, False]))


register(
    Operator(
        name="convolution",
        overloads=(
            Overload("convolution", convolution, _samples, takes_out=False),
            Overload("_convolution", convolution_with_flags, _with_flags, takes_out=False),
            Overload("convolution_backward", convolution_backward, _gradients, takes_out=False),
        ),
        kernels=(
            implicit_product_kernel,
            depthwise_kernel,
            weight_gradient_kernel,
            depthwise_weight_gradient_kernel,
        ),
        dtypes=FLOATING,
        tiles=Tiles(TILES.simt, TILES.simd),
        benchmarks=(
            Benchmark("convolution", _layer),
            Benchmark("convolution", _planes),
            Benchmark("convolution_backward", _layer_gradient),
        ),
        tolerance=4.0,
    )
)
