"""PyTorch's own operators as references of tests where they take single precision only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_map

from .schemas import overload_of


def in_single(name: str) -> Callable[..., Any]:
    """The ATen overload `name` on arguments made float32, with results made float64."""

    def narrowed(value: Any) -> Any:
        return value.float() if isinstance(value, torch.Tensor) and value.dtype == torch.float64 else value

    def widened(value: Any) -> Any:
        return value.double() if isinstance(value, torch.Tensor) and value.dtype == torch.float32 else value

    def reference(*arguments: Any, **keywords: Any) -> Any:
        arguments, keywords = tree_map(narrowed, (arguments, keywords))
        return tree_map(widened, overload_of(name)(*arguments, **keywords))

    return reference
