"""Which values of a sorting network are kept in memory: those that another chunk of lanes reads.

Exchanges within a chunk of lanes are shuffles of a register, so that rounds of them need no memory at all.
Before an exchange between chunks, everything that the network goes on with is kept, at once
(`anychip.keep`), so that one nest makes all of it. In: a function with `anychip.exchange`. Out: the same
with `anychip.keep`, and the exchanges marked that stay inside a chunk.
"""

from __future__ import annotations

from ..analysis.exchanges import EXCHANGE, KEEP, changed_bits, is_elementwise
from ..ir.core import Block, Func, Op, Value
from ..targets.target import Target
from .cost import compute_bits
from .placement import is_inline_op
from .uses import blocks_of, used

_CASTS = frozenset({"tt.bitcast", "arith.extsi", "arith.extui", "arith.trunci"})
_PATTERNS = frozenset(
    {
        "tt.make_range",
        "tt.splat",
        "tt.expand_dims",
        "tt.broadcast",
        "tt.reshape",
        "tt.trans",
        "arith.constant",
    }
)


def keep_rounds(func: Func, target: Target) -> None:
    """Insert what keeps the values of every network of `func`."""
    for block in list(blocks_of(func.body)):
        if any(op.name == EXCHANGE for op in block.ops):
            Rounds(func, block, target).insert()


class Rounds:
    """The networks of one block. `members` are the values that they compute; `upstream` what one more
    exchange depends on."""

    def __init__(self, func: Func, block: Block, target: Target):
        self.block = block
        self.patterns: dict[Value, bool] = {}
        mixed: set[Value] = set()
        for op in block.ops:
            if op.name == EXCHANGE or (is_elementwise(op) and any(v in mixed for v in op.operands)):
                mixed.update(op.results)
        self.upstream: set[Value] = set()
        for op in reversed(block.ops):
            if op.name == EXCHANGE or any(r in self.upstream for r in op.results):
                self.upstream.update(v for v in op.operands if v in mixed or op.name == EXCHANGE)
        self.bits = max(8, *(compute_bits(v) for v in self.upstream))
        self.lanes = target.lanes(min(self.bits, 64))
        self.members: set[Value] = set()
        for op in block.ops:
            if any(r in mixed for r in op.results) and self._belongs(op):
                self.members.update(op.results)
        others = (op for b in blocks_of(func.body) if b is not block for op in b.ops)
        self.elsewhere = {v for op in others for v in used(op)} & self.members

    def insert(self) -> None:
        """Mark the exchanges, and keep what has to be."""
        for op in self.block.ops:
            if op.name == EXCHANGE:
                last = op.attrs["axis"] == len(op.result.shape) - 1
                op.attrs["inside"] = last and changed_bits(op) < self.lanes
        needs = {op: self._needs(op) for op in self.block.ops}
        wanted = {v: None for values in needs.values() for v in values}
        own = {r for op in self.block.ops for r in op.results}
        waiting = [v for v in wanted if v not in own]
        done: list[Op] = []
        for op in self.block.ops:
            if any(v in waiting for v in needs[op]):
                done.append(Op(KEEP, waiting, location=op.location))
                waiting = []
            done.append(op)
            waiting += [r for r in op.results if r in wanted]
        self.block.ops = done

    def _needs(self, op: Op) -> list[Value]:
        """The values that must be in memory before `op`."""
        if not any(r in self.members for r in op.results):
            values = [*used(op), *(self.elsewhere if op is self.block.terminator else ())]
            return [v for v in values if v in self.members]
        between_chunks = op.name == EXCHANGE and not op.attrs["inside"]
        values = [v if v in self.members else _source(v) for v in op.operands if v.shape]
        return [
            v
            for v in values
            if (between_chunks or v not in self.members) and not self._is_pattern(v) and _is_inline(v)
        ]

    def _belongs(self, op: Op) -> bool:
        """Whether `op` is a part of a network: what comes after the last exchange and takes in anything
        new, or is wider, is not."""
        if op.name == EXCHANGE or any(r in self.upstream for r in op.results):
            return True
        own = all(v in self.members or not v.shape or self._is_pattern(v) for v in op.operands)
        return own and all(compute_bits(r) <= self.bits for r in op.results)

    def _is_pattern(self, value: Value) -> bool:
        """Whether `value` is made of indices and scalars alone, and can be had anywhere."""
        if value not in self.patterns:
            op = value.defining_op
            self.patterns[value] = (
                op is not None
                and (op.name in _PATTERNS or is_elementwise(op))
                and all(not v.shape or self._is_pattern(v) for v in op.operands)
            )
        return self.patterns[value]


def _source(value: Value) -> Value:
    """What `value` is a cast of."""
    while (op := value.defining_op) is not None and op.name in _CASTS:
        value = op.operands[0]
    return value


def _is_inline(value: Value) -> bool:
    op = value.defining_op
    return op is not None and is_inline_op(op)
