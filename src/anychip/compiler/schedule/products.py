"""Matrix products in loops: `total = dot(a, b, total)` need not be done in each iteration.

Where nothing else in the loop reads the accumulator, the operands of several iterations are packed side
by side and multiplied in one go, as if the inner dimension were longer: the accumulator is loaded and
stored once for all of them. Products of floats are summed among themselves first and added to it then.
"""

from __future__ import annotations

from ..analysis.structure import Structure
from ..ir.core import Op, Region, Value
from .in_place import in_place_operand
from .steps import Buffer, Dot, Nest, PackedLoop, Write

RUN_BYTES = 1024
"""Bytes of one row of the left operand that are multiplied in one go."""

AHEAD = 16
"""Rows of a right operand between what is packed and what is fetched into the cache."""


def defer_products(
    loop: PackedLoop, structure: Structure, buffers: dict[Value, Buffer], room: int
) -> list[Buffer]:
    """Move the products of `loop` that may wait to its `products`; give their operands slots.

    The slots of one operand fill at most `room` bytes. Returns the buffers that must now live as long as
    the loop.
    """
    found = [step for step in loop.body if isinstance(step, Dot) and _may_wait(loop, step)]
    if not found:
        return []
    slots = max(1, min(_slots(product, room) for product in found))
    loop.slots, loop.products = slots, found
    loop.body = [step for step in loop.body if step not in found]
    alive = []
    for product in found:
        _give_slots(product.a, slots, 1)
        _give_slots(product.b, slots, 0)
        alive += [product.a, product.b]
        product.in_place = in_place_operand(loop, product, structure, buffers)
        if product.in_place is not None:
            alive.append(product.in_place.table)
    for nest in loop.body:
        if isinstance(nest, Nest):
            nest.ahead = _ahead(nest)
    return alive


def _ahead(nest: Nest) -> tuple[int, int] | None:
    """How far ahead of a nest that packs an operand memory is fetched: rows of the right one, the next
    iteration's of the left one. No hardware prefetcher follows a tile, whose rows are far apart."""
    packed = [root.buffer for root in nest.roots if isinstance(root, Write)]
    axes = {buffer.slot_axis for buffer in packed if buffer.slots > 1}
    if len(axes) != 1 or len(packed) != len(nest.roots):
        return None
    axis = axes.pop()
    return axis, AHEAD if axis == 0 else nest.domain[axis]


def _give_slots(packed: Buffer, slots: int, axis: int) -> None:
    packed.slots, packed.slot_axis = slots, axis


def _slots(product: Dot, room: int) -> int:
    a, b = product.a, product.b
    run = a.shape[-1] * a.element.bytes
    return min(RUN_BYTES // run, room // max(a.bytes, b.bytes))


def _may_wait(loop: PackedLoop, product: Dot) -> bool:
    """Whether the accumulator is carried by the loop and only this product touches it."""
    if len(product.a.shape) > 2 or product.c is not product.out or product.out not in loop.carried:
        return False
    index = loop.carried.index(product.out)
    region = loop.op.regions[0]
    argument, passed = region.entry.args[index + 1], region.entry.terminator.operands[index]
    result = product.op.result
    if product.op.operands[2] is not argument or passed is not result:
        return False
    return _uses(region, argument) == 1 and _uses(region, result) == 1


def _uses(region: Region, value: Value) -> int:
    return sum(_uses_in(op, value) for block in region.blocks for op in block.ops)


def _uses_in(op: Op, value: Value) -> int:
    own = sum(operand is value for operand in op.operands)
    own += sum(operand is value for _, values in op.successors for operand in values)
    return own + sum(_uses(nested, value) for nested in op.regions)
