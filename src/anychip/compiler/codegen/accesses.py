"""Loads and stores of tiles by a kernel, and gathers from a tile: one chunk at a time."""

from __future__ import annotations

from ..ir.core import Op, Value
from ..ir.types import PointerType, element_of
from ..llvm.types import Val
from .buffers import gather_buffer
from .checked_access import CheckedAccess
from .evaluation import Evaluation, evaluates
from .linear import Lane
from .memory import Memory
from .point import Point
from .register_types import register_type


@evaluates("tt.load")
def load(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """What a tile's addresses point to."""
    return load_chunk(ev, op, point)


def load_chunk(ev: Evaluation, op: Op, point: Point) -> Val:
    """A `tt.load` for one chunk; elements that are masked off are its third operand, or zero."""
    pointer = ev.lane(op.operands[0], point)
    element = op.results[0].element
    mask, how = _mask(ev, op, 1, point)
    if mask is not None and mask.ref == "false":
        mask_other = op.operands[2] if len(op.operands) > 2 else None
        return ev.value(mask_other, point) if mask_other else ev.b.null(register_type(element))
    other: Val | None = None
    if mask is not None:
        other = ev.value(op.operands[2], point) if len(op.operands) > 2 else ev.b.null(register_type(element))
    volatile = bool(op.attrs.get("volatile"))
    access = Memory(ev.context, ev.lanes, element, ev.context.user_memory, volatile=volatile)
    checks = ev.context.checks
    if checks is None:
        value, verdict = access.read(pointer, mask, other)
    else:
        value, verdict = CheckedAccess(checks, ev, op, point).read(access, pointer, mask, other)
    ev.context.note(op, "load", verdict, how)
    return value


def store_chunk(
    ev: Evaluation, op: Op, point: Point, value: Val, pointer: Lane, mask: Val | None, how: str
) -> None:
    """A `tt.store` for one chunk, its operands evaluated before."""
    element = element_of(op.operands[0].type)
    assert isinstance(element, PointerType)
    access = Memory(ev.context, ev.lanes, element.pointee, ev.context.user_memory)
    checks = ev.context.checks
    if checks is None:
        verdict = access.write(pointer, value, mask)
    else:
        verdict = CheckedAccess(checks, ev, op, point).write(access, pointer, value, mask)
    ev.context.note(op, "store", verdict, how)


def store_mask(ev: Evaluation, op: Op, point: Point) -> tuple[Val | None, str]:
    """The mask of a `tt.store` for one chunk (None: all lanes), and how it came out."""
    return _mask(ev, op, 2, point)


def _mask(ev: Evaluation, op: Op, position: int, point: Point) -> tuple[Val | None, str]:
    if len(op.operands) <= position:
        return None, "none"
    value = op.operands[position]
    if ev.is_assumed(value, point):
        return None, "bound"
    mask = ev.value(value, point)
    return (None if mask.ref == "true" else mask), "mask"


@evaluates("tt.gather")
def gather(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """Elements of a tile, which is in a buffer, at indices along one axis."""
    source, indices = op.operands
    buffer, index = ev.context.buffers[source], ev.value(indices, point)
    return gather_buffer(ev.context, ev.lanes, buffer, source.element, point, op.attrs["axis"], index)
