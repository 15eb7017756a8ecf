"""Arrays in, arrays out; tensors in, tensors out. Flows in: arrays of NumPy, tensors of PyTorch, numbers in
lists. Flows out: a tensor over the same memory where that is possible, and the way back to the kind that was
given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .errors import InvalidType

Restore = Callable[[torch.Tensor], Any]

WIDER = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.complex32: torch.complex64,
}
"""Half types are computed in single precision, as by SciPy and NumPy; integers in double."""
REAL = {torch.complex64: torch.float32, torch.complex128: torch.float64}
COMPLEX = {real: made for made, real in REAL.items()}


def _unchanged(result: torch.Tensor) -> torch.Tensor:
    return result


def _array(result: torch.Tensor) -> Any:
    return result.detach().resolve_conj().numpy()


def taken(x: Any, name: str = "x") -> tuple[torch.Tensor, Restore]:
    """A tensor, and what makes an array of NumPy of a result where `x` is no tensor. Memory of other byte
    order, or with negative strides, is copied. Raises InvalidType for element types without a tensor's."""
    if isinstance(x, torch.Tensor):
        return x, _unchanged
    array = np.asarray(x)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind not in "biufc" or array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):
        raise InvalidType(
            f"{name} has the element type {array.dtype}, which is not served",
            "Convert it to float64 or complex128 first.",
        )
    if any(stride < 0 or stride % array.itemsize for stride in array.strides) or not array.flags.writeable:
        array = array.copy()
    return torch.from_numpy(array), _array


def inexact(x: torch.Tensor) -> torch.Tensor:
    """The tensor in the element type in which it is computed: f32, f64, c64 or c128."""
    if x.is_complex() or x.is_floating_point():
        return x.to(WIDER.get(x.dtype, x.dtype))
    return x.to(torch.float64)
