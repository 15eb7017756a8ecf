"""Offsets of an access computed anew in 64 bits, so that it shows when 32-bit arithmetic overflowed.

In: the address of an access, at a point. Out: linear forms in i64, one for each sum or product in i32 that
the address is made of; where one is outside of the range of i32, the address is not what was meant. Only
sums, products and moves are looked through: what comes from memory, quotients or bits is taken as it is, so
that a hash that overflows on purpose is none of it.
"""

from __future__ import annotations

from ..ir.core import Op, Value
from ..ir.types import PointerType
from ..llvm.types import Val
from .evaluation import Evaluation
from .linear import Lane, Lin
from .moves import MOVES
from .point import ZERO, Point

_ARITHMETIC = {"arith.addi": "add", "arith.subi": "sub", "arith.muli": "mul"}
"""Operations that are done again, and LLVM's names of them."""

_DEEPEST = 64
"""Operations between an address and what it is made of; what lies deeper is taken as it is."""


class WideOffsets:
    """The offsets of one access."""

    def __init__(self, ev: Evaluation):
        self.ev = ev
        self.b = ev.b
        self.found: list[Lane] = []
        self._known: dict[tuple[Value, Point], tuple[Lane, bool]] = {}

    def of(self, pointer: Value, point: Point) -> list[Lane]:
        """What an address at a point is made of: i64 forms of the i32 arithmetic in it."""
        for _ in range(_DEEPEST):
            op = pointer.defining_op
            if op is None or pointer in self.ev.context.available:
                break
            if op.name == "tt.addptr":
                self._offset(op.operands[1], point, 0)
                pointer = op.operands[0]
                continue
            moved = self._moved(op, pointer, point)
            if moved is None or not isinstance(pointer.element, PointerType):
                break
            pointer, point = moved
        return self.found

    def _offset(self, value: Value, point: Point, depth: int) -> Lane:
        """`value` in i64. It is noted if it is a 32-bit result of arithmetic."""
        wide, computed = self._wide(value, point, depth)
        if computed and value.element.bits == 32:
            self.found.append(wide)
        return wide

    def _wide(self, value: Value, point: Point, depth: int) -> tuple[Lane, bool]:
        """`value` in i64, and whether arithmetic made it that may overflow."""
        point = point if value.shape else ()
        key = (value, point)
        if key not in self._known:
            self._known[key] = self._compute(value, point, depth)
        return self._known[key]

    def _compute(self, value: Value, point: Point, depth: int) -> tuple[Lane, bool]:
        op = value.defining_op
        if op is None or value in self.ev.context.available or depth > _DEEPEST:
            return self._leaf(value, point), False
        if op.name in _ARITHMETIC and value.element.bits >= 32:
            x, y = (self._wide(v, point, depth + 1)[0] for v in op.operands)
            return self._arithmetic(op.name, x, y), True
        if op.name == "arith.extsi" and op.operands[0].element.bits == 32:
            return self._offset(op.operands[0], point, depth + 1), False
        moved = self._moved(op, value, point)
        if moved is not None:
            return self._wide(*moved, depth + 1)
        return self._leaf(value, point), False

    def _moved(self, op: Op, value: Value, point: Point) -> tuple[Value, Point] | None:
        """Where the element comes from that `op` moves; None if it does something else."""
        if op.name == "tt.splat":
            return op.operands[0], (ZERO,) * len(op.operands[0].shape)
        if op.name in MOVES:
            return op.operands[0], MOVES[op.name](self.ev, op, value, point)
        return None

    def _leaf(self, value: Value, point: Point) -> Lane:
        lane = self.ev.lane(value, point) if value.shape else self.ev.context.scalars[value]
        if lane.type.bits >= 64:
            return lane
        if isinstance(lane, Lin):
            if lane.guards or self.ev.linear.may_wrap(lane):
                lane = self.ev.linear.vector(lane, self.ev.lanes)
            else:
                return self.ev.linear.cast(lane, "sext", "i64", separate=False)
        return self.b.cast("sext", lane, "i64")

    def _arithmetic(self, name: str, x: Lane, y: Lane) -> Lane:
        linear, lanes = self.ev.linear, self.ev.lanes
        if isinstance(x, Lin) and x.guards:
            x = linear.vector(x, lanes)
        if isinstance(y, Lin) and y.guards:
            y = linear.vector(y, lanes)
        if isinstance(x, Val) and isinstance(y, Val):
            return self.b.binary(_ARITHMETIC[name], x, y)
        left, right = linear.of(x, lanes), linear.of(y, lanes)
        if name == "arith.muli":
            for a, c in ((x, y), (y, x)):
                if isinstance(a, Lin) and isinstance(c, Val) and c.lanes == 1:
                    return linear.scale(a, c)
        elif left is not None and right is not None:
            return linear.add(left, right, -1 if name == "arith.subi" else 1)
        first, second = (self.b.splat(linear.vector(v, lanes), lanes) for v in (x, y))
        return self.b.binary(_ARITHMETIC[name], first, second)
