"""What tells operations apart besides the values they use, and which values these are.

In: operations with everything in them. Out: numbers that are equal for operations that do the same to other
values, and the values that an operation uses or defines, in an order that is the same for equal operations.
"""

from __future__ import annotations

from typing import Any

from ..ir.core import Op, Region, Value


class Kinds:
    """Numbers for operations, equal for those that differ in nothing but the values they use."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._types: dict[int, int] = {}

    def of(self, ops: list[Op]) -> list[int]:
        """The number of each operation."""
        return [self._number(self._kind(op, {})) for op in ops]

    def _number(self, kind: Any) -> int:
        return self._numbers.setdefault(kind, len(self._numbers))

    def _kind(self, op: Op, blocks: dict[int, int]) -> Any:
        """What tells `op` from others; `blocks` numbers the blocks that it may branch to. Assertions and
        prints say where they are."""
        return (
            op.name,
            op.location if op.name in ("tt.assert", "tt.print") else op.location.line,
            attributes(op),
            self._of_types(op.operands),
            self._of_types(op.results),
            tuple([(blocks.get(id(block)), len(passed)) for block, passed in op.successors]),
            tuple([self._region(region) for region in op.regions]),
        )

    def _region(self, region: Region) -> Any:
        blocks = {id(block): number for number, block in enumerate(region.blocks)}
        return tuple(
            [
                (self._of_types(block.args), *(self._kind(op, blocks) for op in block.ops))
                for block in region.blocks
            ]
        )

    def _of_types(self, values: list[Value]) -> tuple[int, ...]:
        """Numbers of types; objects of types are few and live as long as their values."""
        known = self._types
        for value in values:
            if id(value.type) not in known:
                known[id(value.type)] = self._number(value.type)
        return tuple([known[id(value.type)] for value in values])


def attributes(op: Op) -> str:
    """The attributes as text, in which zeros of either sign differ, as they do not as numbers."""
    return repr(sorted(op.attrs.items())) if op.attrs else ""


def defined(op: Op) -> list[Value]:
    """The values that `op` defines, within it too."""
    if not op.regions:
        return op.results
    found: list[Value] = []
    for inner in op.walk():
        found += inner.results
        found += [arg for region in inner.regions for block in region.blocks for arg in block.args]
    return found


def used(op: Op) -> list[Value]:
    """The values that `op` uses, within it too."""
    if not op.regions and not op.successors:
        return op.operands
    found: list[Value] = []
    for inner in op.walk():
        found += inner.operands
        for _, passed in inner.successors:
            found += passed
    return found
