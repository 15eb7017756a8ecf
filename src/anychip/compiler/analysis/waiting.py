"""Which loops of a kernel wait for what other programs write.

In: a function whose calls are inlined. Out: its waiting loops, each with how sure that is. Grid barriers,
spin locks and flags are loops whose condition comes from memory that is read anew in each iteration; a
program in such a loop goes on only when another one has run. A loop that walks through memory, such as a
binary search or the probing of a hash table, has a condition from memory, too, but reads elsewhere each
time; one that takes numbers from a counter goes on by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from ..ir.core import Block, Func, Op, Region, Value


class Waiting(IntEnum):
    """How the programs of a kernel depend on each other."""

    NEVER = 0
    PERHAPS = 1
    """Its condition comes from memory that others may change, and it may also end by itself."""
    SURELY = 2
    """It ends when another program has written what it reads: all programs must be under way at once."""


ATOMICS = frozenset({"tt.atomic_rmw", "tt.atomic_cas", "tt.atomic_load"})
_STORES = frozenset({"tt.store", "tt.atomic_rmw", "tt.atomic_cas", "tt.atomic_store"})
_ADDITIONS = frozenset({"add", "fadd"})


@dataclass(eq=False, slots=True)
class WaitingLoops:
    """The waiting operations of one kernel (`scf.while`, and polls, which are loops of their own)."""

    loops: dict[Op, Waiting] = field(default_factory=dict)

    @staticmethod
    def of(func: Func) -> WaitingLoops:
        """The loops of a function in which a program waits for others, and how surely it does."""
        found = WaitingLoops()
        for op in func.body.walk():
            if op.name == "tt.atomic_poll":
                found.loops[op] = Waiting.SURELY
            elif op.name == "scf.while" and (waiting := _Loop(op).waiting()):
                found.loops[op] = waiting
        return found

    @property
    def kind(self) -> Waiting:
        """What the kernel as a whole does."""
        return max(self.loops.values(), default=Waiting.NEVER)

    @property
    def place(self) -> str:
        """File and line of the first loop that decides on `kind`; empty without one."""
        return next((str(op.location) for op, kind in self.loops.items() if kind == self.kind), "")


class _Loop:
    """One `scf.while`, and where the values in it come from."""

    def __init__(self, op: Op):
        self.op = op
        self.inside: set[Op] = {inner for region in op.regions for inner in region.walk()}
        self.homes: dict[Block, tuple[Op, Region]] = dict(_homes(op))

    def waiting(self) -> Waiting:
        """Whether the loop's condition comes from memory that is read in it, and what follows from how."""
        condition = self.op.regions[0].entry.terminator.operands[0]
        reads = [value.defining_op for value in self._sources([condition])]
        return max((self._of_read(op) for op in reads if op is not None), default=Waiting.NEVER)

    def _of_read(self, op: Op) -> Waiting:
        if op.name not in ATOMICS and op.name != "tt.load":
            return Waiting.NEVER
        if op.name == "tt.atomic_rmw" and op.attrs["kind"] in _ADDITIONS:
            added = _constant(op.operands[1])
            if added is None:
                return Waiting.PERHAPS
            if added:  # a counter: the next number is another one
                return Waiting.NEVER
        plain = op.name == "tt.load" and not op.attrs.get("volatile")
        if self._changes(op.operands[0]):
            return Waiting.NEVER if plain else Waiting.PERHAPS
        own_state = plain and any(inner.name in _STORES for inner in self.inside)
        return Waiting.PERHAPS if own_state else Waiting.SURELY

    def _changes(self, address: Value) -> bool:
        """Whether an address depends on what the loop carries or on what is read in it."""
        for value in self._sources([address]):
            op = value.defining_op
            if op is not None:
                if op.name in ATOMICS or op.name == "tt.load":
                    return True
            elif self._is_own(value):
                return True
        return False

    def _is_own(self, value: Value) -> bool:
        """Whether a block argument is carried by the loop itself with a value that changes."""
        assert isinstance(value.owner, Block)
        op, region = self.homes[value.owner]
        if op is not self.op or region is not self.op.regions[0]:
            return False
        return self._passed_on(self.op.regions[1].entry.terminator.operands[value.index]) is not value

    def _passed_on(self, value: Value) -> Value:
        """The argument of the condition's block that a value of the body merely repeats."""
        second, forwarded = self.op.regions[1].entry, self.op.regions[0].entry.terminator.operands[1:]
        return forwarded[value.index] if value.owner is second else value

    def _sources(self, values: list[Value]) -> Iterator[Value]:
        """The values inside the loop that `values` are made of, these included."""
        seen: set[Value] = set()
        pending = list(values)
        while pending:
            value = pending.pop()
            if value in seen or not self._is_inside(value):
                continue
            seen.add(value)
            yield value
            op = value.defining_op
            pending += self._of_argument(value) if op is None else self._of_result(op, value.index)

    def _is_inside(self, value: Value) -> bool:
        owner = value.owner
        return owner in self.inside if isinstance(owner, Op) else owner in self.homes

    def _of_argument(self, value: Value) -> list[Value]:
        """What a block argument may hold."""
        assert isinstance(value.owner, Block)
        op, region = self.homes[value.owner]
        if op.name == "scf.while":
            if region is op.regions[1]:
                return [op.regions[0].entry.terminator.operands[1 + value.index]]
            return [op.operands[value.index], op.regions[1].entry.terminator.operands[value.index]]
        if op.name == "scf.for":
            if value.index == 0:
                return op.operands[:3]
            k = value.index - 1
            return [op.operands[3 + k], region.entry.terminator.operands[k]]
        return [*op.operands, *_handed_over(region)]

    def _of_result(self, op: Op, k: int) -> list[Value]:
        """What an operation's result number `k` is made of."""
        ends = [region.entry.terminator.operands for region in op.regions if region.blocks]
        if op.name == "scf.if":
            return [op.operands[0], *(values[k] for values in ends)]
        if op.name == "scf.for":
            return [*op.operands[:3], op.operands[3 + k], ends[0][k]]
        if op.name == "scf.while":
            return [ends[0][0], ends[0][1 + k]]
        return [*op.operands, *(value for region in op.regions for value in _handed_over(region))]


def _homes(op: Op) -> Iterator[tuple[Block, tuple[Op, Region]]]:
    """The operation and the region of every block inside `op`."""
    for region in op.regions:
        for block in region.blocks:
            yield block, (op, region)
            for inner in block.ops:
                yield from _homes(inner)


def _handed_over(region: Region) -> Iterator[Value]:
    """Everything that the ends of a region's blocks pass on."""
    for block in region.blocks:
        if block.ops:
            yield from block.terminator.operands
            for _, values in block.terminator.successors:
                yield from values


def _constant(value: Value) -> object | None:
    """The number that a value is, splat or not; None where it is not known."""
    op = value.defining_op
    if op is None:
        return None
    if op.name in ("tt.splat", "tt.broadcast", "tt.expand_dims", "tt.reshape"):
        return _constant(op.operands[0])
    if op.name != "arith.constant":
        return None
    number = op.attrs["value"]
    return number if isinstance(number, int | float) else None
