"""Straight-line regions applied to registers: what reductions, scans and elementwise functions do."""

from __future__ import annotations

from ..ir.core import Op, Region, Value
from ..llvm.types import Val
from . import elementwise
from .context import Context
from .evaluation import Evaluation, evaluates
from .linear import Lane
from .point import Point


def apply_region(context: Context, region: Region, args: list[Val]) -> list[Val]:
    """Apply a region of scalars to registers, lane by lane; the operands of its terminator."""
    b, scalars, target = context.b, context.scalars, context.target
    known: dict[Value, Val] = dict(zip(region.entry.args, args, strict=True))
    for op in region.entry.ops[:-1]:
        if op.name == "arith.constant":
            known[op.result] = elementwise.constant(b, op.attrs["value"], op.result.element, target)
            continue
        operands = [known[v] if v in known else scalars[v] for v in op.operands]
        operands = b.unify(*operands) if operands else []
        results = elementwise.apply(b, op, operands, target)
        known.update(zip(op.results, results, strict=True))
    return [known[v] if v in known else scalars[v] for v in region.entry.terminator.operands]


@evaluates("tt.reduce")
def short_reduction(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """A reduction over an axis of one or two elements, as an expression."""
    axis = op.attrs["axis"]
    columns = []
    for position in range(op.operands[0].shape[axis]):
        at = (*point[:axis], ev.fixed(position), *point[axis:])
        columns.append([ev.vector(v, at) for v in op.operands])
    total = columns[0]
    for column in columns[1:]:
        total = apply_region(ev.context, op.regions[0], [*total, *column])
    return total[value.index]


@evaluates("tt.map_elementwise")
def map_elementwise(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """A function without control flow, of single elements."""
    return apply_region(ev.context, op.regions[0], [ev.vector(v, point) for v in op.operands])[value.index]
