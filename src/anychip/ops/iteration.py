"""Iteration spaces of strided tensors: from a shape and the strides of several operands to the
fewest dimensions that visit the same elements. Pure integer arithmetic, no tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .errors import ArgumentError

Strides = tuple[int, ...]


class Space(NamedTuple):
    """`sizes` outermost first; `strides[k][d]` is the element stride of operand k along dimension d."""

    sizes: tuple[int, ...]
    strides: tuple[Strides, ...]


def broadcast_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape over which tensors of `shapes` are read together, by PyTorch's rules, without the SymPy that
    `torch.broadcast_shapes` imports. Raises ArgumentError for shapes that have none."""
    sizes = [1] * max(map(len, shapes), default=0)
    for shape in shapes:
        for d, size in enumerate(shape, len(sizes) - len(shape)):
            if size != 1 and sizes[d] not in (1, size):
                given = ", ".join(str(list(shape)) for shape in shapes)
                raise ArgumentError(
                    f"shapes {given} cannot be broadcast to one: {sizes[d]} and {size} differ"
                )
            sizes[d] = sizes[d] if size == 1 else size
    return tuple(sizes)


def broadcast_strides(shape: Sequence[int], strides: Sequence[int], target: Sequence[int]) -> Strides:
    """Strides with which a tensor of `shape` is read over the broadcast shape `target`."""
    missing = len(target) - len(shape)
    return (0,) * missing + tuple(
        0 if size == 1 and wanted != 1 else stride
        for size, stride, wanted in zip(shape, strides, target[missing:], strict=True)
    )


def coalesce(shape: Sequence[int], strides: Sequence[Strides], reorder: bool = True) -> Space:
    """Drop dimensions of size one and merge neighbours that every operand steps through evenly.

    With `reorder`, dimensions are first sorted by the stride of operand 0 (the output), largest
    first, as any order visits the same elements.
    """
    dims = [d for d, size in enumerate(shape) if size != 1]
    if reorder:
        dims.sort(key=lambda d: tuple(-operand[d] for operand in strides))
    sizes: list[int] = []
    merged: list[list[int]] = [[] for _ in strides]
    for d in dims:
        if sizes and all(
            kept[-1] == operand[d] * shape[d] for kept, operand in zip(merged, strides, strict=True)
        ):
            sizes[-1] *= shape[d]
            for kept, operand in zip(merged, strides, strict=True):
                kept[-1] = operand[d]
        else:
            sizes.append(shape[d])
            for kept, operand in zip(merged, strides, strict=True):
                kept.append(operand[d])
    if not sizes:
        return Space((1,), tuple((1,) for _ in strides))
    return Space(tuple(sizes), tuple(tuple(kept) for kept in merged))


def second_innermost(space: Space) -> Space:
    """Bring the dimension that some operand reads contiguously next to the innermost one, so that a
    two-dimensional tile covers both (a transposing copy)."""
    rank = len(space.sizes)
    if rank < 3:
        return space
    for d in range(rank - 2):
        if any(operand[d] == 1 and operand[-1] not in (0, 1) for operand in space.strides):
            order = [k for k in range(rank) if k not in (d, rank - 1)] + [d, rank - 1]
            return Space(
                tuple(space.sizes[k] for k in order),
                tuple(tuple(operand[k] for k in order) for operand in space.strides),
            )
    return space


def power_of_two(value: int) -> int:
    """The smallest power of two that is not below `value` (at least 1)."""
    return 1 << max(0, value - 1).bit_length()
