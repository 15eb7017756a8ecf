"""Every operator of the library as a task: the candidate takes the arguments of PyTorch's overload. Shapes
are drawn from those that `anychip bench ops` times operators with, at another size each time; values are
those of that table, moved about."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ...bench.arguments import APPROXIMATE, RANDOM, Size, arguments
from ...bench.arguments.size import LARGE
from ...ops.registry import Operator, Overload
from ...ops.schemas import overload_of
from .task import Arguments, Draw, Task

LEAST = Size("least", 3, 17, (1, 4, 16, 16), (1, 4, 8, 8, 8), 8)
"""Sizes between this and what leaves a core's caches."""
ORDERED_DOMAINS = frozenset({"linalg", "fft"})
"""Domains whose matrices have a structure (triangular, positive definite) that moving elements would destroy:
they are scaled."""


def task(operator: Operator, overload: Overload) -> Task:
    """The task of an overload."""
    return Task(
        overload.name,
        overload_of(overload.name),
        functools.partial(_drawn, operator, overload),
        f"PyTorch's aten::{overload.name}",
        tuple(dtype for dtype in operator.dtypes if dtype.is_floating_point) or (operator.dtypes[0],),
        strided=operator.domain not in ORDERED_DOMAINS,
        reads_all=False,
        mixes=functools.partial(_may_be_moved, ordered=operator.domain in ORDERED_DOMAINS),
    )


def has_answer(name: str) -> bool:
    """Whether an overload gives a result that can be compared with something: random ones cannot, nor those
    of which PyTorch itself gives an approximation; and forms that write into an argument give none."""
    return name not in RANDOM and name not in APPROXIMATE and not overload_of(name)._schema.is_mutable


def size_of(draw: Draw) -> Size:
    """A size as the draw says: multiples of 4 where operators need them."""

    def between(least: int, most: int, step: int = 1) -> int:
        return max(least, draw.size(least, most) // step * step)

    def several(least: tuple[int, ...], most: tuple[int, ...]) -> Any:
        return tuple(between(a, b, 4 if k else 1) for k, (a, b) in enumerate(zip(least, most)))

    return Size(
        "hidden",
        between(LEAST.rows, LARGE.rows),
        between(LEAST.columns, LARGE.columns),
        several(LEAST.images, LARGE.images),
        several(LEAST.volumes, LARGE.volumes),
        between(LEAST.side, LARGE.side, 4),
    )


def _drawn(operator: Operator, overload: Overload, draw: Draw) -> Arguments:
    sample = arguments(operator, overload, size_of(draw))
    ordered = operator.domain in ORDERED_DOMAINS
    factor = draw.number(0.5, 1.0)

    def moved(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            return value
        if value.is_floating_point() and value.dtype.itemsize > 1:
            value = (value * factor).to(draw.dtype if operator.dtypes[0].is_floating_point else value.dtype)
        return _permuted(value, draw) if _may_be_moved(value, ordered) else value

    positional, keywords = tree_map(moved, (sample.arguments, dict(sample.keywords)))
    return Arguments(tuple(positional), keywords)


def _may_be_moved(value: torch.Tensor, ordered: bool) -> bool:
    """Whether a tensor's elements have no order that might matter: sorted ones have, and those of `ordered`
    operators."""
    if ordered or value.numel() < 3 or not value.ndim or value.is_complex():
        return False
    return not bool((value.diff(dim=-1) >= 0).all()) or value.shape[-1] < 2


def _permuted(value: torch.Tensor, draw: Draw) -> torch.Tensor:
    order = torch.randperm(math.prod(value.shape), generator=draw.generator)
    return value.flatten()[order].reshape(value.shape)
