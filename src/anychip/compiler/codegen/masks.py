"""When is a whole chunk unmasked? Masks of a nest's accesses as one scalar condition.

A mask that compares a linear index with a scalar is true in all lanes if it is true in the
extreme ones. Where every such condition of a chunk holds, the chunk runs without masks.
"""

from __future__ import annotations

from ..analysis.exchanges import EXCHANGE
from ..ir.core import Op, Value
from ..ir.ops import MASK_OPERAND
from ..llvm.types import Val
from ..schedule.placement import is_inline_op
from .evaluation import RULES, Assumption, Evaluation
from .linear import Lin
from .moves import MOVES
from .point import Point

_IN_PLACE = frozenset({"tt.load", "tt.map_elementwise", EXCHANGE})
"""Operations with a rule of their own that read tiles at their own point."""
_UPPER = {"slt": "slt", "sle": "sle", "ult": "ult", "ule": "ule"}
_LOWER = {"sgt": "sgt", "sge": "sge", "ugt": "ugt", "uge": "uge"}


class MaskBounds:
    """Finds the masks of a nest and the condition under which they are all true."""

    def __init__(self, ev: Evaluation):
        self.ev = ev
        self.assumed: set[Assumption] = set()
        self.conditions: list[Val] = []
        self.possible: list[Val | None] = []
        self._leaves: list[Val] = []
        self._seen: set[tuple[Value, Point]] = set()

    def collect(self, roots: list[tuple[Value, Point]], stores: list[tuple[Op, Point]]) -> None:
        """Look at every load below `roots`, and at the stores themselves."""
        for op, point in stores:
            self._leaves = []
            self._access(op, point)
            self.possible.append(self._conjunction(self._leaves))
        pending = list(roots)
        while pending:
            value, point = pending.pop()
            if (value, point) in self._seen or value in self.ev.context.available:
                continue
            self._seen.add((value, point))
            op = value.defining_op
            if op is None or not is_inline_op(op):
                continue
            if op.name == "tt.load":
                self._access(op, point)
            if op.name in MOVES:
                pending.append((op.operands[0], MOVES[op.name](self.ev, op, value, point)))
            elif _reads_in_place(op):
                pending += [(v, point) for v in op.operands if v.shape]

    def _access(self, op: Op, point: Point) -> None:
        position = MASK_OPERAND[op.name]
        if len(op.operands) > position:
            self._mask(op.operands[position], point)

    def _mask(self, mask: Value, point: Point) -> bool:
        """Add the condition of `mask` being true everywhere; False when there is none."""
        key = (mask, tuple(i.tag for i in point))
        if key in self.assumed:
            return True
        op = mask.defining_op
        if op is None or mask in self.ev.context.available:
            return False
        if op.name == "arith.andi":
            found = [self._mask(v, point) for v in op.operands]
            holds = all(found)
        elif op.name in MOVES:
            holds = self._mask(op.operands[0], MOVES[op.name](self.ev, op, mask, point))
        elif op.name == "arith.cmpi":
            holds = self._compare(op, point)
        elif op.name == "arith.constant":
            holds = op.attrs["value"] is True or op.attrs["value"] == 1 or op.attrs["value"] == -1
        elif op.name == "tt.splat":
            self.conditions.append(self.ev.context.scalars[op.operands[0]])
            self._leaves.append(self.ev.context.scalars[op.operands[0]])
            holds = True
        else:
            holds = False
        if holds:
            self.assumed.add(key)
        return holds

    def _compare(self, op: Op, point: Point) -> bool:
        predicate = op.attrs["predicate"]
        if predicate not in _UPPER and predicate not in _LOWER:
            return False
        if not all(self._is_simple(v, point) for v in op.operands):
            return False
        x, y = (self.ev.lane(v, point) for v in op.operands)
        hardest, easiest = [], []
        for side, value in enumerate((x, y)):
            if isinstance(value, Val):
                if value.lanes != 1:
                    return False
                hardest.append(value)
                easiest.append(value)
                continue
            extremes = self.ev.linear.extremes(value) if isinstance(value, Lin) else None
            if extremes is None:
                return False
            wants_high = (side == 0) == (predicate in _UPPER)
            hardest.append(extremes[1] if wants_high else extremes[0])
            easiest.append(extremes[0] if wants_high else extremes[1])
        self.conditions.append(self.ev.b.icmp(predicate, *hardest))
        self._leaves.append(self.ev.b.icmp(predicate, *easiest))
        return True

    def _is_simple(self, value: Value, point: Point) -> bool:
        """Whether evaluating `value` gives scalars only: index arithmetic without loads. Truncations
        are none of it: of indices that were cut off, the extreme lanes need not be the first and the last."""
        if not value.shape:
            return True
        op = value.defining_op
        if op is None or value in self.ev.context.available:
            return False
        if op.name in ("tt.make_range", "tt.splat"):
            return True
        if op.name == "arith.constant":
            return not isinstance(op.attrs["value"], list)
        if op.name in MOVES:
            return self._is_simple(op.operands[0], point)
        if op.name in ("arith.addi", "arith.subi", "arith.extsi"):
            return all(self._is_simple(v, point) for v in op.operands)
        if op.name == "arith.muli":
            uniform = [_is_splat(v) for v in op.operands]
            return any(uniform) and all(self._is_simple(v, point) for v in op.operands)
        return False

    @property
    def anything_stored(self) -> Val | None:
        """A scalar that is false where no store of the chunk can have a lane on; None: unknown."""
        total: Val | None = None
        for possible in self.possible:
            if possible is None:
                return None
            total = possible if total is None else self.ev.b.or_(total, possible)
        return total

    def _conjunction(self, conditions: list[Val]) -> Val | None:
        total: Val | None = None
        for cond in conditions:
            total = cond if total is None else self.ev.b.and_(total, cond)
        return total

    @property
    def condition(self) -> Val | None:
        """All conditions as one scalar; None when there is nothing to gain."""
        total = self._conjunction(self.conditions)
        return None if total is None or total.ref == "true" else total


def _reads_in_place(op: Op) -> bool:
    """Whether every tile that `op` needs is read at its own point. Of an operation that has a rule and is not
    known to, no mask below is looked at."""
    return op.name not in RULES or op.name in _IN_PLACE


def _is_splat(value: Value) -> bool:
    op = value.defining_op
    while op is not None and op.name in MOVES:
        op = op.operands[0].defining_op
    return op is not None and op.name in ("tt.splat", "arith.constant")
