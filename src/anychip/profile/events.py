"""Events of launches and calls as native code wrote them.

Flows in: the words of a buffer (see `runtime.native.events`). Flows out: one `Event` each. Times are
nanoseconds of the clock of `time.monotonic_ns`."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, unpack_from
from typing import NamedTuple

from ..runtime.native.events import HEADER_WORDS
from ..runtime.native.structures import EventKind

_HEADER = Struct(f"<{HEADER_WORDS}Q")


class Event(NamedTuple):
    """A launch with its grid and the slots of its arguments, or a call of an overload (`kind`). `subject`
    is the address of the function's record, or of the call's. `members` threads worked `busy` nanoseconds
    together, one of them `longest`; 0 where no clock was looked at."""

    kind: int
    subject: int
    begin: int
    end: int
    thread: int
    members: int
    busy: int
    longest: int
    grid: tuple[int, int, int]
    slots: tuple[int, ...]

    @property
    def nanoseconds(self) -> int:
        """From begin to end."""
        return self.end - self.begin


def read(data: bytes) -> Iterator[Event]:
    """The events of a buffer that is no longer written to, in the order in which they ended, roughly."""
    place = 0
    while place < len(data):
        words, kind, subject, begin, end, thread, members, busy, longest, x, y, z = _HEADER.unpack_from(
            data, place
        )
        if not words:
            return  # the rest found no room, and was counted as lost
        count = words - HEADER_WORDS
        slots = unpack_from(f"<{count}Q", data, place + _HEADER.size) if count else ()
        launch = kind == EventKind.LAUNCH
        grid = (x, y, z) if launch else (0, 0, 0)
        yield Event(kind, subject, begin, end, thread, members, busy, longest, grid, slots)
        place += 8 * words
