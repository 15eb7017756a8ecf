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
from .steps import Buffer, Dot, For, Kept, Nest, Scalar, Write

KEPT_BYTES = 1 << 19
"""The most that the kept panels of one operand may fill: half of a second-level cache."""

MOST_SCALARS = 8
"""Scalars that are compared to tell whether a panel is still right."""


def keep_operands(loop: For, func: Func, order: ProgramOrder) -> list[Kept]:
    """What `loop` packs for its products and need not pack again; gives these buffers room for it."""
    if not _runs_once(loop.op, func) or not _memory_stays(loop.op, order):
        return []
    found = []
    in_place = {product.direct.nest for product in loop.products if product.direct is not None}
    packed = {buffer for product in loop.products for buffer in (product.a, product.b)}
    for nest in loop.body:
        if isinstance(nest, Scalar):
            continue
        if not isinstance(nest, Nest):
            return []
        root = nest.roots[0]
        if not isinstance(root, Write):
            return []
        if len(nest.roots) > 1 or nest in in_place or root.buffer not in packed:
            continue
        keys = _scalars(root.value, loop.op, func.args)
        runs = KEPT_BYTES // root.buffer.bytes
        if keys is not None and len(keys) <= MOST_SCALARS and runs:
            root.buffer.slots *= runs + 1
            more = [_bias(product, runs + 1) for product in loop.products if product.b is root.buffer]
            found.append(
                Kept(nest, root.buffer, keys, runs, [buffer for buffer in more if buffer is not None])
            )
    return found


def _bias(product: Dot, runs: int) -> Buffer | None:
    """Room for the sums of the columns of the right operand, for each run; None if none are needed."""
    if product.instruction is not None and product.instruction.unsigned_left:
        product.bias = Buffer(f"{product.b.name}.bias", product.out.shape[-1:], I32, slots=runs)
    return product.bias


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


def _scalars(value: Value, loop: Op, arguments: list[Value]) -> list[Value] | None:
    """The scalars from outside `loop` that decide what `value` is in each iteration; None if anything
    else does. Arguments of the kernel are the same in all programs."""
    body = loop.regions[0].entry
    inside = set(body.ops)
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
            index = body.args.index(value)
            pending += loop.operands[:3]
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
    return keys
