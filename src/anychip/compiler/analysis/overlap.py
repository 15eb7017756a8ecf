"""Do two accesses touch the same elements, index by index, or none in common?

In: the linear forms of two tiles of pointers over the same nest. Out: yes, or not known. Where the
answer is yes, chunks of the one may be done between chunks of the other.
"""

from __future__ import annotations

from .polynomial import Polynomial
from .structure import Linear


def same_or_apart(first: Linear, second: Linear, shape: tuple[int, ...]) -> bool:
    """Whether an element that both touch is touched at the same index, and there only."""
    if not same_strides(first, second, shape):
        return False
    if first.base is None or second.base is None:
        return False
    distance = (first.base - second.base).as_int
    return distance == 0 or (distance is not None and _apart(first.strides, distance, shape))


def same_strides(first: Linear, second: Linear, shape: tuple[int, ...]) -> bool:
    """Whether both move alike along every axis, to another element at each index.

    Strides that are known at run time only are taken to lead to different elements.
    """
    if first.strides != second.strides or first.wrapped or second.wrapped:
        return False
    reach = 0
    steps = [(s, size) for s, size in zip(first.strides, shape, strict=True) if size > 1]
    constants = [(abs(s.as_int), size) for s, size in steps if s is not None and s.as_int is not None]
    for step, size in sorted(constants):
        if step <= reach:
            return False
        reach += step * (size - 1)
    return all(s is not None for s, _ in steps)


def _apart(strides: tuple[Polynomial | None, ...], distance: int, shape: tuple[int, ...]) -> bool:
    """Whether two lattices of equal constant strides, `distance` elements from one another, are disjoint:
    no sum of whole steps makes up the distance."""
    steps = [None if s is None else s.as_int for s in strides]
    if any(s is None for s in steps):
        return False
    known = [(abs(s), size) for s, size in zip(steps, shape, strict=True) if s is not None and size > 1]
    return not _steps_make(abs(distance), sorted(known, reverse=True))


def _steps_make(distance: int, steps: list[tuple[int, int]]) -> bool:
    """Whether `distance` is a sum of multiples, each less than its size either way, of steps, largest first.
    Each step passes all that the smaller ones reach, so that at most two multiples of it come near."""
    if not steps:
        return distance == 0
    (step, size), *smaller = steps
    reach = sum(s * (n - 1) for s, n in smaller)
    first = max(-(-(distance - reach) // step), 1 - size)
    last = min((distance + reach) // step, size - 1)
    return any(_steps_make(distance - k * step, smaller) for k in range(first, last + 1))
