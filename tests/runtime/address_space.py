"""The address space of this process: what is mapped, and a way to leave room for new mappings only in holes
far apart, as in a process that has loaded gigabytes of libraries."""

from __future__ import annotations

import ctypes
import itertools
import mmap
from collections.abc import Iterable
from pathlib import Path

PAGE = mmap.PAGESIZE
HOLES = 48
APART = 3 << 30
"""Bytes between holes: further than a signed 32-bit distance reaches."""

_RESERVED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
_EXACTLY_THERE = 0x100000  # MAP_FIXED_NOREPLACE

_C = ctypes.CDLL(None)
_C.mmap.restype = ctypes.c_void_p
_C.mmap.argtypes = [
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
]
_C.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

Range = tuple[int, int]


def mapped(permissions: str | None = None) -> list[Range]:
    """The address ranges that are mapped, in ascending order, or those with these permissions ("r-xp")."""
    found: list[Range] = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, allowed = line.split()[:2]
        first, _, last = addresses.partition("-")
        if permissions in (None, allowed) and "[vsyscall]" not in line:
            found.append((int(first, 16), int(last, 16)))
    return found


def map_page() -> int:
    """The address of a new page, wherever Linux puts it."""
    return int(_C.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0))


def without(ranges: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """What of `ranges` lies in none of `others`."""
    left = list(ranges)
    for low, high in others:
        left = [
            part
            for first, last in left
            for part in ((first, min(last, low)), (max(first, high), last))
            if part[0] < part[1]
        ]
    return left


def scatter() -> None:
    """Leave holes of one page, each `APART` from the next, for mappings of one page: Linux takes the highest
    that fits. Larger mappings find room below them. It lasts as long as the process."""
    low, high = max(_gaps(), key=lambda gap: gap[1] - gap[0])
    bottom = high - HOLES * APART
    assert bottom - low > 1 << 34, "this address space is too full to be scattered"
    # Python may have mapped memory since, so a block or two can be taken.
    blocks = [start for start in range(bottom, high, APART) if _reserve(start, start + APART)]
    for _ in range(10):
        for start, end in _gaps():
            if start >= bottom or end > bottom > start:
                _reserve(max(start, bottom), end)
    for start in blocks:
        _C.munmap(start + PAGE, PAGE)


def _gaps() -> list[Range]:
    taken = mapped()
    return [(before[1], after[0]) for before, after in itertools.pairwise(taken) if before[1] < after[0]]


def _reserve(start: int, end: int) -> bool:
    """Whether this range was free; it is taken now, without memory behind it."""
    return _C.mmap(start, end - start, 0, _RESERVED | _EXACTLY_THERE, -1, 0) == start
