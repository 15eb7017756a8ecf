"""Operators of the library as PyTorch operators of their own, `torch.ops.anychip.mm` and the like, so that a
compiled graph can hold them: PyTorch's own names would be taken by its own kernels. Flows in: the library's
functions. Flows out: registered operators of the same schemas, with their shapes for tracing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...ops.attention.flash import attention, attention_backward
from ...ops.convolution.convolution import convolution
from ...ops.launching import compute_dtype
from ...ops.linalg.matmul import addmm, baddbmm, bmm, mm
from ...ops.memory.copy import dense


def _dense_attention_backward(*tensors: Any, **keywords: Any) -> Any:
    """`attention_backward` of tensors in any layout."""
    contiguous: list[Any] = [dense(x) if isinstance(x, torch.Tensor) else x for x in tensors]
    return attention_backward(*contiguous, **keywords)


def _dense_convolution(input: torch.Tensor, weight: torch.Tensor, *rest: Any) -> torch.Tensor:
    """`convolution` of tensors in any layout, to a contiguous one."""
    return convolution(dense(input), dense(weight), *rest)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "mm": mm,
    "bmm": bmm,
    "addmm": addmm,
    "baddbmm": baddbmm,
    "convolution": _dense_convolution,
    "_scaled_dot_product_flash_attention_for_cpu": attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _dense_attention_backward,
}
"""ATen's name -> the library's function, which takes the same arguments."""


def _attention_shape(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
    batch, heads, queries, _width = query.shape
    result = query.new_empty(batch, queries, heads, value.shape[-1]).transpose(1, 2)
    sums = query.new_empty(batch, queries, heads, dtype=compute_dtype(query.dtype)).transpose(1, 2)
    return result, sums


def _convolution_shape(input: Any, *rest: Any) -> Any:
    return input.new_empty(torch.ops.aten.convolution.default(input, *rest).shape)


def _gradient_shapes(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> tuple[Any, ...]:
    return tuple(x.new_empty(x.shape) for x in (query, key, value))


SHAPES: dict[str, Callable[..., Any]] = {
    "convolution": _convolution_shape,
    "_scaled_dot_product_flash_attention_for_cpu": _attention_shape,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _gradient_shapes,
}
"""Where results are laid out otherwise than PyTorch's: tensors as the library makes them, for tracing."""

_library = torch.library.Library("anychip", "FRAGMENT")


def _define(name: str, implementation: Callable[..., Any]) -> None:
    like = getattr(torch.ops.aten, name).default
    shaped = SHAPES.get(name) or like

    def compute(*arguments: Any, **keywords: Any) -> Any:
        return implementation(*arguments, **keywords)

    def shape(*arguments: Any, **keywords: Any) -> Any:
        return shaped(*arguments, **keywords)

    _library.define(str(like._schema).removeprefix("aten::"), tags=(torch.Tag.flexible_layout,))
    _library.impl(name, compute, "CPU")
    _library.impl(name, compute, "CUDA")
    _library.impl(name, shape, "Meta")


for _name, _function in FUNCTIONS.items():
    _define(_name, _function)
