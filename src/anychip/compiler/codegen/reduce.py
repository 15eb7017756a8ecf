"""Accumulators of a reduction: one for each chunk of a nest's body, combined across lanes at the end.

Any associative and commutative region works, as on a GPU: it is applied to whole vectors, and the lanes
are folded in halves.
A region that is one known operation starts from that operation's identity; any other starts from
the first chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

from ..analysis.combining import combining_op
from ..ir.types import F32, F64, ElementType, ScalarType
from ..llvm.types import I1, Val, mangle
from ..schedule.steps import Reduce
from .context import Context
from .elementwise import constant
from .regions import apply_region
from .register_types import register_type


def _least(element: ScalarType) -> float | int:
    return -math.inf if element.is_float else -(1 << (element.bits - 1))


def _greatest(element: ScalarType) -> float | int:
    return math.inf if element.is_float else (1 << (element.bits - 1)) - 1


IDENTITIES: dict[str, Callable[[ScalarType], float | int]] = {
    "arith.addf": lambda e: -0.0,
    "arith.addi": lambda e: 0,
    "arith.mulf": lambda e: 1.0,
    "arith.muli": lambda e: 1,
    "arith.maxnumf": lambda e: math.nan,
    "arith.minnumf": lambda e: math.nan,
    "arith.maximumf": _least,
    "arith.minimumf": _greatest,
    "arith.maxsi": _least,
    "arith.minsi": _greatest,
    "arith.maxui": lambda e: 0,
    "arith.minui": lambda e: -1,
    "arith.andi": lambda e: -1,
    "arith.ori": lambda e: 0,
    "arith.xori": lambda e: 0,
}
"""The value that leaves the other operand as it is."""


_EXTREMES = {"arith.maxnumf": ("ogt", -math.inf), "arith.minnumf": ("olt", math.inf)}
"""Extremes of floats that pass over NaN: the comparison, and what never wins it."""


class Accumulators:
    """The running values of one `Reduce` root, `parts` vectors per operand."""

    def __init__(self, context: Context, root: Reduce, lanes: int, parts: int):
        self.context = context
        self.b = context.b
        self.root = root
        self.lanes = lanes
        self.parts = parts
        self.elements: list[ElementType] = [v.element for v in root.op.operands]
        name = combining_op(root.op)
        self.identity = IDENTITIES.get(name) if name is not None else None
        self.extreme = _EXTREMES.get(name or "") if self.elements[0] in (F32, F64) else None
        self.slots = [[self.b.alloca(register_type(e, lanes)) for e in self.elements] for _ in range(parts)]

    @property
    def has_identity(self) -> bool:
        """Whether the combining operation has a known identity, from which accumulators can start."""
        return self.identity is not None

    def begin(self) -> None:
        """Set every accumulator to the identity, where there is one."""
        if self.identity is None:
            return
        for slots in self.slots:
            for slot, element in zip(slots, self.elements, strict=True):
                assert isinstance(element, ScalarType)
                start = constant(self.b, self.identity(element), element, self.context.target)
                self.b.store(self.b.splat(start, self.lanes), slot, element.bytes)

    def add(self, chunk: int, values: list[Val], first: bool) -> None:
        """Combine one chunk into its accumulator; with `first`, it becomes the accumulator."""
        slots = self.slots[chunk % self.parts]
        if not first or chunk >= self.parts:
            values = self._combined(self.values(chunk % self.parts), values)
        for slot, value, element in zip(slots, values, self.elements, strict=True):
            self.b.store(self.b.splat(value, self.lanes), slot, element.bytes)

    def values(self, chunk: int) -> list[Val]:
        """The accumulator of one chunk of the body."""
        return [
            self.b.load(register_type(e, self.lanes), slot, e.bytes)
            for slot, e in zip(self.slots[chunk], self.elements, strict=True)
        ]

    def across_lanes(self) -> list[Val]:
        """Everything combined into one scalar per operand."""
        parts = [self.values(chunk) for chunk in range(self.parts)]
        if self.extreme is not None and self.lanes > 1:
            return [self._extreme(*self.extreme, [part for (part,) in parts])]
        while len(parts) > 1:
            pairs = [self._combined(parts[k], parts[k + 1]) for k in range(0, len(parts) - 1, 2)]
            parts = pairs + ([parts[-1]] if len(parts) % 2 else [])
        totals = parts[0]
        lanes = self.lanes
        while lanes > 1:
            half = lanes // 2
            low = [self.b.shuffle(v, range(half)) for v in totals]
            high = [self.b.shuffle(v, range(half, lanes)) for v in totals]
            totals = self._combined(low, high)
            lanes = half
        return totals

    def _combined(self, left: list[Val], right: list[Val]) -> list[Val]:
        """The two sides, lane by lane, by the reduction's own operation."""
        return apply_region(self.context, self.root.op.regions[0], [*left, *right])

    def _extreme(self, comparison: str, last: float, parts: list[Val]) -> Val:
        """The largest or smallest lane that is a number; NaN where none is.

        With NaN put aside first, a step is one instruction on most machines, not a chain of four.
        """
        b, element = self.b, self.elements[0]
        assert isinstance(element, ScalarType)

        def better(x: Val, y: Val) -> Val:
            return b.select(b.fcmp(comparison, x, y), x, y)

        worst = b.splat(constant(b, last, element, self.context.target), self.lanes)
        numbers = [b.fcmp("ord", part, part) for part in parts]
        best = reduce(better, [b.select(n, part, worst) for n, part in zip(numbers, parts, strict=True)])
        while best.lanes > 1:
            half = best.lanes // 2
            best = better(b.shuffle(best, range(half)), b.shuffle(best, range(half, best.lanes)))
        some = reduce(b.or_, numbers)
        some = b.call(f"llvm.vector.reduce.or.{mangle(some.type)}", I1, [some])
        return b.select(some, best, constant(b, math.nan, element, self.context.target))
