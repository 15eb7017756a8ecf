"""Arguments of a call as messages have them. Tensors are views of an arena, everything else is plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..arena import DTYPES, View

Tree = Any
"""JSON."""


def encoded(value: Any, tensor: Callable[[torch.Tensor], View]) -> Tree:
    """A nested value as JSON; `tensor` says where a tensor was put. Raises TypeError for what cannot be
    sent."""
    if isinstance(value, torch.Tensor):
        return {"tensor": tensor(value).to_json()}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, (tuple, list)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encoded(item, tensor) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[str(name), encoded(item, tensor)] for name, item in value.items()]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    raise TypeError(f"an argument of type {type(value).__name__} cannot be given to a candidate")


def decoded(tree: Tree, tensor: Callable[[View], torch.Tensor], most: int) -> Any:
    """The value of `encoded`; `most`: bytes of the arena."""
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensor(View.from_json(content, most))
    if kind == "float":
        return float(content)
    if kind == "dtype":
        return DTYPES[content]
    if kind == "dict":
        return {name: decoded(item, tensor, most) for name, item in content}
    items = [decoded(item, tensor, most) for item in content]
    return tuple(items) if kind == "tuple" else items
