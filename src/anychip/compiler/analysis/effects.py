"""What each operation does to memory, and where each operation stands in program order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..ir.core import Block, Op, Region, Value

WRITES = frozenset(
    {"tt.store", "tt.atomic_rmw", "tt.atomic_cas", "tt.atomic_store", "tt.atomic_poll", "tt.atomic_load"}
)
"""Operations after which memory may differ."""

ORDERED = WRITES | {"tt.print", "tt.assert"}
"""Operations that must happen, and in program order."""

LOOPS = frozenset({"scf.for", "scf.while", "anychip.region"})
"""Operations whose body may run more than once, or whose blocks may be visited in any order."""

TERMINATORS = frozenset(
    {
        "scf.yield",
        "scf.condition",
        "tt.return",
        "cf.br",
        "cf.cond_br",
        "tt.reduce.return",
        "tt.scan.return",
        "tt.map_elementwise.return",
    }
)

PURE_REGIONS = frozenset({"tt.reduce", "tt.scan"})
"""Operations whose regions are functions of scalars, applied to elements."""


@dataclass(eq=False, slots=True)
class ProgramOrder:
    """Positions of operations in program order, the loops around them, and the writes."""

    position: dict[Op, int] = field(default_factory=dict)
    end: dict[Op, int] = field(default_factory=dict)
    loops: dict[Op, tuple[Op, ...]] = field(default_factory=dict)
    block_of: dict[Op, Block] = field(default_factory=dict)
    writes: list[Op] = field(default_factory=list)
    """In program order."""
    users: dict[Value, list[Op]] = field(default_factory=dict)

    waits: frozenset[Op] = frozenset()

    @staticmethod
    def of(body: Region, waits: Iterable[Op] = ()) -> ProgramOrder:
        """The order of a function's body; in an iteration of the loops `waits`, other programs write."""
        order = ProgramOrder(waits=frozenset(waits))
        order._region(body, ())
        return order

    def _writes(self, op: Op, parent: Op | None) -> bool:
        """Whether memory may differ after `op`, which is in a region of `parent`."""
        if op.name in WRITES or (op.name == "tt.load" and op.attrs.get("volatile")):
            return True
        return op.name == "scf.condition" and parent in self.waits

    def _region(self, region: Region, loops: tuple[Op, ...], parent: Op | None = None) -> None:
        for block in region.blocks:
            for op in block.ops:
                self.position[op] = len(self.position)
                self.loops[op] = loops
                self.block_of[op] = block
                for value in op.operands:
                    self.users.setdefault(value, []).append(op)
                for _, values in op.successors:
                    for value in values:
                        self.users.setdefault(value, []).append(op)
                if self._writes(op, parent):
                    self.writes.append(op)
                if op.name not in PURE_REGIONS:
                    inner = (*loops, op) if op.name in LOOPS else loops
                    for nested in op.regions:
                        self._region(nested, inner, op)
                self.end[op] = len(self.position)

    def written_between(self, first: int, last: int) -> bool:
        """Whether anything at a position strictly between the two writes memory."""
        later = bisect_right(self.writes, first, key=self.position.__getitem__)
        return later < len(self.writes) and self.position[self.writes[later]] < last

    def writes_inside(self, op: Op) -> bool:
        """Whether the regions of `op` write memory."""
        return self.written_between(self.position[op], self.end[op])
