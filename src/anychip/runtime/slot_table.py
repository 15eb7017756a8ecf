"""Whose addresses the slots of a launch list are made from, as the interpreter of launches reads it
(`native.interpreter`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Owner(IntEnum):
    """Whose address is added to a slot's number: nothing, the arena of temporaries, the block of an exported
    library's constants, or memory of the caller. Of that there are several: inputs, then outputs."""

    NOTHING = 0
    ARENA = 1
    CONSTANTS = 2
    GIVEN = 3


@dataclass(frozen=True, slots=True)
class SlotRow:
    """The slots of one launch: a number for each, without the address of its owner, and the owners' numbers
    (`Owner`, and from `Owner.GIVEN` on the caller's memory)."""

    values: tuple[int, ...]
    owners: tuple[int, ...]
