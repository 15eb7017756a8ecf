"""Accesses by a chunk of lanes one after the other, in a function away from the hot code.

The vector instructions for scattered lanes become long code where a core has none; where speed does not
matter, a call is shorter. Flows in: addresses as a vector, and a mask. Flows out: the lanes that are on.
"""

from __future__ import annotations

from ..llvm.flow import Flow
from ..llvm.routine import Routine, routine
from ..llvm.types import I8, I64, PTR, LLType, Val
from .check_routines import COLD
from .linear import Lane
from .memory import Memory, from_memory, memory_type, to_memory


@routine("anychip.gather", attributes=COLD, addresses=PTR, on=PTR, values=PTR, lanes=I64, size=I64)
def gather(f: Flow, addresses: Val, on: Val, values: Val, lanes: Val, size: Val) -> None:
    """Load the lanes that are on (a byte each) from their addresses (i64 each) into an array of values."""
    _move(f, addresses, on, values, lanes, size, stores=False)


@routine("anychip.scatter", attributes=COLD, addresses=PTR, on=PTR, values=PTR, lanes=I64, size=I64)
def scatter(f: Flow, addresses: Val, on: Val, values: Val, lanes: Val, size: Val) -> None:
    """Store the lanes that are on (a byte each) to their addresses (i64 each) from an array of values."""
    _move(f, addresses, on, values, lanes, size, stores=True)


def _move(f: Flow, addresses: Val, on: Val, values: Val, lanes: Val, size: Val, stores: bool) -> None:
    with f.counted(lanes) as each, f.if_(f.ne(f.load(I8, f.element(I8, on, each.index)), 0)):
        number = f.load(I64, f.element(I64, addresses, each.index))
        there = f.raw(PTR, f"inttoptr {number} to ptr")
        here = f.gep(values, f.mul(each.index, size))
        source, target = (here, there) if stores else (there, here)
        with f.switch(size) as case:
            for bytes in (1, 2, 4, 8):
                with case(bytes):
                    f.store(f.load(LLType(f"i{8 * bytes}"), source, bytes), target, bytes)


class LaneMemory(Memory):
    """Reads and writes chunks whose addresses are a vector, lane by lane."""

    def read(self, pointer: Lane, mask: Val | None, other: Val | None) -> tuple[Val, str]:
        """As `Memory.read`."""
        if not isinstance(pointer, Val) or pointer.lanes == 1:
            return super().read(pointer, mask, other)
        b, type = self.b, memory_type(self.element, self.lanes)
        rest = b.null(type) if other is None else to_memory(b, b.splat(other, self.lanes))
        values = self._array(rest)
        self._call(gather, pointer, mask, values)
        return from_memory(b, b.load(type, values, 1), self.element), "gather"

    def write(self, pointer: Lane, value: Val, mask: Val | None) -> str:
        """As `Memory.write`."""
        if not isinstance(pointer, Val) or pointer.lanes == 1:
            return super().write(pointer, value, mask)
        self._call(scatter, pointer, mask, self._array(to_memory(self.b, self.b.splat(value, self.lanes))))
        return "gather"

    def _call(self, move: Routine, pointer: Val, mask: Val | None, values: Val) -> None:
        b = self.b
        move.require(b.module)
        on = b.splat(mask if mask is not None else Val("true", LLType("i1")), self.lanes)
        numbers = b.raw(LLType("i64", self.lanes), f"ptrtoint {pointer} to <{self.lanes} x i64>")
        arrays = [self._array(numbers), self._array(b.cast("zext", on, "i8")), values]
        b.call(move.name, "void", [*arrays, b.int(self.lanes, I64), b.int(self.size, I64)])

    def _array(self, lanes: Val) -> Val:
        place = self.b.alloca(lanes.type)
        self.b.store(lanes, place, 1)
        return place
