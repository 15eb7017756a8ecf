"""Places the buffers of a schedule in one arena, sharing bytes between buffers never alive at once."""

from __future__ import annotations

from dataclasses import dataclass

from .steps import Buffer

STATUS_BYTES = 64
ALIGNMENT = 64
GUARD = 64
"""Bytes after each buffer that a vector load may touch but nothing relies on."""


@dataclass(slots=True)
class Lifetime:
    """First and last program positions at which a buffer holds something."""

    first: int
    last: int

    def touch(self, position: int) -> None:
        """Extend the lifetime to a position."""
        self.first = min(self.first, position)
        self.last = max(self.last, position)


def plan(lifetimes: dict[Buffer, Lifetime]) -> int:
    """Assign `offset` to every buffer; returns the size of the arena in bytes.

    Largest first, each at the lowest offset that is free during its whole life.
    """
    placed: list[tuple[Buffer, Lifetime]] = []
    total = STATUS_BYTES
    for buffer, life in sorted(lifetimes.items(), key=lambda item: -item[0].bytes):
        size = _aligned(buffer.bytes + GUARD)
        busy = sorted(
            (other.offset, other.offset + _aligned(other.bytes + GUARD))
            for other, at in placed
            if at.first <= life.last and life.first <= at.last
        )
        offset = STATUS_BYTES
        for start, end in busy:
            if offset + size <= start:
                break
            offset = max(offset, end)
        buffer.offset = offset
        placed.append((buffer, life))
        total = max(total, offset + size)
    return total


def _aligned(size: int) -> int:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
