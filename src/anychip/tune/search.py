"""Descent along one coordinate at a time over sizes that are powers of two. Flows in: the sizes to begin
with, a cost model that prunes, and what measures. Flows out: each improvement as it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .budget import Budget

Sizes = Mapping[str, int]

GAIN = 0.95
"""Other sizes are taken where their time is below this part of the best so far."""
STEPS = (2, -1, 1, -2)
"""Exponents by which a size is changed."""


@dataclass(frozen=True, slots=True)
class Space:
    """Which sizes are worth a measurement: `least` and `most` of each, a working set of at most `bytes`
    for `element_bytes` an element, and at least `programs` program instances over `elements`.

    A name of `sides` is a side of a square block; all other sizes are taken to be elements of a block on
    their own, unless `product`: then a block has as many elements as the product of all.
    """

    bytes: int
    element_bytes: int = 4
    elements: int = 0
    programs: int = 1
    sides: frozenset[str] = frozenset()
    product: bool = False
    least: int = 4
    most: int = 1 << 16

    def admits(self, sizes: Sizes, changed: str) -> bool:
        """Whether the cost model leaves `sizes` in, which differ from known ones in `changed`."""
        size = sizes[changed]
        if not self.least <= size <= self.most:
            return False
        block = size * size if changed in self.sides else size
        if self.product:
            block = 1
            for value in sizes.values():
                block *= value
        if block * self.element_bytes > self.bytes:
            return False
        return not self.elements or -(-self.elements // block) >= self.programs


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement: `sizes` took `seconds`; `best` are the best so far and their time."""

    sizes: Sizes
    seconds: float
    best: Sizes
    best_seconds: float


def descend(
    start: Sizes,
    space: Space,
    measure: Callable[[list[Sizes]], list[float | None]],
    budget: Budget,
) -> Iterator[Step]:
    """Try neighbours of the best sizes until none is faster or the budget is over. `measure` times several
    candidates in turns, the best so far first; None for one that cannot run or computes something else."""
    best = dict(start)
    known = {_key(best)}
    improved = True
    while improved and not budget.over:
        improved = False
        for name in start:
            candidates = []
            for step in STEPS:
                size = best[name] << step if step > 0 else best[name] >> -step
                sizes = {**best, name: size}
                if size and _key(sizes) not in known and space.admits(sizes, name):
                    known.add(_key(sizes))
                    candidates.append(sizes)
            if not candidates or budget.over:
                continue
            base, *times = measure([best, *candidates])
            if base is None:
                return
            winner, least = best, base
            for sizes, seconds in zip(candidates, times, strict=True):
                if seconds is not None and seconds < GAIN * base and seconds < least:
                    winner, least = sizes, seconds
            improved = improved or winner is not best
            best = dict(winner)
            for sizes, seconds in zip(candidates, times, strict=True):
                if seconds is not None:
                    yield Step(sizes, seconds, best, least)


def _key(sizes: Sizes) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(sizes.items()))
