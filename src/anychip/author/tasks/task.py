"""What a task is: a function of PyTorch's to compare with, and a way to draw its arguments."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

VALUES = ("normal", "shifted", "wide", "large", "small", "equal", "sparse")
"""Kinds of values that a call's floating inputs have: a kernel that relies on one kind is wrong for
others."""


class Arguments(NamedTuple):
    """Arguments of one call. A model's first one is the dictionary of its parameters."""

    positional: tuple[Any, ...]
    keywords: Mapping[str, Any] = {}


class Draw:
    """Where a task's arguments come from. Shapes are drawn by `shape_seed`, so that they can be had again;
    values by `seed`. `scale` from 0 to 1: how large, within a task's bounds; `values`: one of VALUES, or
    any."""

    def __init__(self, shape_seed: int, seed: int, scale: float, dtype: torch.dtype, values: str = ""):
        self._shapes = random.Random(shape_seed)
        self._numbers = random.Random(seed)
        self.generator = torch.Generator().manual_seed(self._numbers.getrandbits(60))
        self.scale = scale
        self.dtype = dtype
        self.values = values or self._numbers.choice(VALUES)

    def size(self, least: int, most: int) -> int:
        """An extent between two, near the one that the scale says: the same for the same shape."""
        middle = least * (most / least) ** self.scale
        return min(most, max(least, int(middle * self._shapes.uniform(0.8, 1.25))))

    def choice(self, options: Sequence[Any]) -> Any:
        """One of several: the same for the same shape."""
        return self._shapes.choice(options)

    def normal(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """A floating tensor of one of the kinds of values; each number is about 1 in most of them."""
        x = torch.randn(shape, generator=self.generator)
        kind = self.values
        if kind == "shifted":
            x = x * self._numbers.uniform(0.2, 2) + self._numbers.uniform(-2, 2)
        elif kind == "wide":
            x = x * torch.exp(torch.randn(shape, generator=self.generator))
        elif kind == "large":
            x = x * 64
        elif kind == "small":
            x = x * 2.0**-8
        elif kind == "equal":
            x = torch.full(shape, self._numbers.uniform(-2, 2)) + x * (
                torch.rand(shape, generator=self.generator) < 0.1
            )
        elif kind == "sparse":
            x = x * (torch.rand(shape, generator=self.generator) < 0.2)
        return x.to(dtype or self.dtype)

    def uniform(self, low: float, high: float, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Values from [low, high)."""
        x = torch.rand(shape, generator=self.generator) * (high - low) + low
        return x.to(dtype or self.dtype)

    def integers(self, low: int, high: int, *shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
        """Integers from [low, high)."""
        return torch.randint(low, high, shape, generator=self.generator, dtype=dtype)

    def number(self, low: float, high: float) -> float:
        """A number from [low, high)."""
        return self._numbers.uniform(low, high)

    def seed(self) -> None:
        """Seed PyTorch's own generator, for arguments that are drawn by it."""
        torch.manual_seed(self._numbers.getrandbits(60))


@dataclass(frozen=True, slots=True)
class Task:
    """`name` is what `find` takes. `reference` computes it with PyTorch; `draw` gives the arguments of a
    call. `strided`: whether inputs may have any strides, as PyTorch's functions take; `differentiable`:
    whether gradients are asked for where the candidate has them. `init`: what an object of a candidate's
    class is made with. `source`: what the task is, for its digest. `operations`: floating-point operations of
    a call at least."""

    name: str
    reference: Callable[..., Any]
    draw: Callable[[Draw], Arguments]
    source: str
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    strided: bool = True
    differentiable: bool = False
    init: tuple[Any, ...] = ()
    operations: Callable[[Arguments], float] | None = None
    reads_all: bool = True
    """Whether every element of every input is needed."""
    mixes: Callable[[torch.Tensor], bool] = lambda tensor: True
    """Whether an input's elements may be exchanged for other draws of the same, one by one."""
    composed: bool = False
    """Whether the reference is several operators, between which values are kept in the type at hand."""
