"""Descent along one dimension at a time over sizes that are powers of two and over the scheduler's choices.
Flows in: the point to begin with, bounds, a cost model that prunes, and what measures. Flows out: each
measurement with the best so far."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..compiler.schedule.choices import VALUES
from .budget import Budget

Value = int | str
Point = Mapping[str, Value]
Sizes = Mapping[str, int]

CHOICES: dict[str, tuple[Value, ...]] = {name: (type(known[0])(), *known) for name, known in VALUES.items()}
"""The scheduler's choices with all their values, that of leaving it to the rules first."""

GAIN = 0.95
"""Another point is taken where its time is below this part of the best so far."""
STEPS = (2, -1, 1, -2)
"""Exponents by which a size is changed."""
HOPELESS = 1.15
"""A point that the cost model expects to take more than so many times the best so far is not measured."""


@dataclass(frozen=True, slots=True)
class Space:
    """Which sizes are worth a look: `least` and `most` of each, a working set of at most `bytes` for
    `element_bytes` an element, and at least `programs` program instances over `elements`. `alternatives` are
    the values of what is no size.

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
    alternatives: Mapping[str, Sequence[Value]] = field(default_factory=dict)

    def neighbours(self, point: Point, name: str) -> Iterator[Point]:
        """The points that differ from `point` in `name`, and that the bounds leave in."""
        value = point[name]
        if name in self.alternatives:
            yield from ({**point, name: other} for other in self.alternatives[name] if other != value)
            return
        assert isinstance(value, int)
        for step in STEPS:
            changed = {**point, name: value << step if step > 0 else value >> -step}
            if changed[name] and self.admits(changed, name):
                yield changed

    def admits(self, point: Point, changed: str) -> bool:
        """Whether the bounds leave in a point that differs from a known one in the size `changed`."""
        sizes = {
            n: value for n, value in point.items() if n not in self.alternatives and isinstance(value, int)
        }
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
    """One measurement: `sizes` took `seconds`, and the cost model had `expected` (0: no model); `best` is the
    best point so far, with its time."""

    sizes: Point
    seconds: float
    best: Point
    best_seconds: float
    expected: float = 0.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What the cost model says of a point: its `cost` in any unit, and its `code`: points of equal code are
    one. None of either: it cannot tell."""

    cost: float | None = None
    code: Hashable = None


Expect = Callable[[Point], Expected]


def descend(
    start: Point,
    space: Space,
    measure: Callable[[list[Point]], list[float | None]],
    budget: Budget,
    expect: Expect = lambda point: Expected(),
) -> Iterator[Step]:
    """Try neighbours of the best point until none is faster or the budget is over. `measure` times several
    candidates in turns, the best so far first; None for one that cannot run or computes something else."""
    best: Point = dict(start)
    known: set[Hashable] = {_key(best), expect(best).code}
    improved = True
    while improved and not budget.over:
        improved = False
        for name in start:
            fresh = [point for point in space.neighbours(best, name) if _key(point) not in known]
            known.update(map(_key, fresh))
            candidates, expected = _promising(best, fresh, expect, known)
            if not candidates or budget.over:
                continue
            base, *times = measure([best, *candidates])
            if base is None:
                return
            winner, least = best, base
            for point, seconds in zip(candidates, times, strict=True):
                if seconds is not None and seconds < GAIN * base and seconds < least:
                    winner, least = point, seconds
            improved = improved or winner is not best
            best = dict(winner)
            for point, seconds, cost in zip(candidates, times, expected, strict=True):
                if seconds is not None:
                    yield Step(point, seconds, best, least, cost)


def _promising(
    best: Point, fresh: list[Point], expect: Expect, known: set[Hashable]
) -> tuple[list[Point], list[float]]:
    """The points that the cost model leaves in, with what it expects of each as a multiple of the best. Of
    points of equal code, the first is enough: `known` gets their codes."""
    base = expect(best).cost if fresh else None
    left, costs = [], []
    for point in fresh:
        said = expect(point)
        if said.code is not None:
            if said.code in known:
                continue
            known.add(said.code)
        cost = said.cost / base if base and said.cost else 0.0
        if cost <= HOPELESS:
            left.append(point)
            costs.append(cost)
    return left, costs


def _key(point: Point) -> tuple[tuple[str, Value], ...]:
    return tuple(sorted(point.items()))
