"""Inputs at the edges of what a call may be given, made of a sample's own: expanded and transposed memory,
no element, no dimension, NaN and infinities. Flows in: the inputs of a sample. Flows out: further inputs, by
kind of trial; PyTorch says which of them are calls at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_map

from .comparison import tensors_in

SPECIAL = ((math.nan,), (math.inf, 0.0), (-math.inf, -0.0, math.inf))
"""Values that are put into the first tensor, each set in a call of its own: NaN hides what infinity does,
and the two infinities hide each other."""


def edges(inputs: Any) -> Iterator[tuple[str, Any]]:
    """(kind, inputs) for what can be made of the inputs (a list of arguments, a dict of keywords) of a
    sample. The tensors of one shape with the first one change as it does."""
    given = tensors_in(inputs)
    if not given or given[0].layout != torch.strided:
        return
    first = given[0]
    alike = [x for x in given if x.shape == first.shape and x.layout == torch.strided]
    if first.ndim:
        yield "empty", _replaced(inputs, alike, lambda x: x.narrow(0, 0, 0))
    if first.numel() and first.ndim:
        yield "0-d", _replaced(inputs, alike, lambda x: x[(0,) * x.ndim])
    if first.ndim and first.shape[0] > 1:
        yield "expanded", _replaced(inputs, [first], lambda x: x.narrow(0, 0, 1).expand(x.shape))
    plural = [x for x in given if x.ndim > 1 and x.layout == torch.strided]
    if plural:
        yield "transposed", _replaced(inputs, plural, _transposed)
    if first.is_floating_point() and first.numel() > len(SPECIAL[-1]):
        for values in SPECIAL:
            yield "special", _replaced(inputs, [first], lambda x, values=values: _with_values(x, values))


def _replaced(inputs: Any, chosen: list[torch.Tensor], change: Callable[[torch.Tensor], Any]) -> Any:
    places = {id(x) for x in chosen}
    return tree_map(lambda x: change(x) if id(x) in places else x, inputs)


def _transposed(x: torch.Tensor) -> torch.Tensor:
    """The same values, with the last dimension outermost in memory."""
    order = tuple(reversed(range(x.ndim)))
    return x.permute(order).contiguous().permute(order)


def _with_values(x: torch.Tensor, values: tuple[float, ...]) -> torch.Tensor:
    """The values spread over a copy of the tensor."""
    changed = x.flatten().clone()
    step = changed.numel() // len(values)
    for place, value in enumerate(values):
        changed[place * step] = value
    return changed.reshape(x.shape)
