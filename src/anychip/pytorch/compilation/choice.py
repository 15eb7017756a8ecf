"""Which operators of a compiled graph the library takes. Flows in: a node of Inductor's graph after gradients
and decompositions. Flows out: whether the library's is the faster operator for its dtype, shape and size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from . import operators

SMALLEST = 1 << 16
"""Multiplications below which an operator is left to PyTorch where it is called from Python: calling costs
more than computing."""

LARGEST_CONVOLUTION = 1 << 23
"""Multiplications up to which a convolution of any shape is ours where launches are replayed: PyTorch's
kernel is the faster one, but calling it costs more, and everything around it would not be replayed."""


def name_of(node: torch.fx.Node) -> str:
    """The name of ATen's operator that a node calls, without its overload; empty for other nodes."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or target.namespace != "aten":
        return ""
    return target._schema.name.removeprefix("aten::")


def is_ours(node: torch.fx.Node, replayed: bool) -> bool:
    """Whether the library takes a node, in a graph whose launches are `replayed`, or called one by one."""
    name = name_of(node)
    if name not in FASTER or node.target is not getattr(torch.ops.aten, name).default:
        return False
    value = node.meta.get("val")
    value = value[0] if isinstance(value, tuple | list) else value
    if not isinstance(value, torch.Tensor) or value.device.type != "cpu":
        return False
    dtypes, is_faster = FASTER[name]
    return value.dtype in dtypes and is_faster(node, value, replayed)


def why_not(node: torch.fx.Node) -> str:
    """Why a node of an operator in FASTER is PyTorch's, in words."""
    name = name_of(node)
    value = node.meta.get("val")
    value = value[0] if isinstance(value, tuple | list) else value
    if isinstance(value, torch.Tensor) and value.dtype not in FASTER[name][0]:
        return f"the library was not measured ahead in {str(value.dtype).removeprefix('torch.')}"
    return RULES[name]


def _product(node: torch.fx.Node, product: torch.Tensor, replayed: bool) -> bool:
    left = node.args[-2]
    work = product.numel() * (left.meta["val"].shape[-1] if isinstance(left, torch.fx.Node) else 1)
    return replayed or not isinstance(work, int) or work >= SMALLEST


def _attention(node: torch.fx.Node, result: torch.Tensor, replayed: bool) -> bool:
    return not _argument(node, "dropout_p")


def _convolution(node: torch.fx.Node, result: torch.Tensor, replayed: bool) -> bool:
    source, weight = (_argument(node, name).meta["val"] for name in ("input", "weight"))
    sizes = (*source.shape, *weight.shape)
    if _argument(node, "transposed") or not all(isinstance(size, int) for size in sizes):
        return False
    if not source.is_contiguous() or not weight.is_contiguous():
        return False
    work = result.numel() * math.prod(weight.shape[1:])
    depthwise = weight.shape[1] == 1 and weight.shape[0] == source.shape[1]
    pointwise = math.prod(weight.shape[2:]) == 1 and result.shape[2:] == source.shape[2:]
    if depthwise or (pointwise and _argument(node, "groups") == 1):
        return replayed or work >= SMALLEST
    return replayed and work <= LARGEST_CONVOLUTION


def _argument(node: torch.fx.Node, name: str) -> Any:
    """An argument of an operator's call by its name in the schema; None where there is none."""
    assert isinstance(node.target, torch._ops.OpOverload)
    names = [argument.name for argument in node.target._schema.arguments]
    return dict(zip(names, node.args)).get(name, node.kwargs.get(name))


SINGLE = frozenset({torch.float32})
SINGLE_AND_HALF = frozenset({torch.float32, torch.float16})

FASTER: dict[str, tuple[frozenset[torch.dtype], Callable[[torch.fx.Node, torch.Tensor, bool], bool]]] = {
    "mm": (SINGLE_AND_HALF, _product),
    "bmm": (SINGLE_AND_HALF, _product),
    "addmm": (SINGLE_AND_HALF, _product),
    "baddbmm": (SINGLE_AND_HALF, _product),
    "convolution": (SINGLE, _convolution),
    "_scaled_dot_product_flash_attention_for_cpu": (SINGLE, _attention),
    "_scaled_dot_product_flash_attention_for_cpu_backward": (SINGLE, _attention),
}
"""Operator -> the dtypes in which the library was measured ahead of PyTorch's kernel on CPUs
(docs/performance.md), and the question whether it is for a node of these."""

_PRODUCTS = (
    f"a product of fewer than {SMALLEST} multiplications, or of other types than f32 and f16, is PyTorch's"
)
_ATTENTIONS = "attention with dropout, or of another type than f32, is PyTorch's"

RULES: dict[str, str] = {
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), _PRODUCTS),
    "convolution": "large dense, transposed or strided convolutions, and other types than f32, are PyTorch's",
    "_scaled_dot_product_flash_attention_for_cpu": _ATTENTIONS,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _ATTENTIONS,
}
"""Operator -> when it stays PyTorch's, in words."""

assert FASTER.keys() == operators.FUNCTIONS.keys() == RULES.keys()
