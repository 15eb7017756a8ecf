"""Inserts new operations into a block at a position that moves along.

In: a block, an index and the operation on whose behalf the new ones are made, which lends them its
location. Out: the results of the new operations, one call each.
"""

from __future__ import annotations

from typing import Any

from .core import Block, Op, Value
from .types import Type


class Inserter:
    """Makes operations before position `index` of `block`; `label` marks the names of their results."""

    def __init__(self, block: Block, index: int, near: Op, label: str):
        self.block = block
        self.index = index
        self.location = near.location
        self.label = label

    def op(self, name: str, operands: list[Value], type: Type, attrs: dict[str, Any] | None = None) -> Value:
        """The result of a new operation with one result."""
        return self.ops(name, operands, [type], attrs)[0]

    def ops(
        self, name: str, operands: list[Value], types: list[Type], attrs: dict[str, Any] | None = None
    ) -> list[Value]:
        """The results of a new operation, one of each type."""
        op = Op(name, operands, attrs=attrs or {}, location=self.location)
        values = [op.add_result(type, f"{name.split('.')[-1]}.{self.label}") for type in types]
        self.block.ops.insert(self.index, op)
        self.index += 1
        return values

    def constant(self, value: float | int, type: Type) -> Value:
        """A constant, the same in every element of a tile."""
        return self.op("arith.constant", [], type, {"value": value})
