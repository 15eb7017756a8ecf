"""Values of a kernel's scalars, as far as they follow from the arguments of a launch. Flows in: a scalar of
the tile IR. Flows out: its number in the program instance in the middle of the grid, or None."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..compiler.ir.core import Op, Value

Number = int | float | bool

TRIPS = 16.0
"""Iterations of a loop whose bounds are not known."""


def _divided(a: int, b: int) -> int:
    return int(a / b) if b else 0


_RULES: dict[str, Callable[..., Number]] = {
    "arith.addi": operator.add,
    "arith.subi": operator.sub,
    "arith.muli": operator.mul,
    "arith.divsi": _divided,
    "arith.divui": _divided,
    "arith.ceildivsi": lambda a, b: -_divided(-a, b),
    "arith.remsi": lambda a, b: a - b * _divided(a, b),
    "arith.remui": lambda a, b: a - b * _divided(a, b),
    "arith.minsi": min,
    "arith.minui": min,
    "arith.maxsi": max,
    "arith.maxui": max,
    "arith.extsi": lambda a: a,
    "arith.extui": lambda a: a,
    "arith.trunci": lambda a: a,
    "arith.index_cast": lambda a: a,
    "arith.shli": operator.lshift,
    "arith.shrsi": operator.rshift,
    "arith.select": lambda condition, a, b: a if condition else b,
}
_COMPARISONS: dict[str, Callable[[Number, Number], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "slt": operator.lt,
    "sle": operator.le,
    "sgt": operator.gt,
    "sge": operator.ge,
    "ult": operator.lt,
    "ule": operator.le,
    "ugt": operator.gt,
    "uge": operator.ge,
}


@dataclass
class Scalars:
    """`arguments` are the values of the kernel's arguments, None for pointers; `grid` is that of the
    launch."""

    arguments: Mapping[Value, Number | None]
    grid: Sequence[int]
    _known: dict[Value, Number | None] = field(default_factory=dict)

    def of(self, value: Value) -> Number | None:
        """The number, None where it is not known."""
        if value in self.arguments:
            return self.arguments[value]
        if value not in self._known:
            self._known[value] = None
            op = value.defining_op
            self._known[value] = None if op is None or value.shape else self._computed(op)
        return self._known[value]

    def trips(self, op: Op) -> float:
        """How often an `scf.for` goes round."""
        lower, upper, step = (self.of(v) for v in op.operands[:3])
        if lower is None or upper is None or not step:
            return TRIPS
        return float(max(0, -(-(upper - lower) // step)))

    def _computed(self, op: Op) -> Number | None:
        if op.name == "arith.constant":
            found = op.attrs.get("value")
            return found if isinstance(found, int | float) else None
        if op.name in ("tt.get_program_id", "tt.get_num_programs"):
            extent = self.grid[op.attrs["axis"]]
            return extent // 2 if op.name == "tt.get_program_id" else extent
        table = _COMPARISONS if op.name == "arith.cmpi" else _RULES
        rule = table.get(op.attrs.get("predicate", "") if table is _COMPARISONS else op.name)
        operands = [number for v in op.operands if (number := self.of(v)) is not None]
        if rule is None or len(operands) < len(op.operands):
            return None
        try:
            return rule(*operands)
        except (ArithmeticError, TypeError, ValueError):
            return None
