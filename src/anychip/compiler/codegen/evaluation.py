"""Evaluates tile values for one chunk of a nest.

An `Evaluation` is one body of a nest: it computes each value at most once, at any point that is
asked for, keeping indices and addresses linear (`Lin`) as long as it can. How an operation is evaluated,
a rule says that is registered under its name (`evaluates`, `evaluates_pointwise`); what has no rule is
computed from registers (`elementwise`).
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import UnsupportedOperation
from ..ir.core import Op, Value
from ..llvm.builder import Builder
from ..llvm.types import Val
from ..schedule.placement import is_inline_op
from . import elementwise
from .buffers import read_buffer
from .context import Context
from .dispatch import Rules
from .linear import Lane
from .point import ZERO, Index, Point
from .register_types import register_type

Assumption = tuple[Value, tuple[object, ...]]
"""A mask, and the tags of the point at which it is known to be true."""

Rule = Callable[["Evaluation", Op, Value, Point], Lane]
"""Gives a result of an operation at a point."""

RULES: Rules[Rule] = Rules()
evaluates = RULES.register
"""Register a rule that asks for operands at whatever points it likes."""

POINTWISE: Rules[Rule] = Rules()
evaluates_pointwise = POINTWISE.register
"""Register a rule that asks for each of the operation's tiles at the result's own point."""


class Evaluation:
    """One body of a nest over `lanes` lanes. Masks in `assumed` are known to be true here. `reshaped` and
    `exchanged` hold the points and indices that were made from others, so that equal ones are one object."""

    def __init__(self, context: Context, lanes: int, assumed: frozenset[Assumption] = frozenset()):
        self.context = context
        self.b: Builder = context.b
        self.lanes = lanes
        self.assumed = assumed
        self.linear = context.linear
        self._memo: dict[tuple[Value, Point], Lane] = {}
        self._fixed: dict[int, Index] = {}
        self.reshaped: dict[tuple[Op, Point], Point] = {}
        self.exchanged: dict[tuple[Index, int, int], Index] = {}

    # --- entry points --------------------------------------------------------------------------
    def lane(self, value: Value, point: Point) -> Lane:
        """`value` at `point`, linear if it is."""
        if not value.shape:
            return self.context.scalars[value]
        found = self._memo.get((value, point))
        return self._in_order(value, point) if found is None else found

    def _in_order(self, value: Value, point: Point) -> Lane:
        """Evaluate `value` after what it needs at the same point, however long a chain that is."""
        pending = [value]
        while pending:
            value = pending[-1]
            missing = next((v for v in self._operands(value, point) if (v, point) not in self._memo), None)
            if missing is not None:
                pending.append(missing)
                continue
            if (value, point) not in self._memo:
                self._memo[value, point] = self._evaluate(value, point)
            pending.pop()
        return self._memo[value, point]

    def _operands(self, value: Value, point: Point) -> list[Value]:
        """The tiles from whose elements at the same point `value` is always computed."""
        op = value.defining_op
        if op is None or value in self.context.available or op.name in RULES:
            return []
        if self.assumed and self.is_assumed(value, point):
            return []
        return [v for v in op.operands if v.shape] if is_inline_op(op) else []

    def value(self, value: Value, point: Point) -> Val:
        """`value` at `point` as a scalar (the same in all lanes) or a vector."""
        return self.linear.vector(self.lane(value, point), self.lanes)

    def vector(self, value: Value, point: Point) -> Val:
        """`value` at `point` with all lanes spelled out."""
        return self.b.splat(self.value(value, point), self.lanes)

    def is_assumed(self, mask: Value, point: Point) -> bool:
        """Whether `mask` is known to be true in all lanes at `point`."""
        return (mask, tuple(i.tag for i in point)) in self.assumed

    def bind(self, value: Value, point: Point, register: Val) -> None:
        """Take `register` for `value` at `point`."""
        self._memo[value, point] = register

    # --- evaluation ----------------------------------------------------------------------------
    def _evaluate(self, value: Value, point: Point) -> Lane:
        if self.assumed and self.is_assumed(value, point):
            return self.b.int(1, register_type(value.element))
        if value in self.context.available:
            buffer = self.context.buffers[value]
            return read_buffer(self.context, self.lanes, buffer, value.element, point)
        op = value.defining_op
        if op is None:
            raise AssertionError(f"{value} is neither available nor computed")
        rule = RULES.get(op.name) or POINTWISE.get(op.name)
        if rule is not None:
            return rule(self, op, value, point)
        if not is_inline_op(op):
            raise UnsupportedOperation(op, "its tile result is needed before it is computed")
        args = self.b.unify(*[self.value(v, point) for v in op.operands]) if op.operands else []
        if any(a.lanes > 1 for a in args):
            args = [self.b.splat(a, self.lanes) for a in args]
        return elementwise.apply(self.b, op, args, self.context.target)[value.index]

    def fixed(self, position: int) -> Index:
        """The index that is `position` in all lanes."""
        if position == 0:
            return ZERO
        if position not in self._fixed:
            self._fixed[position] = Index(position, None, position)
        return self._fixed[position]
