"""What a kernel with checks does where a check may have failed: functions of the module, away from the hot
code, which look at a chunk lane by lane and write down what they find.

Lanes come as arrays: `addresses` (i64 each), `places`, where in its tile the lane is (i32 each, row-major),
and `on`, a byte each that says whether the lane takes part.
"""

from __future__ import annotations

from ..llvm.flow import Flow, Variable
from ..llvm.routine import routine
from ..llvm.struct import Fields
from ..llvm.types import I8, I32, I64, PTR, Val
from .check_table import RECORD, REGION, YES

COLD = "noinline cold nounwind"


@routine(
    "anychip.failed",
    attributes=COLD,
    record=PTR,
    offset=I64,
    detail=I64,
    lane=I32,
    x=I32,
    y=I32,
    z=I32,
)
def failed(f: Flow, record_at: Val, offset: Val, detail: Val, lane: Val, x: Val, y: Val, z: Val) -> None:
    """Count a lane that failed; of the first one write down where."""
    record = RECORD.at(f, record_at)
    with f.if_(f.eq(record.atomic_add("count", 1), 0)):
        record.store_all(offset=offset, detail=detail, lane=lane)
        program = record.address("program")
        for axis, id in enumerate((x, y, z)):
            f.store(id, f.gep(program, 4 * axis))


@routine(
    "anychip.note",
    attributes=COLD,
    record=PTR,
    base=I64,
    addresses=PTR,
    places=PTR,
    on=PTR,
    details=PTR,
    lanes=I32,
    x=I32,
    y=I32,
    z=I32,
)
def note(
    f: Flow,
    record: Val,
    base: Val,
    addresses: Val,
    places: Val,
    on: Val,
    details: Val,
    lanes: Val,
    *program: Val,
) -> None:
    """Write down the lanes that are `on`: they failed. `base` is the argument's address; `details` an i64 a
    lane."""
    with f.counted(lanes) as each, f.if_(f.ne(f.load(I8, f.element(I8, on, f.zext(each.index))), 0)):
        at = f.zext(each.index)
        offset = f.sub(f.load(I64, f.element(I64, addresses, at)), base)
        place = f.load(I32, f.element(I32, places, at))
        failed(f, record, offset, f.load(I64, f.element(I64, details, at)), place, *program)


@routine(
    "anychip.check",
    attributes=COLD,
    table=PTR,
    args=PTR,
    numbers=PTR,
    count=I32,
    record=PTR,
    unwritten=PTR,
    marks=I32,
    addresses=PTR,
    places=PTR,
    on=PTR,
    lanes=I32,
    size=I64,
    x=I32,
    y=I32,
    z=I32,
)
def check(
    f: Flow,
    table: Val,
    args: Val,
    numbers: Val,
    count: Val,
    record: Val,
    unwritten: Val,
    marks: Val,
    addresses: Val,
    places: Val,
    on: Val,
    lanes: Val,
    size: Val,
    *program: Val,
) -> None:
    """Write down the lanes whose element of `size` bytes is in the view of none of the `count` regions with
    these `numbers`, and turn those off that are in no region's memory at all. What one region's maps say is
    looked at too: lanes that nobody has written go into the record `unwritten` (null: none is wanted), and
    with `marks` (not 0) are written from here on."""
    with f.counted(lanes) as each:
        at = f.zext(each.index)
        mine = f.element(I8, on, at)
        with f.if_(f.ne(f.load(I8, mine), 0)):
            address = f.load(I64, f.element(I64, addresses, at))
            last = f.add(address, size)
            seen = f.local(f.int(0, I8))
            there = f.local(f.int(0, I8))
            with f.counted(count) as number:
                which = f.zext(f.load(I32, f.element(I32, numbers, f.zext(number.index))))
                region = REGION.item(f, table, which)
                base = _base(f, args, region.load("slot"))
                for found, low, high in ((seen, "low", "high"), (there, "memory_low", "memory_high")):
                    after = f.sge(address, f.add(base, region.load(low)))
                    before = f.sge(f.add(base, region.load(high)), last)
                    found.value = f.or_(found.value, f.zext(f.and_(after, before), I8))
            f.store(there.value, mine)
            first = REGION.item(f, table, f.zext(f.load(I32, numbers)))
            offset = f.sub(address, _base(f, args, first.load("slot")))
            place = f.load(I32, f.element(I32, places, at))
            _look_at_maps(
                f, first, address, seen, there, count, unwritten, marks, size, (offset, place, *program)
            )
            with f.if_(f.eq(seen.value, 0)):
                failed(f, record, offset, 0, place, *program)


def _look_at_maps(
    f: Flow,
    region: Fields,
    address: Val,
    seen: Variable,
    there: Variable,
    count: Val,
    unwritten: Val,
    marks: Val,
    size: Val,
    where: tuple[Val, ...],
) -> None:
    """An element between those of a view is not `seen`; one that nobody has written is written down."""
    offset, place, *program = where
    one = f.eq(count, 1)
    members, written = region.load("members"), region.load("initialised")
    with f.if_(f.and_(f.and_(one, f.ne(members, 0)), f.ne(seen.value, 0))):
        seen.value = f.load(I8, _pointer(f, f.add(address, members)))
    with f.if_(f.and_(f.and_(one, f.ne(written, 0)), f.ne(there.value, 0))):
        byte = _pointer(f, f.add(address, written))
        with f.if_(f.and_(f.ne(unwritten, 0), f.eq(f.load(I8, byte), 0))):
            failed(f, unwritten, offset, 0, place, *program)
        with f.if_(f.ne(marks, 0)), f.counted(size) as each:
            f.store(f.int(YES, I8), f.element(I8, byte, each.index))


def _pointer(f: Flow, address: Val) -> Val:
    return f.raw(PTR, f"inttoptr {address} to ptr")


def _base(f: Flow, args: Val, slot: Val) -> Val:
    """The address that the argument in a slot holds."""
    return f.load(I64, f.element(I64, args, slot))
