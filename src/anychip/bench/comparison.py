"""Two saved runs, row by row.

Flows in: the rows of both. Flows out: cells with both ratios to eager and their quotient. Each run is
compared with the eager run interleaved with it, so that a machine's state cancels.
"""

from __future__ import annotations

from collections.abc import Sequence

from .report import duration
from .row import EAGER, OURS, Row

HEADINGS = (
    "kernel",
    "ours first",
    "ours second",
    "eager/ours first",
    "eager/ours second",
    "second/first",
    "overlap",
)


def compare(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[str, ...]]:
    """Cells for the rows that both runs have; `overlap` says that the quartiles do, so nothing is shown."""
    later = {_key(row): row for row in second}
    found = []
    for row in first:
        other = later.get(_key(row))
        if other is None or EAGER not in row.ratios or EAGER not in other.ratios:
            continue
        a, b = row.ratios[EAGER], other.ratios[EAGER]
        overlap = a.low <= b.high and b.low <= a.high
        found.append(
            (
                f"{row.name} {row.dtype} {'x'.join(map(str, row.sizes))}",
                duration(row.seconds[OURS].median),
                duration(other.seconds[OURS].median),
                f"{a.median:.2f}",
                f"{b.median:.2f}",
                f"{b.median / a.median:.2f}",
                "yes" if overlap else "no",
            )
        )
    return found


def _key(row: Row) -> tuple[str, str, tuple[int, ...]]:
    return row.name, row.dtype, row.sizes
