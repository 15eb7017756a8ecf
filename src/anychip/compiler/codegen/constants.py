"""Tiles of constants: one number for all elements, or a table in the module's read-only data."""

from __future__ import annotations

from ..ir.core import Op, Value
from . import elementwise
from .buffers import read_table
from .evaluation import Evaluation, evaluates
from .linear import Lane
from .memory import memory_type
from .point import Point
from .register_types import register_type


@evaluates("arith.constant")
def constant(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """A tile of one number or of several, whose list is in row-major order."""
    data = op.attrs["value"]
    if not isinstance(data, list):
        return elementwise.constant(ev.b, data, value.element, ev.context.target)
    element, module = value.element, ev.b.module
    texts = [elementwise.constant(ev.b, item, element, ev.context.target).ref for item in data]
    type = memory_type(element)
    if type.element == "i8" and element.bits == 1:
        texts = [{"true": "1", "false": "0"}.get(t, t) for t in texts]
    table = module.table(f"anychip.table.{len(module.declarations)}", type, texts)
    return read_table(ev.context, ev.lanes, table, value.shape, element, point)


@evaluates("ub.poison")
def poison(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """Zeros, as good as anything where no value is meant."""
    return ev.b.null(register_type(value.element))
