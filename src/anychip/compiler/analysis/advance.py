"""By how much a value grows from one iteration of a loop to the next.

In: a value used in the body of an `scf.for`. Out: the difference, the same for all elements of a tile and
in every iteration; for a pointer in elements. None where it is not known to be a constant.
"""

from __future__ import annotations

from ..ir.core import Op, Value

_SUMS = {"arith.addi": 1, "tt.addptr": 1, "arith.subi": -1}
_SAME = frozenset(
    {
        "tt.splat",
        "tt.broadcast",
        "tt.expand_dims",
        "tt.reshape",
        "tt.trans",
        "tt.bitcast",
        "arith.extsi",
        "arith.index_cast",
    }
)
"""Operations that pass on what their operand grows by."""


def advance(value: Value, loop: Op) -> int | None:
    """The growth of `value` in one iteration of `loop`; None if unknown."""
    body = loop.regions[0].entry
    if value.owner is body:
        return _argument(value, loop)
    op = value.defining_op
    if op is None or op not in body.ops:
        return 0
    parts = [advance(operand, loop) for operand in op.operands]
    if op.name in _SUMS:
        first, second = parts
        return None if first is None or second is None else first + _SUMS[op.name] * second
    if op.name in _SAME:
        return parts[0]
    if op.name == "arith.muli":
        for k in (0, 1):
            factor, growth = constant(op.operands[k]), parts[1 - k]
            if factor is not None and growth is not None:
                return factor * growth
    if op.regions or op.name in ("tt.load", "tt.atomic_rmw", "tt.atomic_cas"):
        return None
    return 0 if all(part == 0 for part in parts) else None


def _argument(value: Value, loop: Op) -> int | None:
    body = loop.regions[0].entry
    if value is body.args[0]:
        return constant(loop.operands[2])
    passed = body.terminator.operands[body.args.index(value) - 1]
    total = 0
    while passed is not value:
        op = passed.defining_op
        if op is None or op.name not in ("arith.addi", "tt.addptr"):
            return None
        passed, step = op.operands
        grown = constant(step)
        if grown is None:
            return None
        total += grown
    return total


def constant(value: Value) -> int | None:
    """The integer that a scalar, or every element of a tile, is known to be."""
    op = value.defining_op
    while op is not None and op.name in _SAME:
        op = op.operands[0].defining_op
    if op is None or op.name != "arith.constant":
        return None
    found = op.attrs["value"]
    return found if isinstance(found, int) and not isinstance(found, bool) else None
