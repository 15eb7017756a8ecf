"""The first launch of a kernel for its kinds of arguments goes through Triton, which compiles."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import NotServed
from .devices import active_on
from .options import launch_options


def launch_by_triton(
    name: str, kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], constants: dict[str, Any]
) -> Any:
    """Launch by way of Triton, which compiles what is not compiled yet, or by `first` of the caller's
    options; returns the compiled kernel. Raises NotServed under `name` for a complex tensor: kernels take its
    real view."""
    tensors = [x for x in arguments if isinstance(x, torch.Tensor)]
    for x in tensors:
        if x.is_complex():
            raise NotServed(name, f"dtype {x.dtype} is not served")
    first = launch_options().first
    with active_on(tensors[0].device):
        if first is not None:
            return first(kernel, grid, arguments, constants)
        return kernel[grid](*arguments, **constants)
