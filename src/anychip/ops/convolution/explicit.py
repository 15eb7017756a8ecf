"""The overloads under which PyTorch keeps one implementation of convolution each. Ours has one, so that
these give their arguments to `convolution` and `convolution_backward`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..memory.copy import copy_
from ..registry import FLOATING, Operator, Overload, Sample, Samples, register
from ..samples import tensor
from .convolution import convolution, convolution_backward
from .implicit import TILES, implicit_product_kernel

# ---- operators ------------------------------------------------------------------------------------


def _deliver(result: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return copy_(out, result)


def _batched(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x.unsqueeze(0) if x.ndim == weight.ndim - 1 else x


def ordinary(rank: int) -> Any:
    """`_slow_conv2d_forward` and its kin: no groups; dilation where the schema has it."""

    def forward(
        self: torch.Tensor,
        weight: torch.Tensor,
        kernel_size: Sequence[int],
        bias: torch.Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        *,
        out: Any = None,
    ) -> torch.Tensor:
        shape = (weight.shape[0], self.shape[-rank - 1], *kernel_size)
        filters = weight.reshape(shape)
        source = _batched(self, filters)
        result = convolution(source, filters, bias, stride, padding, dilation, False, [0] * rank, 1)
        return _deliver(result if source is self else result[0], out)

    return forward


def transposed(rank: int) -> Any:
    """`slow_conv_transpose2d` and `slow_conv_transpose3d`."""

    def forward(
        self: torch.Tensor,
        weight: torch.Tensor,
        kernel_size: Sequence[int],
        bias: torch.Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        dilation: Any = 1,
        *,
        out: Any = None,
    ) -> torch.Tensor:
        source = _batched(self, weight)
        result = convolution(source, weight, bias, stride, padding, dilation, True, output_padding, 1)
        return _deliver(result if source is self else result[0], out)

    return forward


def slow_conv2d_backward(
    grad_output: torch.Tensor,
    self: torch.Tensor,
    weight: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Gradients of input, filters and bias of `_slow_conv2d_forward`."""
    sizes = [weight.shape[0]]
    rest = (stride, padding, [1, 1], False, [0, 0], 1, output_mask)
    return convolution_backward(grad_output, self, weight, sizes, *rest)


def slow_conv2d_backward_into(
    grad_output: torch.Tensor,
    self: torch.Tensor,
    weight: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    *,
    grad_input: torch.Tensor,
    grad_weight: torch.Tensor,
    grad_bias: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """The same into given tensors."""
    wanted = [True, True, True]
    results = slow_conv2d_backward(grad_output, self, weight, kernel_size, stride, padding, wanted)
    given = (grad_input, grad_weight, grad_bias)
    return tuple(_deliver(x, out) for x, out in zip(results, given, strict=True) if x is not None)


# ---- record ---------------------------------------------------------------------------------------

SHAPES = {2: ((2, 3, 5, 6), (4, 3, 3, 2)), 3: ((1, 2, 3, 5, 4), (3, 2, 2, 3, 2))}


def _samples(rank: int, dilates: bool) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        shape, filters = SHAPES[rank]
        x, weight = tensor(shape, dtype, -1, 1), tensor(filters, dtype, -1, 1, seed=1)
        bias = tensor((filters[0],), dtype, seed=2)
        rest = ([1] * rank,) if dilates else ()
        yield Sample((x, weight, filters[2:], bias, [1] * rank, [1] * rank, *rest))

    return draw


def _transposed_samples(rank: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        shape, filters = SHAPES[rank]
        weight = tensor((filters[1], filters[0], *filters[2:]), dtype, -1, 1, seed=1)
        bias = tensor((filters[0],), dtype, seed=2)
        rest = ([2] * rank, [1] * rank, [1] * rank, [1] * rank)
        yield Sample((tensor(shape, dtype, -1, 1), weight, filters[2:], bias, *rest))

    return draw


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    shape, filters = SHAPES[2]
    x, weight = tensor(shape, dtype, -1, 1), tensor(filters, dtype, -1, 1, seed=1)
    gradient = tensor((2, 4, 5, 7), dtype, -1, 1, seed=2)
    yield Sample((gradient, x, weight, [3, 2], [1, 1], [1, 1], [True, True, True]))


def _gradients_into(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _gradients(dtype):
        _, x, weight, *_ = sample.arguments
        given = {"grad_input": torch.empty_like(x), "grad_weight": torch.empty_like(weight)}
        bias = torch.empty((weight.shape[0],), dtype=dtype)
        yield Sample(sample.arguments[:-1], {**given, "grad_bias": bias})


register(
    Operator(
        name="slow_conv",
        overloads=(
            Overload("_slow_conv2d_forward", ordinary(2), _samples(2, False)),
            Overload("_slow_conv2d_backward.output_mask", slow_conv2d_backward, _gradients, takes_out=False),
            Overload(
                "_slow_conv2d_backward.grad_input",
                slow_conv2d_backward_into,
                _gradients_into,
                takes_out=False,
            ),
            Overload("slow_conv3d_forward", ordinary(3), _samples(3, False)),
            Overload("slow_conv_dilated2d", ordinary(2), _samples(2, True)),
            Overload("slow_conv_dilated3d", ordinary(3), _samples(3, True)),
            Overload("slow_conv_transpose2d", transposed(2), _transposed_samples(2)),
            Overload("slow_conv_transpose3d", transposed(3), _transposed_samples(3)),
        ),
        kernels=(implicit_product_kernel,),
        dtypes=FLOATING,
        tiles=TILES,
        tolerance=4.0,
    )
)
