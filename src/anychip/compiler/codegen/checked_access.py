"""Accesses of memory between checks.

In: an access that is about to be emitted, its addresses still in linear form. Out: the same access with its
checks. A chunk whose first and last byte lie in the argument's view, known from a few scalars, takes the
usual way. Any other one goes through a routine that looks at single lanes (`check_routines`), writes down
those that are outside, and leaves out those that are outside of the tensor's memory too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..ir.core import Op
from ..llvm.types import I1, I32, I64, NULL, PTR, LLType, Val, mangle
from . import check_routines
from .check_table import Check, Kind
from .checks import Checks, address_of
from .chunk_checks import ChunkChecks
from .evaluation import Evaluation
from .lane_memory import LaneMemory
from .linear import Lane, Lin
from .memory import Memory
from .point import Point
from .register_types import register_type
from .wide import WideOffsets


class CheckedAccess(ChunkChecks):
    """One access with what `checks` wants."""

    def __init__(self, checks: Checks, ev: Evaluation, op: Op, point: Point):
        super().__init__(checks, ev, op, point)
        self.wide: list[Lane] = []
        if Check.OVERFLOW in checks.wanted:
            self.wide = WideOffsets(ev).of(op.operands[0], point)

    # --- loads and stores ----------------------------------------------------------------------
    def read(self, access: Memory, pointer: Lane, mask: Val | None, other: Val | None) -> tuple[Val, str]:
        """`access.read`, checked."""
        verdicts: list[str] = []

        def run(at: Lane, on: Val | None) -> Val | None:
            rest = other
            if on is not None and rest is None:
                rest = self.b.null(register_type(access.element))
            value, verdict = self._like(access).read(at, on, rest)
            verdicts.append(verdict)
            self._mapped_read(at, on)
            if Check.NONFINITE in self.checks.wanted:
                self._finite(access.element, value, at, on)
            return value

        value = self._guarded(pointer, mask, run)
        assert value is not None
        return value, verdicts[0]

    def write(self, access: Memory, pointer: Lane, value: Val, mask: Val | None) -> str:
        """`access.write`, checked."""
        if mask is not None and mask.ref == "false":
            return "none"
        verdicts: list[str] = []

        def run(at: Lane, on: Val | None) -> Val | None:
            self._mapped_write(self._like(access), at, on, value)
            if Check.NONFINITE in self.checks.wanted:
                self._finite(access.element, value, at, on)
            verdicts.append(self._like(access).write(at, value, on))
            return None

        self._guarded(pointer, mask, run)
        return verdicts[0]

    def _like(self, access: Memory) -> Memory:
        """`access` as it is made at this place: in one go, or lane by lane."""
        if self.memory is Memory:
            return access
        return self.memory(
            access.context, access.lanes, access.element, access.meta, volatile=access.volatile
        )

    def update(self, pointer: Val, mask: Val | None, run: Callable[[Val], Val]) -> Val:
        """An atomic operation on one element: `run(on)` does it where `on` (i1) is true."""
        on = mask if mask is not None else Val("true", I1)

        def checked(at: Lane, still: Val | None) -> Val | None:
            self._mapped_read(at, still)
            self._mark(at, still)
            return run(still if still is not None else on)

        value = self._guarded(pointer, mask, checked)
        assert value is not None
        return value

    # --- bounds and offsets ----------------------------------------------------------------------
    def _guarded(
        self, pointer: Lane, mask: Val | None, run: Callable[[Lane, Val | None], Val | None]
    ) -> Val | None:
        """`run` with the address and mask of the lanes that may access memory."""
        if isinstance(pointer, Lin) and pointer.guards:
            exact = pointer.exact
            assert exact is not None
            plain = Lin(pointer.type, pointer.parts, pointer.offset, pointer.pattern, pointer.terms)
            holds = pointer.guards[0]
            for guard in pointer.guards[1:]:
                holds = self.b.and_(holds, guard)
            return self._either(
                holds,
                lambda: self._guarded(plain, mask, run),
                lambda: self._guarded(exact(), mask, run),
                self.lanes,
            )
        fine = self._fine(pointer)
        if fine is None:
            return run(pointer, mask)
        uniform = pointer.is_uniform if isinstance(pointer, Lin) else pointer.lanes == 1
        return self._either(
            fine,
            lambda: run(pointer, mask),
            lambda: self._by_lane(pointer, mask, run),
            0 if uniform else self.lanes,
        )

    def _fine(self, pointer: Lane) -> Val | None:
        """Whether a whole chunk is surely right (i1); None where nothing is checked."""
        b = self.b
        conditions: list[Val] = []
        if self.regions and Check.BOUNDS in self.checks.wanted:
            low, high = self._extremes(pointer)
            end = b.add(high, b.int(self.size, I64))
            inside = [
                b.and_(b.icmp("sge", low, region.low), b.icmp("sle", end, region.high))
                for region in self.regions
            ]
            conditions.append(self._fold(inside, b.or_))
        for wide in self.wide:
            conditions += self._in_range(wide)
        return self._fold(conditions, b.and_) if conditions else None

    def _fold(self, conditions: Sequence[Val], join: Callable[[Val, Val], Val]) -> Val:
        total = conditions[0]
        for condition in conditions[1:]:
            total = join(total, condition)
        return total

    def _in_range(self, wide: Lane) -> list[Val]:
        """Conditions (i1) under which all lanes of an i64 form are numbers of 32 bits."""
        b = self.b
        low, high = self._extremes(wide)
        if low is high:
            return [self._fits(low)]
        return [
            b.icmp("sge", low, b.int(-(1 << 31), I64)),
            b.icmp("sle", high, b.int((1 << 31) - 1, I64)),
        ]

    def _fits(self, wide: Val) -> Val:
        """Whether i64 numbers are numbers of 32 bits."""
        b = self.b
        return b.icmp("eq", b.cast("sext", b.cast("trunc", wide, "i32"), "i64"), wide)

    def _extremes(self, lane: Lane) -> tuple[Val, Val]:
        """The smallest and the largest lane (i64) of addresses or numbers, or numbers beyond."""
        b = self.b
        is_pointer = lane.type.element == "ptr"
        if isinstance(lane, Val):
            number = address_of(b, lane) if is_pointer else lane
            if number.lanes == 1:
                return number, number
            kind = mangle(number.type)
            low, high = (b.call(f"llvm.vector.reduce.{k}.{kind}", I64, [number]) for k in ("smin", "smax"))
            return low, high
        base = self.linear.base(lane)
        base = address_of(b, base) if is_pointer else base
        low = b.add(base, b.int(min(lane.pattern), I64))
        high = b.add(base, b.int(max(lane.pattern), I64))
        for lanes, stride in lane.terms:
            ends = [b.mul(stride, b.int(end, I64)) for end in (min(lanes), max(lanes))]
            low = b.add(low, b.intrinsic("llvm.smin", *ends))
            high = b.add(high, b.intrinsic("llvm.smax", *ends))
        return (low, low) if lane.is_uniform else (low, high)

    def _by_lane(
        self, pointer: Lane, mask: Val | None, run: Callable[[Lane, Val | None], Val | None]
    ) -> Val | None:
        """`run` after a look at every lane, without those that must not access memory."""
        b = self.b
        addresses = self.linear.vector(pointer, self.lanes)
        on = mask if mask is not None else b.int(1, I1)
        if addresses.lanes == 1 and on.lanes > 1:
            on = b.call(f"llvm.vector.reduce.or.{mangle(on.type)}", I1, [on])
        on = b.splat(on, addresses.lanes)
        for wide in self.wide:
            number = b.splat(self.linear.vector(wide, self.lanes), self.lanes)
            if addresses.lanes == 1:
                number = b.extract(number, 0)
            wrong = b.and_(on, b.xor(self._fits(number), b.int(1, LLType("i1", number.lanes))))
            self._note(Check.OVERFLOW, addresses, wrong, number)
        looked = bool(self.regions) and Check.BOUNDS in self.checks.wanted
        if looked:
            on = self._look(addresses, on)
        if addresses.lanes == 1 and mask is not None and mask.lanes > 1:
            on = b.and_(mask, b.splat(on, mask.lanes))
        self.memory, self.looked = LaneMemory, looked
        value = run(addresses, on)
        self.memory, self.looked = Memory, False
        return value

    def _look(self, addresses: Val, on: Val) -> Val:
        """Write down the lanes outside of the view, and what maps say; those inside of the memory."""
        b, checks = self.b, self.checks
        routine = check_routines.check
        routine.require(b.module)
        numbers = [region.number for region in self.regions]
        name = "regions." + ".".join(map(str, numbers))
        bytes = self._array(b.cast("zext", on, "i8"))
        record = checks.record(b, self.op, Check.BOUNDS, self.kind)
        unwritten, marks = NULL, 0
        if self._has(Check.UNINITIALISED):
            marks = int(self.kind is not Kind.READ)
            if self.kind is not Kind.WRITE:
                unwritten = checks.record(b, self.op, Check.UNINITIALISED, self.kind)
        b.call(
            routine.name,
            "void",
            [
                checks.table,
                Val("%args", PTR),
                b.module.table(name, I32, list(map(str, numbers))),
                b.int(len(numbers)),
                record,
                unwritten,
                b.int(marks),
                self._array(address_of(b, addresses)),
                self._places(addresses.lanes),
                bytes,
                b.int(addresses.lanes),
                b.int(self.size, I64),
                *self.context.program,
            ],
        )
        left = b.load(LLType("i8", addresses.lanes), bytes, 1)
        return b.icmp("ne", left, b.int(0, left.type))

    def _either(
        self,
        condition: Val,
        then: Callable[[], Val | None],
        otherwise: Callable[[], Val | None],
        lanes: int,
    ) -> Val | None:
        """`then()` or `otherwise()`, and the value of the one that is done, in that many lanes (0: both have
        equally many)."""
        b = self.b
        yes, no, done = b.label("fine"), b.label("doubtful"), b.label("done")
        b.cond_br(condition, yes, no, self.checks.likely)
        ends: list[tuple[str, list[Val]]] = []
        for label, run in ((yes, then), (no, otherwise)):
            b.place(label)
            value = run()
            if value is not None:
                value = b.splat(value, lanes or value.lanes)
                ends.append((b.block, [value]))
            if label == yes:
                b.br(done)
        b.place(done)
        return b.merge(ends)[0] if ends else None
