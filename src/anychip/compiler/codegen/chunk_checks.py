"""What is known of single bytes of tensors, and of numbers: checks of a chunk that go through maps.

A map has the layout of the tensor that it tells of, so that reading or writing a map is the same access as
the tensor's with something added to its addresses. Whatever is wrong is written down by a routine away from
the hot code (`check_routines`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..ir.core import Op
from ..ir.types import ElementType, ScalarType
from ..llvm.types import I1, I64, LLType, Val, mangle
from ..schedule.origins import SYNCHRONISED
from . import check_routines
from .check_table import YES, Check, Kind
from .checks import KINDS, Checks, address_of, pointee
from .evaluation import Evaluation
from .linear import Lane, Lin
from .memory import Memory
from .point import Point
from .register_types import register_type

EXPONENT = {"half": 0x7C00, "float": 0x7F80_0000, "double": 0x7FF0_0000_0000_0000}
"""Register type -> the bits that are all ones in infinities and NaNs."""
BF16_EXPONENT = 0x7F80


class ChunkChecks:
    """The checks of one access of a chunk of `ev.lanes` lanes at `point`. `memory` is how a map is accessed
    at this place; `looked`: single lanes were looked at before, with what maps say of them."""

    def __init__(self, checks: Checks, ev: Evaluation, op: Op, point: Point):
        self.checks, self.ev, self.op, self.point = checks, ev, op, point
        self.context, self.b, self.linear = ev.context, ev.b, ev.linear
        self.lanes = ev.lanes
        self.regions = checks.of(op)
        self.kind = KINDS[op.name]
        self.size = pointee(op).bytes
        self.memory: type[Memory] = Memory
        self.looked = False

    # --- what is written down --------------------------------------------------------------------
    def _places(self, lanes: int) -> Val:
        """Where in the tile each lane is, row-major, as an array of i32; 0 for a scalar."""
        b = self.b
        total = b.int(0, LLType("i32", lanes))
        step = 1
        for index, extent in zip(reversed(self.point), reversed(self.op.operands[0].shape)):
            base = index.base if isinstance(index.base, Val) else b.int(index.base)
            pattern = index.pattern[:lanes] if index.pattern is not None else (0,) * lanes
            total = b.add(total, b.splat(b.mul(base, b.int(step)), lanes))
            total = b.add(total, b.ints([p * step for p in pattern]))
            step *= extent
        return self._array(total)

    def _array(self, lanes: Val) -> Val:
        """Lanes in memory, one after the other."""
        place = self.b.alloca(lanes.type)
        self.b.store(lanes, place, 1)
        return place

    def _note(self, check: Check, addresses: Val, wrong: Val, detail: Val | None = None) -> None:
        """Write down the lanes that are `wrong`, if there are any. `detail` is an i64 a lane."""
        b, context = self.b, self.context
        wrong = b.splat(wrong, addresses.lanes) if wrong.lanes == 1 else wrong
        addresses = b.splat(addresses, wrong.lanes)
        some = wrong
        if wrong.lanes > 1:
            some = b.call(f"llvm.vector.reduce.or.{mangle(wrong.type)}", I1, [wrong])
        with self._when(b.xor(some, b.int(1, I1)), unlikely=True):
            routine = check_routines.note
            routine.require(b.module)
            base = self.regions[0].base if self.regions else b.int(0, I64)
            detail = b.int(0, I64) if detail is None else detail
            b.call(
                routine.name,
                "void",
                [
                    self.checks.record(b, self.op, check, self.kind),
                    base,
                    self._array(address_of(b, addresses)),
                    self._places(wrong.lanes),
                    self._array(b.cast("zext", wrong, "i8")),
                    self._array(b.splat(detail, wrong.lanes)),
                    b.int(wrong.lanes),
                    *context.program,
                ],
            )

    # --- maps ----------------------------------------------------------------------------------
    def _map(self, name: str, at: Lane) -> tuple[Memory, Lane, Val]:
        """How the chunk's bytes of a map are accessed, at which addresses, and what must be added to an
        address (0: there is no such map)."""
        move = self.regions[0].maps[name]
        number = ScalarType(f"i{8 * self.size}", 8 * self.size, "int")
        access = self.memory(self.context, self.lanes, number, self.context.check_memory)
        return access, self._moved(at, move), move

    def _moved(self, at: Lane, move: Val) -> Lane:
        b = self.b
        if isinstance(at, Val):
            return b.gep(at, b.splat(move, at.lanes))
        return Lin(at.type, (*at.parts, move), at.offset, at.pattern, at.terms)

    def _has(self, check: Check) -> bool:
        return check in self.checks.wanted and len(self.regions) == 1

    def _full(self, on: Val | None) -> Val | None:
        return None if on is not None and on.ref == "true" else on

    def _members(self, at: Lane, on: Val | None) -> None:
        """Write down the lanes that fall between the elements of a view."""
        if self._has(Check.BOUNDS) and not self.looked:
            self._all_set("members", Check.BOUNDS, at, on)

    def _all_set(self, name: str, check: Check, at: Lane, on: Val | None) -> None:
        access, there, move = self._map(name, at)
        b = self.b
        with self._when(b.icmp("eq", move, b.int(0, I64))):
            yes = b.int(_yes(self.size), register_type(access.element))
            seen, _ = access.read(there, self._full(on), yes)
            wrong = b.icmp("ne", seen, yes if seen.lanes == 1 else b.splat(yes, seen.lanes))
            self._note(check, self.linear.vector(at, self.lanes), wrong)

    def _mapped_read(self, at: Lane, on: Val | None) -> None:
        self._members(at, on)
        if self._has(Check.UNINITIALISED) and not self.looked:
            self._all_set("initialised", Check.UNINITIALISED, at, on)
        if self._has(Check.RACE) and SYNCHRONISED not in self.op.attrs and self.kind is Kind.READ:
            self._race_of_read(at, on)

    def _mapped_write(self, access: Memory, at: Lane, on: Val | None, value: Val) -> None:
        self._members(at, on)
        self._mark(at, on)
        if self._has(Check.RACE) and SYNCHRONISED not in self.op.attrs:
            self._race_of_write(access, at, on, value)

    def _mark(self, at: Lane, on: Val | None) -> None:
        """The lanes are initialised from here on."""
        if not self._has(Check.UNINITIALISED) or self.looked:
            return
        access, there, move = self._map("initialised", at)
        b = self.b
        with self._when(b.icmp("eq", move, b.int(0, I64))):
            yes = b.int(_yes(self.size), register_type(access.element))
            access.write(there, b.splat(yes, self.lanes), self._full(on))

    # --- races ---------------------------------------------------------------------------------
    def _program(self) -> Val:
        """A number of this program that is not 0 and fits into an element; small elements have few."""
        b = self.b
        x, y, z = (b.cast("zext", id, "i64") for id in self.context.program)
        gx, gy, _ = (b.cast("zext", extent, "i64") for extent in self.context.grid)
        number = b.add(x, b.mul(gx, b.add(y, b.mul(gy, z))))
        bits = 8 * self.size
        if bits < 32:
            number = b.binary("urem", number, b.int((1 << bits) - 2, I64))
        number = b.add(number, b.int(1, I64))
        return b.cast("trunc", number, f"i{bits}") if bits < 64 else number

    def _others(self, seen: Val, mine: Val) -> Val:
        """Whether a map's lanes name another program than this one."""
        b = self.b
        mine = b.splat(mine, seen.lanes)
        return b.and_(b.icmp("ne", seen, b.int(0, seen.type)), b.icmp("ne", seen, mine))

    def _race_of_read(self, at: Lane, on: Val | None) -> None:
        b = self.b
        writers, written, move = self._map("writers", at)
        with self._when(b.icmp("eq", move, b.int(0, I64))):
            mine = self._program()
            none = b.null(mine.type)
            seen, _ = writers.read(written, self._full(on), none)
            self._note(
                Check.RACE,
                self.linear.vector(at, self.lanes),
                self._others(seen, mine),
                self._as_detail(seen),
            )
            readers, read, _ = self._map("readers", at)
            before, _ = readers.read(read, self._full(on), none)
            many = b.int(-1, before.type)
            now = b.select(self._others(before, mine), many, b.splat(mine, before.lanes))
            readers.write(read, b.splat(now, self.lanes), self._full(on))

    def _race_of_write(self, access: Memory, at: Lane, on: Val | None, value: Val) -> None:
        """A write of what is there already is no race: programs may agree on a value."""
        b = self.b
        writers, written, move = self._map("writers", at)
        with self._when(b.icmp("eq", move, b.int(0, I64))):
            mine = self._program()
            none = b.null(mine.type)
            full = self._full(on)
            old, _ = access.read(at, full, self.b.null(register_type(access.element)) if full else None)
            old, new = (b.splat(self._bits(v), self.lanes) for v in (old, value))
            changed = b.icmp("ne", old, new)
            addresses = self.linear.vector(at, self.lanes)
            readers, read, _ = self._map("readers", at)
            for shadow, place in ((writers, written), (readers, read)):
                seen = b.splat(shadow.read(place, full, none)[0], self.lanes)
                wrong = b.and_(self._others(seen, mine), changed)
                if full is not None:
                    wrong = b.and_(wrong, b.splat(full, self.lanes))
                self._note(Check.RACE, addresses, wrong, self._as_detail(seen))
            writers.write(written, b.splat(mine, self.lanes), full)

    def _bits(self, value: Val) -> Val:
        """A register's bits as integers."""
        if value.type.element == "ptr":
            return address_of(self.b, value)
        if not value.type.is_float:
            return value
        return self.b.cast("bitcast", value, f"i{value.type.bits}")

    def _as_detail(self, number: Val) -> Val:
        return self.b.cast("zext", number, "i64") if number.type.bits < 64 else number

    # --- numbers -------------------------------------------------------------------------------
    def _finite(self, element: ElementType, value: Val, at: Lane, on: Val | None) -> None:
        """Write down the lanes that hold no finite number."""
        if element.name == "bf16" if isinstance(element, ScalarType) else False:
            exponent = BF16_EXPONENT
        elif value.type.element in EXPONENT:
            exponent = EXPONENT[value.type.element]
        else:
            return
        b = self.b
        bits = self._bits(value)
        ones = b.int(exponent, bits.type)
        wrong = b.icmp("eq", b.and_(bits, ones), ones)
        addresses = self.linear.vector(at, self.lanes)
        if on is not None and on.ref != "true":
            wrong = b.and_(*b.unify(wrong, on))
        detail = b.cast("zext", bits, "i64") if bits.type.bits < 64 else bits
        lanes = max(wrong.lanes, addresses.lanes)
        self._note(Check.NONFINITE, addresses, b.splat(wrong, lanes), b.splat(detail, lanes))

    # --- control flow --------------------------------------------------------------------------
    @contextmanager
    def _when(self, condition_not: Val, *, unlikely: bool = False) -> Iterator[None]:
        """What stands inside is done where `condition_not` (i1) is false."""
        b = self.b
        then, done = b.label("checked"), b.label("on")
        b.cond_br(condition_not, done, then, self.checks.likely if unlikely else "")
        b.place(then)
        yield
        b.place(done)


def _yes(size: int) -> int:
    """`size` bytes that say yes."""
    return int.from_bytes(bytes((YES,)) * size, "little")
