"""The buffers in which values are kept, and for how long: what the plan of the arena is made from.

In: values that a step needs in memory, and the positions of operations in program order. Out: a buffer
for each, alive from where it is made to its last use, loops around that use included.
"""

from __future__ import annotations

from ..analysis.effects import ProgramOrder
from ..ir.core import Block, Op, Value
from ..ir.types import ElementType
from . import arena
from .placement import Placement
from .steps import Buffer


class Buffers(dict[Value, Buffer]):
    """The buffer of each value that is kept in memory. `here` is the position that the scheduler is at."""

    def __init__(self, order: ProgramOrder, placement: Placement):
        super().__init__()
        self.order = order
        self.placement = placement
        self.lifetimes: dict[Buffer, arena.Lifetime] = {}
        self.here = 0

    def new(self, value: Value, element: ElementType | None = None) -> Buffer:
        """A buffer with the shape of `value`, alive here."""
        return self.begin(Buffer(value.name, value.shape, element or value.element, any_order=True))

    def begin(self, buffer: Buffer) -> Buffer:
        """Let the life of `buffer` begin here."""
        self.lifetimes[buffer] = arena.Lifetime(self.here, self.here)
        return buffer

    def place(self, value: Value, buffer: Buffer) -> None:
        """Let `value` live in `buffer` from here until its last use."""
        self[value] = buffer
        self.touch(buffer, self.here)
        for site in self.placement.sites.get(value, ()):
            self.touch(buffer, self._end_of_use(site.op, value))

    def _end_of_use(self, op: Op, value: Value) -> int:
        """The last position at which `op` may read `value`: the end of a loop that repeats it."""
        position = self.order.end[op]
        owner = value.defining_op
        home = set(self.order.loops[owner]) if owner is not None else self.home(value)
        for loop in self.order.loops[op]:
            if loop not in home:
                position = max(position, self.order.end[loop])
        return position

    def home(self, value: Value) -> set[Op]:
        """The loops around a block argument."""
        block = value.owner
        assert isinstance(block, Block)
        return set(self.order.loops[block.ops[0]])

    def touch(self, buffer: Buffer, position: int) -> None:
        """Let `buffer` be alive at `position`."""
        self.lifetimes[buffer].touch(position)

    def touch_throughout(self, buffer: Buffer, op: Op) -> None:
        """Let `buffer` be alive from the start of `op` to its end."""
        self.touch(buffer, self.order.position[op])
        self.touch(buffer, self.order.end[op])

    def persistent(self, value: Value, op: Op | None) -> Buffer:
        """A buffer that lives as long as `op` (None: the whole program instance)."""
        buffer = self.new(value)
        self[value] = buffer
        first = self.order.position[op] if op is not None else 0
        last = self.order.end[op] if op is not None else len(self.order.position)
        self.touch(buffer, first)
        self.touch(buffer, last)
        return buffer
