"""Copies operations, blocks and regions.

In: operations and a map from old values to new ones. Out: fresh operations that use the new values; every
value that they define is added to the map. Values that are not in the map stay shared.
"""

from __future__ import annotations

from collections.abc import Callable

from .core import Block, Location, Op, Region, Value

ValueMap = dict[Value, Value]
LocationChange = Callable[[Location], Location]


def _unchanged(location: Location) -> Location:
    return location


def clone_op(op: Op, values: ValueMap, at: LocationChange = _unchanged) -> Op:
    """A copy of `op` with everything in it. An operation with successors is copied with its region."""
    return _Cloner(values, at).op(op)


def clone_region(region: Region, values: ValueMap, at: LocationChange = _unchanged) -> Region:
    """A copy of `region`: blocks, arguments and operations; branches lead to the copied blocks."""
    return _Cloner(values, at).region(region)


class _Cloner:
    """What has been copied so far."""

    def __init__(self, values: ValueMap, at: LocationChange):
        self.values = values
        self.at = at
        self.blocks: dict[int, Block] = {}

    def value(self, old: Value) -> Value:
        return self.values.get(old, old)

    def op(self, op: Op) -> Op:
        new = Op(
            op.name, [self.value(v) for v in op.operands], attrs=dict(op.attrs), location=self.at(op.location)
        )
        for result in op.results:
            self.values[result] = new.add_result(result.type, result.name)
        new.successors = [
            (self.blocks.get(id(block), block), [self.value(v) for v in arguments])
            for block, arguments in op.successors
        ]
        new.regions = [self.region(region) for region in op.regions]
        return new

    def region(self, region: Region) -> Region:
        """Blocks are made before their operations, because branches lead forwards too. An operand that a
        later block of the text defines is replaced when that block is copied."""
        copies = [Block(label=block.label) for block in region.blocks]
        for block, copy in zip(region.blocks, copies, strict=True):
            self.blocks[id(block)] = copy
            for argument in block.args:
                self.values[argument] = copy.add_arg(argument.type, argument.name)
        for block, copy in zip(region.blocks, copies, strict=True):
            copy.ops = [self.op(op) for op in block.ops]
        if len(copies) > 1:
            for copy in copies:
                for op in copy.ops:
                    self.replace(op)
        return Region(copies)

    def replace(self, op: Op) -> None:
        """Point operands at the copies of what was defined after `op` was copied."""
        for nested in op.walk():
            nested.operands = [self.value(v) for v in nested.operands]
            nested.successors = [(block, [self.value(v) for v in vs]) for block, vs in nested.successors]
