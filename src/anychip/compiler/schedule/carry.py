"""Turns loop-carried pointer and index tiles into loop-carried scalars.

`p += step` on a tile of pointers would carry a whole tile through memory and hide its
structure. Where the step is uniform, the loop carries the accumulated scalar offset instead and
the tile is `initial + splat(offset)`, which analysis sees through.
"""

from __future__ import annotations

from ..ir.core import Block, Op, Region, Value
from ..ir.insertion import Inserter
from ..ir.types import I64, PointerType, ScalarType, TileType

_ADDS = {"tt.addptr": "tt.addptr", "arith.addi": "arith.addi"}


def rewrite_carried(region: Region) -> None:
    """Rewrite every `scf.for` below `region`, innermost first."""
    for block in region.blocks:
        for op in list(block.ops):
            for nested in op.regions:
                rewrite_carried(nested)
            if op.name == "scf.for":
                _rewrite_loop(block, op)


def _uniform_scalar(value: Value) -> Value | int | None:
    """The scalar that a tile repeats, or an integer constant; None when it is not uniform."""
    op = value.defining_op
    while op is not None and op.name in ("tt.broadcast", "tt.reshape", "tt.expand_dims"):
        value = op.operands[0]
        op = value.defining_op
    if op is None:
        return None
    if op.name == "tt.splat":
        return op.operands[0]
    if op.name == "arith.constant" and isinstance(op.attrs.get("value"), int):
        return op.attrs["value"]
    return None


def _steps(argument: Value, yielded: Value) -> list[Value | int] | None:
    """The uniform steps added to `argument` to give `yielded`; None if anything else happens."""
    steps: list[Value | int] = []
    while yielded is not argument:
        op = yielded.defining_op
        if op is None or op.name not in _ADDS:
            return None
        base, step = op.operands
        scalar = _uniform_scalar(step)
        if scalar is None and op.name == "arith.addi":
            base, step = step, base
            scalar = _uniform_scalar(step)
        if scalar is None:
            return None
        steps.append(scalar)
        yielded = base
    return steps


def _rewrite_loop(block: Block, loop: Op) -> None:
    body = loop.regions[0].entry
    terminator = body.terminator
    for index in range(len(loop.results)):
        argument, result, initial = body.args[index + 1], loop.results[index], loop.operands[index + 3]
        if not isinstance(argument.type, TileType):
            continue
        element = argument.type.element
        if isinstance(element, ScalarType) and not element.is_integer:
            continue
        steps = _steps(argument, terminator.operands[index])
        if steps is None:
            continue
        offset_type = I64 if isinstance(element, PointerType) else element
        maker = Inserter(body, len(body.ops) - 1, loop, "carried")
        zero_maker = Inserter(block, block.ops.index(loop), loop, "carried")
        zero = zero_maker.constant(0, offset_type)
        offset = Value(offset_type, f"{argument.name}.offset", body, index + 1)
        total = offset
        for step in steps:
            if isinstance(step, int):
                amount = maker.constant(step, offset_type)
            elif step.type == offset_type:
                amount = step
            else:
                amount = maker.op("arith.extsi", [step], offset_type)
            total = maker.op("arith.addi", [total, amount], offset_type)
        head = Inserter(body, 0, loop, "carried")
        tile_type = TileType(argument.type.shape, offset_type)
        name = "tt.addptr" if isinstance(element, PointerType) else "arith.addi"
        spread = head.op("tt.splat", [offset], tile_type)
        current = head.op(name, [initial, spread], argument.type)
        _replace_uses(loop.regions[0], argument, current, keep=current.defining_op)
        final_offset = Value(offset_type, f"{result.name}.offset", loop, index)
        tail = Inserter(block, block.ops.index(loop) + 1, loop, "carried")
        spread = tail.op("tt.splat", [final_offset], tile_type)
        final = tail.op(name, [initial, spread], result.type)
        for later in block.ops[block.ops.index(loop) + 1 :]:
            _replace_in(later, result, final, keep=final.defining_op)
        _replace_later_blocks(block, result, final)
        body.args[index + 1] = offset
        loop.results[index] = final_offset
        loop.operands[index + 3] = zero
        terminator.operands[index] = total


def _replace_later_blocks(block: Block, old: Value, new: Value) -> None:
    """Uses in other blocks of the same graph: reached through the branches of `block`."""
    seen = {block}
    pending = [b for b, _ in block.terminator.successors]
    for target, values in block.terminator.successors:
        del target
        values[:] = [new if v is old else v for v in values]
    while pending:
        target = pending.pop()
        if target in seen:
            continue
        seen.add(target)
        for op in target.ops:
            _replace_in(op, old, new, keep=None)
        pending += [b for b, _ in target.terminator.successors]


def _replace_uses(region: Region, old: Value, new: Value, keep: Op | None) -> None:
    for block in region.blocks:
        for op in block.ops:
            _replace_in(op, old, new, keep)


def _replace_in(op: Op, old: Value, new: Value, keep: Op | None) -> None:
    if op is not keep:
        op.operands[:] = [new if v is old else v for v in op.operands]
        for _, values in op.successors:
            values[:] = [new if v is old else v for v in values]
    for nested in op.regions:
        _replace_uses(nested, old, new, keep)
