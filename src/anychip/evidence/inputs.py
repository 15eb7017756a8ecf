"""Inputs of trials: how they are drawn, copied, converted to double precision and put into words. Flows in:
samples and nested arguments. Flows out: the same in memory of their own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy
import torch

from .accuracy import MAGNIFIED, PRECISION, accumulator, rounding

SEED = 20
"""What random numbers of trials begin with."""

EPSILON = torch.finfo(torch.float64).eps

EXACT = {torch.float64: torch.float64, torch.complex64: torch.complex128, torch.complex128: torch.complex128}
"""Types of references, but for floating ones, which are judged by float64."""


def seed(number: int = 0) -> None:
    """The state from which sample `number` is drawn: whatever is tried between two samples, they stay."""
    torch.default_generator.manual_seed(SEED + number)
    numpy.random.seed(SEED + number)
    random.seed(SEED + number)


def copied(value: Any) -> Any:
    """A tensor in the same layout, in memory of its own, that wants a gradient if `value` does; any
    other value as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    x = value.detach()
    if x.layout != torch.strided or x.device.type != "cpu" or x.is_conj() or x.is_neg() or not x.numel():
        return x.clone().requires_grad_(value.requires_grad)
    storage = x.untyped_storage().clone()
    alike = torch.empty(0, dtype=x.dtype).set_(storage, x.storage_offset(), x.shape, x.stride())
    return alike.requires_grad_(value.requires_grad)


def in_float64(value: Any) -> Any:
    """`copied` in double precision where it is floating or complex; dtypes likewise."""
    if isinstance(value, torch.Tensor):
        if not (value.is_floating_point() or value.is_complex()):
            return copied(value)
        exact = EXACT.get(value.dtype, torch.float64)
        return value.detach().to(exact, copy=True).requires_grad_(value.requires_grad)
    if isinstance(value, torch.dtype) and (value.is_floating_point or value.is_complex):
        return EXACT.get(value, torch.float64)
    return value


def moved_in_float64(number: int, kept: torch.dtype | None = None) -> Callable[[Any], Any]:
    """`in_float64` with each floating number up or down by one rounding, as draw `number` says: of the type
    in which it would be added, or of `kept`, the type in which values on the way are kept. Numbers in double
    precision go as `neighbours_in_float64`, but MAGNIFIED times as far: float64 shows no smaller movement."""
    return _moved(number, lambda kind: rounding(kept or accumulator(kind)), MAGNIFIED)


def neighbours_in_float64(number: int) -> Callable[[Any], Any]:
    """`in_float64` with each number in double precision up or down to a neighbour, as draw `number` says."""
    return _moved(number, lambda kind: 0.0, 1.0)


def _moved(number: int, relative: Callable[[torch.dtype], float], magnified: float) -> Callable[[Any], Any]:
    generator = torch.Generator().manual_seed(SEED + number)

    def convert(value: Any) -> Any:
        exact = in_float64(value)
        kind = value.dtype.to_real() if isinstance(value, torch.Tensor) and value.is_complex() else None
        kind = value.dtype if isinstance(value, torch.Tensor) and kind is None else kind
        if kind not in PRECISION or exact.layout != torch.strided:
            return exact
        signs = 2.0 * torch.randint(0, 2, exact.shape, generator=generator, dtype=torch.float64) - 1.0
        plain = exact.detach()
        if kind == torch.float64:
            moved = plain + (plain * (1.0 + EPSILON * signs) - plain) * magnified
        else:
            moved = plain * (1.0 + relative(kind) * signs)
        return moved.to(exact.dtype).requires_grad_(exact.requires_grad)

    return convert


SINGLE = {torch.float64: torch.float32, torch.complex128: torch.complex64}


def in_single(value: Any) -> Any:
    """`copied`, in single precision where it is in double precision; dtypes likewise."""
    if isinstance(value, torch.dtype):
        return SINGLE.get(value, value)
    if not isinstance(value, torch.Tensor) or value.dtype not in SINGLE:
        return copied(value)
    return value.detach().to(SINGLE[value.dtype]).requires_grad_(value.requires_grad)


def through_single(value: Any) -> Any:
    """`copied`, rounded to single precision where it is in double precision."""
    if not isinstance(value, torch.Tensor) or value.dtype not in SINGLE:
        return copied(value)
    rounded = value.detach().to(SINGLE[value.dtype]).to(value.dtype)
    return rounded.requires_grad_(value.requires_grad)


def detached(value: Any) -> Any:
    """Without the wish for a gradient."""
    return value.detach() if isinstance(value, torch.Tensor) else value


def weights_like(result: torch.Tensor) -> torch.Tensor:
    """Fixed weights in [-1, 1) for the elements of a result, the same in every type, without an operator
    that computes."""
    drawn = numpy.random.default_rng(SEED).integers(-64, 64, tuple(result.shape)) / 64
    if result.dtype == torch.bfloat16:
        halves = numpy.asarray(drawn, numpy.float32).view(numpy.uint32) >> 16
        return torch.from_numpy(numpy.asarray(halves, numpy.uint16)).view(torch.bfloat16)
    return torch.from_numpy(numpy.asarray(drawn, str(result.dtype).removeprefix("torch.")))


def summary(arguments: Any) -> str:
    """Inputs in words: shapes and types of tensors, other values as they are."""

    def word(x: Any) -> str:
        if isinstance(x, torch.Tensor):
            strided = "" if x.layout != torch.strided or x.is_contiguous() else f" strides {list(x.stride())}"
            return f"{str(x.dtype)[6:]}{list(x.shape)}{strided}"
        if isinstance(x, (list, tuple)):
            return "(" + ", ".join(word(y) for y in x) + ")"
        if isinstance(x, dict):
            return ", ".join(f"{k}={word(v)}" for k, v in x.items())
        return repr(x) if not callable(x) else "function"

    text = word(arguments)
    return text if len(text) <= 300 else text[:297] + "..."
