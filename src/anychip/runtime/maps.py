"""Zeroed memory that launches with checks borrow. It is kept between launches, as fresh pages cost more than
zeros."""

from __future__ import annotations

import ctypes
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

MOST_KEPT = 1 << 28
"""Bytes of one size that are kept at most."""

_free: defaultdict[int, list[Any]] = defaultdict(list)


@dataclass(frozen=True, slots=True)
class Map:
    """Memory that was lent."""

    memory: Any

    @property
    def address(self) -> int:
        """Its first byte."""
        return ctypes.addressof(self.memory)


def lend(size: int) -> Map:
    """At least `size` bytes of zeros."""
    room = 1 << max(12, (size - 1).bit_length())
    try:
        memory = _free[room].pop()
    except IndexError:
        return Map(ctypes.create_string_buffer(room))
    ctypes.memset(memory, 0, size)
    return Map(memory)


def give_back(map: Map) -> None:
    """The memory may be lent again."""
    room = len(map.memory)
    if room * (len(_free[room]) + 1) <= MOST_KEPT:
        _free[room].append(map.memory)
