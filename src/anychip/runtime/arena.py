"""PlacedArena of temporary buffers in one arena.

Sizes and lifetimes go in, byte offsets come out, such that buffers that live at the same time
never overlap. Larger buffers are placed first, each into the smallest gap that takes it among
those that live with it (Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net
Inference, 2020: greedy by size).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer of `size` bytes in use from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether both are in use at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class PlacedArena:
    """`offsets[k]` is where buffer k begins, a multiple of `ALIGNMENT`; `size` is the whole arena's."""

    offsets: tuple[int, ...]
    size: int


def place(lifetimes: Sequence[Lifetime]) -> PlacedArena:
    """Place buffers by their lifetimes."""
    offsets = [0] * len(lifetimes)
    placed: list[int] = []
    size = 0
    for index in sorted(range(len(lifetimes)), key=lambda k: (-lifetimes[k].size, lifetimes[k].first)):
        lifetime = lifetimes[index]
        wanted = round_up(lifetime.size)
        neighbours = sorted(
            (offsets[k], offsets[k] + round_up(lifetimes[k].size))
            for k in placed
            if lifetimes[k].meets(lifetime)
        )
        offsets[index] = _smallest_gap(neighbours, wanted)
        placed.append(index)
        size = max(size, offsets[index] + wanted)
    return PlacedArena(tuple(offsets), size)


def largest_live(lifetimes: Sequence[Lifetime]) -> int:
    """The most bytes in use at one step: no placement takes less."""
    changes: dict[int, int] = {}
    for lifetime in lifetimes:
        wanted = round_up(lifetime.size)
        changes[lifetime.first] = changes.get(lifetime.first, 0) + wanted
        changes[lifetime.last + 1] = changes.get(lifetime.last + 1, 0) - wanted
    live = most = 0
    for step in sorted(changes):
        live += changes[step]
        most = max(most, live)
    return most


def round_up(size: int) -> int:
    """`size` as a multiple of `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _smallest_gap(neighbours: Sequence[tuple[int, int]], wanted: int) -> int:
    """Where the tightest gap of `wanted` bytes begins between sorted (begin, end) ranges, which may
    overlap; the end of the last one when there is none."""
    best = -1
    tightest = 0
    end = 0
    for begin, finish in neighbours:
        gap = begin - end
        if gap >= wanted and (best < 0 or gap < tightest):
            best, tightest = end, gap
        end = max(end, finish)
    return end if best < 0 else best
