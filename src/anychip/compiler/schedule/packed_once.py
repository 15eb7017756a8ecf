"""Packed operands that the next program instance finds again.

Neighbouring programs of a matrix product multiply by the same tile column or row. What a loop packs
depends on memory, which a launch without atomics cannot change under its own loads without a race between
its programs, and on a few scalars: where these are those of the program that the same thread ran
before, the panels in the arena are still right.
"""

from __future__ import annotations

from ..analysis.effects import ProgramOrder
from ..ir.core import Func, Op, Value
from ..ir.types import I32
from .placement import is_inline_op
from .steps import Buffer, Dot, Nest, PackedLoop, PackedOnce, Write

MOST_SCALARS = 8
"""Scalars that are compared to tell whether a panel is still right."""


def pack_once(loop: PackedLoop, func: Func, order: ProgramOrder, room: int) -> list[PackedOnce]:
    """What `loop` packs for its products and need not pack again; gives these buffers `room` bytes in all."""
    if not _runs_once(loop.op, func) or not _memory_stays(loop.op, order):
        return []
    products = [*loop.products, *(step for step in loop.body if isinstance(step, Dot))]
    packed = {
        buffer: product
        for product in products
        if len(product.out.shape) == 2
        for buffer in (product.a, product.b)
        if product.in_place is None or buffer is not product.in_place.packed
    }
    nests = [step for step in loop.body if isinstance(step, Nest) and len(step.roots) == 1]
    writes = [
        (nest, root) for nest in nests if isinstance(root := nest.roots[0], Write) and root.buffer in packed
    ]
    found = [_packed_once(nest, root, loop, packed[root.buffer], func.args) for nest, root in writes]
    most = room // max(1, sum(operand is not None and not operand.constant for operand in found))
    for operand in found:
        if operand is not None:
            _make_room(operand, packed[operand.buffer], loop.slots, most)
    return [operand for operand in found if operand is not None and operand.runs]


def _packed_once(
    nest: Nest, root: Write, loop: PackedLoop, product: Dot, arguments: list[Value]
) -> PackedOnce | None:
    """How what `root` packs is packed once; None if it cannot be."""
    found = _scalars(root.value, loop.op, arguments)
    if found is None:
        return None
    keys, constant = found
    waits = product in loop.products
    if waits and product.instruction is not None and product.instruction.unsigned_left:
        keys = [*keys, loop.op.operands[1]]
    if len(keys) > MOST_SCALARS:
        return None
    return PackedOnce(nest, root.buffer, keys, constant and not waits)


def _make_room(operand: PackedOnce, product: Dot, slots: int, most: int) -> None:
    """Give an operand room for as many runs of `slots` iterations as fit into `most` bytes. This holds for a
    product that does not wait itself, too: its tiles are counted in the runs of the loop."""
    tile = operand.buffer.bytes // operand.buffer.slots
    operand.runs = 1 if operand.constant else most // (slots * tile)
    if operand.constant or not operand.runs:
        return
    if operand.buffer.slots == 1:
        operand.buffer.slot_axis = 0
    operand.buffer.slots = slots * (operand.runs + 1)
    if operand.buffer is product.b and product.instruction is not None and product.instruction.unsigned_left:
        product.bias = Buffer(
            f"{operand.buffer.name}.bias", product.out.shape[-1:], I32, slots=operand.runs + 1
        )
        operand.bias = product.bias


def _runs_once(op: Op, func: Func) -> bool:
    """Whether a program comes by `op` at most once: no loop around it, and no branch back."""
    place = {block: k for k, block in enumerate(func.body.blocks)}
    if not any(op in block.ops for block in func.body.blocks):
        return False
    branches = [(block, target) for block in place for target, _ in block.terminator.successors]
    return all(place[target] > place[block] for block, target in branches)


def _memory_stays(op: Op, order: ProgramOrder) -> bool:
    """Whether the program does nothing to memory but store when the loop is over."""
    return all(w.name == "tt.store" and order.position[w] > order.end[op] for w in order.writes)


def _scalars(value: Value, loop: Op, arguments: list[Value]) -> tuple[list[Value], bool] | None:
    """The scalars from outside `loop` that decide what `value` is in each iteration, and whether it is the
    same in all; None if anything else matters. Arguments of the kernel are the same in all programs."""
    body = loop.regions[0].entry
    inside = set(body.ops)
    constant = True
    keys: list[Value] = []
    seen: set[Value] = set()
    pending = [value]
    while pending:
        value = pending.pop()
        if value in seen:
            continue
        seen.add(value)
        op = value.defining_op
        if value.owner is body:
            constant = False
            index = body.args.index(value)
            pending += [loop.operands[0], loop.operands[2]]
            if index:
                pending += [loop.operands[index + 2], body.terminator.operands[index - 1]]
        elif value in arguments or (op is not None and op.name == "arith.constant"):
            continue
        elif not value.shape and op not in inside:
            keys.append(value)
        elif op is None or op.regions or op.attrs.get("volatile") or (value.shape and not is_inline_op(op)):
            return None
        else:
            pending += op.operands
    return keys, constant
