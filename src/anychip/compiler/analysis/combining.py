"""What the region of a reduction does to its two arguments."""

from __future__ import annotations

from ..ir.core import Op


def combining_op(op: Op) -> str | None:
    """The one operation that the region of a reduction applies to its two arguments, if it is so."""
    block = op.regions[0].entry
    if len(block.ops) != 2 or len(block.args) != 2:
        return None
    inner = block.ops[0]
    if set(inner.operands) != set(block.args) or block.terminator.operands != inner.results:
        return None
    return inner.name
