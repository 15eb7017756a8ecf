"""Where a call's inputs are put. Flows in: arguments, an arena. Flows out: a message for the process, the
views of all tensors, and a copy of what their memory holds, with which it is compared after the call. Places
are new at each call; a shape keeps its strides, so that code which is compiled for them stays of
use."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from .arena import Arena, View, aligned
from .errors import JudgeError
from .processes.values import Tree, encoded

Stride = Callable[[tuple[int, ...], random.Random], tuple[int, ...]]


def _plain(shape: tuple[int, ...], chance: random.Random) -> tuple[int, ...]:
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= max(extent, 1)
    return tuple(reversed(strides))


def _padded(shape: tuple[int, ...], chance: random.Random) -> tuple[int, ...]:
    """Rows that lie further apart than they are long."""
    return _plain((*shape[:-1], shape[-1] + chance.choice((1, 3, 16))), chance)


def _transposed(shape: tuple[int, ...], chance: random.Random) -> tuple[int, ...]:
    """The last two axes exchanged in memory."""
    *outer, rows, columns = _plain((*shape[:-2], shape[-1], shape[-2]), chance)
    return (*outer, columns, rows)


def _spread(shape: tuple[int, ...], chance: random.Random) -> tuple[int, ...]:
    """Every second element."""
    return tuple(2 * step for step in _plain(shape, chance))


STRIDES: tuple[tuple[int, Stride], ...] = ((0, _plain), (2, _transposed), (2, _padded), (1, _spread))
"""Strides, each with the number of axes that it takes. The shapes that are tried have them in this order."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Strides of a shape's inputs: a row of STRIDES for all that have its axes, any for each (None), and a
    seed for what is drawn. `strided`: False for inputs that are contiguous and aligned always."""

    style: int | None
    seed: int
    strided: bool


@dataclass(slots=True)
class Placed:
    """Inputs in an arena. `free`: from where on the process may take memory."""

    tree: Tree
    views: list[View]
    free: int
    content: list[torch.Tensor] = field(default_factory=list)
    weights: list[Tree] = field(default_factory=list)

    def changed(self, arena: Arena) -> bool:
        """Whether the memory of an input is not what it was, the places between its elements included."""
        return any(not torch.equal(arena.content(v), c) for v, c in zip(self.views, self.content))


def place(
    arena: Arena,
    arguments: tuple[Any, Any],
    *,
    chance: random.Random,
    layout: Layout,
    poison: int,
    used: int,
    weights: list[torch.Tensor] | None = None,
) -> Placed:
    """Poison the first `used` bytes of the arena and put arguments (positional, keywords) into it. `chance`
    draws places. Raises JudgeError where they do not fit."""
    arena.bytes[:used].fill_(poison)
    shapes = random.Random(layout.seed)
    views: list[View] = []
    position = 64 * chance.randrange(64)

    def put(x: torch.Tensor) -> View:
        nonlocal position
        shape, moved = tuple(x.shape), layout.strided and x.numel() > 1
        style = shapes.randrange(len(STRIDES)) if layout.style is None else layout.style
        axes, make = STRIDES[style] if moved else STRIDES[0]
        stride = (make if x.ndim >= axes else _plain)(shape, shapes)
        shift = shapes.choice((0, 0, 1)) * x.element_size() if moved else 0
        extent = View(0, x.dtype, shape, stride, 0, 0).extent
        view = View(position + shift, x.dtype, shape, stride, position, shift + extent)
        position = aligned(position + view.size + 1) + 64 * chance.randrange(4)
        if position > arena.size:
            raise JudgeError(f"the inputs do not fit into {arena.size} bytes.")
        arena.tensor(view).copy_(x)
        views.append(view)
        return view

    placed = Placed(encoded(arguments, put), views, 0)
    placed.weights = [encoded(x, put) for x in weights or ()]
    placed.free = position + 64 * chance.randrange(64)
    placed.content = [arena.content(view) for view in views]
    return placed
