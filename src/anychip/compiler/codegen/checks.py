"""What is checked in one kernel, while its code is generated: the regions of its pointer arguments, and the
checks that were emitted (`check_table` says which there are).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..ir.core import Func, Op, Value
from ..ir.types import ElementType, PointerType, element_of
from ..llvm.builder import Builder
from ..llvm.types import I64, NULL, PTR, LLType, Val
from ..schedule.origins import ORIGINS, pointer_slots
from .check_table import MISALIGNED, RECORD, REGION, Check, Kind, Site

KINDS = {
    "tt.load": Kind.READ,
    "tt.store": Kind.WRITE,
    "tt.atomic_rmw": Kind.UPDATE,
    "tt.atomic_cas": Kind.UPDATE,
}

_LIKELY = '!{!"branch_weights", i32 100000, i32 1}'


@dataclass(frozen=True, slots=True)
class Region:
    """A pointer argument while code is generated: its address and the ends of its view (i64), and the fields
    of its `REGION` that are loaded when a program begins."""

    number: int
    slot: int
    name: str
    base: Val
    low: Val
    high: Val
    maps: dict[str, Val]


@dataclass(eq=False, slots=True)
class Checks:
    """What is checked in one kernel, and the checks that were emitted."""

    wanted: frozenset[Check]
    regions: list[Region] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    table: Val = NULL
    likely: str = ""
    _numbers: dict[tuple[Op, Check, Kind], int] = field(default_factory=dict)

    def begin(self, b: Builder, func: Func, scalars: dict[Value, Val]) -> None:
        """Load what is known of the arguments, whose registers are `scalars`; the last one is the table."""
        table = scalars[func.args[-1]]
        self.likely = b.module.add_metadata(_LIKELY)
        self.table = b.raw(PTR, f"inttoptr {table} to ptr")
        names = [name for name, check in MAPS.items() if check in self.wanted]
        for number, slot in enumerate(pointer_slots(func)):
            arg = func.args[slot]
            base = address_of(b, scalars[arg])

            def known(name: str, number: int = number) -> Val:
                place = number * REGION.size + 8 * REGION.number(name)
                return b.load(I64, b.gep(self.table, place), 8)

            low, high = (b.add(base, known(name)) for name in ("low", "high"))
            self.regions.append(
                Region(number, slot, arg.name, base, low, high, {name: known(name) for name in names})
            )

    def of(self, op: Op) -> list[Region]:
        """The arguments that an access may belong to; none where that is not known."""
        return [self.regions[number] for number in op.attrs.get(ORIGINS, ())]

    def record(self, b: Builder, op: Op, check: Check, kind: Kind) -> Val:
        """The address of the record of one check of an access."""
        element = pointee(op)
        regions = self.of(op)
        name, slot = (regions[0].name, regions[0].slot) if regions else ("", -1)
        site = Site(check, kind, name, slot, element.bytes, str(element), str(op.location))
        return self._record(b, op, site)

    def record_of_descriptor(self, b: Builder, op: Op) -> Val:
        """The address of the record of an assertion that checks the alignment of a descriptor."""
        what = op.attrs["message"].removeprefix(MISALIGNED)
        return self._record(b, op, Site(Check.ALIGNMENT, Kind.DESCRIBE, what, -1, 1, "", str(op.location)))

    def _record(self, b: Builder, op: Op, site: Site) -> Val:
        key = (op, site.check, site.kind)
        if key not in self._numbers:
            self._numbers[key] = len(self.sites)
            self.sites.append(site)
        return b.gep(self.table, len(self.regions) * REGION.size + self._numbers[key] * RECORD.size)


MAPS = {
    "members": Check.BOUNDS,
    "initialised": Check.UNINITIALISED,
    "writers": Check.RACE,
    "readers": Check.RACE,
}
"""The maps of a `REGION`, and what they are for."""


def pointee(op: Op) -> ElementType:
    """The type of the elements that an access is to."""
    pointer = element_of(op.operands[0].type)
    assert isinstance(pointer, PointerType)
    return pointer.pointee


def address_of(b: Builder, pointer: Val) -> Val:
    """Pointers as i64."""
    type = LLType("i64", pointer.lanes)
    return b.raw(type, f"ptrtoint {pointer} to {type}")
