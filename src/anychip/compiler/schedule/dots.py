"""Matrix products: operands packed for the micro-kernel, and the buffer that the result is left in.

In: a `tt.dot`. Out: nests that write its packed operands, and the `Dot` step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.core import Block, Op, Value
from ..ir.types import BF16, F16, F32, ElementType, ScalarType
from ..targets.dot_product import DotProduct
from .axes import walk_inline
from .nests import is_identity
from .steps import Buffer, Dot, Write

if TYPE_CHECKING:
    from .scheduler import Scheduler


def schedule_dot(scheduler: Scheduler, op: Op) -> None:
    """Add the steps of a `tt.dot`."""
    a, b, c = op.operands[:3]
    instruction = _instruction(scheduler, op)
    if instruction is None:
        element = _dot_element(a.element, op.result.element)
        packed = [_pack(scheduler, a, element, any_order=True), _pack(scheduler, b, element)]
    else:
        packed = [_pack(scheduler, a, a.element), _pack(scheduler, b, b.element, group=instruction.group)]
    out = _accumulator(scheduler, op)
    start: Buffer | None = out
    if c in scheduler.buffers:
        start = scheduler.buffers[c]
    elif _is_zero(c):
        start = None
    else:
        scheduler.nests.add(Write(c, out), c.shape)
    scheduler.nests.flush()
    scheduler.buffers.place(op.result, out)
    out.any_order = False
    if start is not None:
        start.any_order = False
        scheduler.buffers.touch(start, scheduler.buffers.here)
    scheduler.nests.steps.append(Dot(op, packed[0], packed[1], start, out, instruction))


def _instruction(scheduler: Scheduler, op: Op) -> DotProduct | None:
    """The dot-product instruction that serves `op`: where the shapes fill its vectors."""
    a, b = op.operands[:2]
    if a.element != b.element or op.result.element.name not in ("f32", "i32"):  # type: ignore[union-attr]
        return None
    found = scheduler.target.dot(a.element.name)  # type: ignore[union-attr]
    if found is None or a.shape[-1] < 4 * found.group or b.shape[-1] < scheduler.target.lanes(32):
        return None
    return found


def _pack(
    scheduler: Scheduler, value: Value, element: ElementType, any_order: bool = False, group: int = 1
) -> Buffer:
    buffer = Buffer(f"{value.name}.packed", value.shape, element, any_order=any_order, group=group)
    scheduler.buffers.begin(buffer)
    scheduler.nests.add(Write(value, buffer), value.shape)
    return buffer


def _accumulator(scheduler: Scheduler, op: Op) -> Buffer:
    """Where a dot leaves its result: the accumulator's own buffer when nobody else reads it."""
    home = _inherited(scheduler, op)
    return home if home is not None else scheduler.buffers.new(op.result)


def _inherited(scheduler: Scheduler, op: Op) -> Buffer | None:
    """The buffer of the loop argument that the accumulator of `op` updates element by element,
    if nothing reads that argument later and `op` runs once in each iteration."""
    start = op.operands[2]
    reads: dict[Value, bool] = {}
    for value, point, leaf in walk_inline([start], len(start.shape), lambda v: v in scheduler.buffers):
        if leaf and value in scheduler.buffers:
            reads[value] = reads.get(value, True) and is_identity(point)
    if start in scheduler.buffers:
        reads = {start: True}
    for value, at_own_index in reads.items():
        if at_own_index and value.type == op.result.type and isinstance(value.owner, Block):
            last = max((site.position for site in scheduler.placement.sites.get(value, ())), default=-1)
            once = set(scheduler.order.loops[op]) == scheduler.buffers.home(value)
            if last <= scheduler.buffers.here and once and _is_carried(scheduler, value):
                return scheduler.buffers[value]
    return None


def _is_carried(scheduler: Scheduler, value: Value) -> bool:
    """Whether a block argument is carried by the innermost loop around it."""
    loops = scheduler.order.loops[value.owner.ops[0]]  # type: ignore[union-attr]
    return bool(loops) and any(region.blocks and region.entry is value.owner for region in loops[-1].regions)


def _is_zero(value: Value) -> bool:
    op = value.defining_op
    return op is not None and op.name == "arith.constant" and op.attrs["value"] == 0


def _dot_element(operand: ElementType, result: ElementType) -> ElementType:
    """The element type in which a dot multiplies: small floats widen to f32, integers to the result."""
    assert isinstance(operand, ScalarType)
    if operand.is_float:
        return F32 if operand.bits < 32 or operand in (F16, BF16) else operand
    return result
