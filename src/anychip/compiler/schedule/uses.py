"""Who uses a value: replacing it in all its users, and removing what nobody uses any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..ir.core import Block, Func, Op, Region, Value
from .placement import is_inline_op


def blocks_of(region: Region) -> Iterator[Block]:
    """Every block of a region and of the regions within, in program order."""
    for block in region.blocks:
        yield block
        for op in block.ops:
            for nested in op.regions:
                yield from blocks_of(nested)


def used(op: Op) -> Iterator[Value]:
    """Every value that an operation uses, also inside its regions and for its successors."""
    for inner in op.walk():
        yield from inner.operands
        for _, values in inner.successors:
            yield from values


def replace(op: Op, values: dict[Value, Value]) -> None:
    """Let `op`, with all that is inside it, use the new values."""
    for inner in op.walk():
        inner.operands = [values.get(v, v) for v in inner.operands]
        inner.successors = [(block, [values.get(v, v) for v in vs]) for block, vs in inner.successors]


def remove_unused(func: Func) -> None:
    """Remove the operations on tiles whose results nobody uses."""
    count: Counter[Value] = Counter(v for block in func.body.blocks for op in block.ops for v in used(op))
    for block in reversed(list(blocks_of(func.body))):
        kept: list[Op] = []
        for op in reversed(block.ops):
            is_pure = (is_inline_op(op) or op.name == "tt.reduce") and not op.attrs.get("volatile")
            if is_pure and not any(count[r] for r in op.results):
                count.subtract(used(op))
            else:
                kept.append(op)
        block.ops = kept[::-1]
