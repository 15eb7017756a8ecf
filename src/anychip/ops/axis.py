"""A tensor seen around one dimension, or around several that are merged: [outer, length, inner], with
the dimension of interest in the middle. Sizes and views only; what copies is the library's own copy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from .errors import ArgumentError, DimensionError


class Around(NamedTuple):
    """Sizes before, along and after a dimension of a contiguous tensor."""

    outer: int
    length: int
    inner: int


def normal_dim(dim: int, rank: int) -> int:
    """`dim` counted from the front; a 0-d tensor counts as one of one dimension."""
    limit = max(rank, 1)
    if not -limit <= dim < limit:
        raise DimensionError(
            f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim})"
        )
    return dim % limit


def around(shape: Sequence[int], dim: int) -> Around:
    """Sizes around `dim` (already normal) of a contiguous tensor of `shape`."""
    if not shape:
        return Around(1, 1, 1)
    return Around(math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :]))


def last(x: torch.Tensor, dim: int) -> torch.Tensor:
    """A contiguous tensor with `dim` moved to the end (a 0-d tensor as one of one element)."""
    return x.contiguous().view(1) if x.ndim == 0 else x.movedim(dim, -1).contiguous()


def without(shape: Sequence[int], dim: int, keepdim: bool) -> tuple[int, ...]:
    """The shape of a result reduced over `dim`."""
    if not shape:
        return ()
    return (*shape[:dim], *((1,) if keepdim else ()), *shape[dim + 1 :])


def check_in_place(name: str, self: Any, out: Any, shape: Sequence[int]) -> None:
    """An operation in place never gives its tensor another shape. Raises ArgumentError."""
    if out is self and out is not None and tuple(self.shape) != tuple(shape):
        raise ArgumentError(
            f"{name}: a tensor of shape {list(self.shape)} cannot hold a result of {list(shape)} in place"
        )


def delivered(result: torch.Tensor, out: Any) -> torch.Tensor:
    """`result`, written into `out` (resized if needed) where one is given."""
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)
