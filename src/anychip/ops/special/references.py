"""SciPy's special functions as references of tests, where PyTorch's own have fewer than twelve digits.
Tensors in, tensors out; SciPy is imported only when a test asks."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch


def scipy_special(name: str, part: int | None = None) -> Callable[..., torch.Tensor]:
    """`scipy.special.<name>` of tensors and numbers; `part` picks one of several results."""

    def reference(*arguments: Any) -> torch.Tensor:
        function = getattr(importlib.import_module("scipy.special"), name)
        result = function(*(x.numpy() if isinstance(x, torch.Tensor) else x for x in arguments))
        return torch.as_tensor(result if part is None else result[part])

    return reference
