"""Arguments of BLAS as SciPy's wrappers take them. Flows in: arrays or tensors, factors, offsets and
increments. Flows out: tensors of one element type, strided views, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..arrays import Restore, taken
from ..errors import InvalidType, InvalidValue

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}
TYPES = (
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
)


def _common(tensors: list[torch.Tensor], scalars: tuple[Any, ...]) -> torch.dtype:
    """The type of the result: that of the arrays, double for integers, complex if a factor is."""
    dtype = tensors[0].dtype
    for x in tensors[1:]:
        dtype = torch.promote_types(dtype, x.dtype)
    if not (dtype.is_complex or dtype.is_floating_point):
        dtype = torch.float64
    if any(isinstance(one, complex) for one in scalars):
        dtype = COMPLEX.get(dtype, dtype)
    if dtype not in TYPES:
        raise InvalidType(f"The element type {dtype} is not served", "Convert the arguments first.")
    return dtype


def arguments(dtype: torch.dtype | None, scalars: tuple[Any, ...], **given: Any) -> tuple[list[Any], Restore]:
    """Tensors of one type (None stays), and the way back: to arrays unless one of them was a tensor. Raises
    InvalidType for complex elements or factors of a real routine."""
    pairs = {name: None if x is None else taken(x, name) for name, x in given.items()}
    tensors = [pair[0] for pair in pairs.values() if pair is not None]
    dtype = _common(tensors, scalars) if dtype is None else dtype
    if not dtype.is_complex and (
        any(x.is_complex() for x in tensors) or any(isinstance(one, complex) for one in scalars)
    ):
        raise InvalidType(f"Complex arguments of a routine for {dtype}", "Call the complex one.")
    device = next((x.device for x in given.values() if isinstance(x, torch.Tensor)), None)
    found = [None if pair is None else pair[0].to(dtype=dtype, device=device) for pair in pairs.values()]
    if device is not None:
        return found, lambda result: result
    return found, next(pair[1] for pair in pairs.values() if pair is not None)


def count_of(x: torch.Tensor, n: int | None, offset: int, step: int, name: str = "x") -> int:
    """How many elements a vector has from `offset` on, every `step`-th. Raises InvalidValue."""
    if x.ndim != 1:
        raise InvalidValue(f"{name} must be a vector, not of the shape {tuple(x.shape)}")
    if step == 0:
        raise InvalidValue(f"inc{name} must not be 0")
    if offset < 0 or (len(x) and offset >= len(x)):
        raise InvalidValue(f"off{name} must be within 0 and {len(x) - 1}, not {offset}")
    most = (len(x) - 1 - offset) // abs(step) + 1 if len(x) else 0
    if n is None:
        return most
    if not 0 <= n <= most:
        raise InvalidValue(f"n must be within 0 and {most}, not {n}, for {name} of {len(x)} elements")
    return n


def strided(x: torch.Tensor, n: int, offset: int, step: int, name: str = "x") -> torch.Tensor:
    """n elements from `offset` on, every |step|-th; backwards where `step` is below 0. Raises
    InvalidValue."""
    if count_of(x, None, offset, step, name) < n:
        raise InvalidValue(f"{name} of {len(x)} elements is shorter than offset, increment and n = {n} need")
    found = x[offset : offset + max(n - 1, 0) * abs(step) + 1 : abs(step)][:n]
    return found.flip(0) if step < 0 else found


def placed(whole: torch.Tensor, values: torch.Tensor, offset: int, step: int) -> torch.Tensor:
    """A copy of a vector with values at the places that `strided` reads."""
    if offset == 0 and step == 1 and len(values) == len(whole):
        return values
    out = whole.clone()
    out[offset : offset + max(len(values) - 1, 0) * abs(step) + 1 : abs(step)][: len(values)] = (
        values.flip(0) if step < 0 else values
    )
    return out


def written(given: Any, result: Any) -> Any:
    """The result; where an array of its type was given, that array, which then holds it, as SciPy's
    routines without a choice write it."""
    if not isinstance(given, np.ndarray) or given.dtype != result.dtype or not given.flags.writeable:
        return result
    given[...] = result
    return given


def scaled(factor: Any, x: torch.Tensor) -> torch.Tensor:
    """factor x, or x itself for a factor of one."""
    return x if isinstance(factor, int | float | complex) and factor == 1 else x * factor
