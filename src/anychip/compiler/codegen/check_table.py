"""What a kernel with checks and its launcher tell each other: one table in memory for each launch.

In: for each pointer argument a `REGION`, where its tensor lies and what is known of the tensor's bytes. Out:
for each check of the kernel (`Site`) a `RECORD`, how often it failed and where it failed first. Regions come
first in the table, in the order of the pointer arguments; records follow in the order of the sites.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from enum import StrEnum
from typing import Any

from ..llvm.struct import Struct
from ..llvm.types import I32, I64, array


class Check(StrEnum):
    """What is looked for, causes before what they may lead to."""

    OVERFLOW = "overflow"
    """An access whose offset is the result of 32-bit arithmetic that overflowed."""
    BOUNDS = "bounds"
    """An access outside of the tensor, or of the view of it, that its pointer belongs to."""
    UNINITIALISED = "uninitialised"
    """A read of memory that nobody has written."""
    ALIGNMENT = "alignment"
    """A tensor descriptor whose address or strides are not multiples of 16 bytes."""
    RACE = "race"
    """Two programs of one launch access an element, and at least one of them writes it."""
    NONFINITE = "nonfinite"
    """A NaN or an infinity is written."""


class Kind(StrEnum):
    """What an access does to memory, as a report says it."""

    READ = "reads"
    WRITE = "writes"
    UPDATE = "updates"
    DESCRIBE = "describes"


REGION = Struct(
    "region",
    "The memory of a pointer argument. `low` and `high`: bytes from the pointer to the first byte of the "
    "view, and to behind its last one. `memory_low`, `memory_high`: the same of the memory of the view. "
    "The others are what to add to an address for the byte that tells of it, 0 where there is nothing to "
    "tell: in `members` whether the view has the byte, in `initialised` whether it was written, in `writers` "
    "and `readers` by which program. `slot` is the argument's.",
    low=I64,
    high=I64,
    memory_low=I64,
    memory_high=I64,
    members=I64,
    initialised=I64,
    writers=I64,
    readers=I64,
    slot=I64,
)

RECORD = Struct(
    "record",
    "A check's failures: how many lanes failed in this launch, and of the first one the program, its lane "
    "(the position in the tile, row-major), the byte from the argument's pointer, and whatever else the "
    "check tells.",
    count=I64,
    offset=I64,
    detail=I64,
    program=array(I32, 3),
    lane=I32,
)

MISALIGNED = "descriptor: "
"""The first word of assertions that check the alignment of a descriptor; what is misaligned follows."""

YES = 1
"""The byte that says yes in the maps `members` and `initialised`."""


@dataclass(frozen=True, slots=True)
class Site:
    """One check of a kernel: what is looked for, what the access does, the argument that it belongs to (its
    name and slot; "" and -1 where that is not known), bytes of an element, its type, file and line."""

    check: Check
    kind: Kind
    argument: str
    slot: int
    size: int
    element: str
    place: str

    def to_json(self) -> list[Any]:
        """The fields in order."""
        return list(astuple(self))

    @staticmethod
    def from_json(fields: list[Any]) -> Site:
        """The inverse."""
        check, kind, *rest = fields
        return Site(Check(check), Kind(kind), *rest)


@dataclass(frozen=True, slots=True)
class CheckTable:
    """What a launcher must know to make a kernel's table: the slots of its pointer arguments, and its checks.
    The table's address is the kernel's last argument."""

    slots: tuple[int, ...]
    sites: tuple[Site, ...]

    def to_json(self) -> list[Any]:
        """Lists all the way down."""
        return [list(self.slots), [site.to_json() for site in self.sites]]

    @staticmethod
    def from_json(fields: list[Any]) -> CheckTable:
        """The inverse."""
        slots, sites = fields
        return CheckTable(tuple(slots), tuple(map(Site.from_json, sites)))
