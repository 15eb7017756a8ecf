"""How much faster all threads are than one, for our kernels alone.

Flows in: cases. Flows out: for each the seconds with one thread and with all, in turns, and their ratio.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .case import Case
from .measure import Spread, TimingBudget, interleaved
from .report import duration

HEADINGS = ("kernel", "one thread", "all threads", "ratio", "quartiles", "remark")


@dataclass(frozen=True, slots=True)
class Scaled:
    """A case's seconds with one thread and with all, and the ratio pair by pair."""

    label: str
    family: str
    one: Spread
    all: Spread
    ratio: Spread
    disturbed: str

    def cells(self) -> tuple[str, ...]:
        """A line of a table."""
        return (
            self.label,
            duration(self.one.median),
            duration(self.all.median),
            f"{self.ratio.median:.2f}",
            f"{self.ratio.low:.2f} to {self.ratio.high:.2f}",
            f"busy: {self.disturbed}" if self.disturbed else "",
        )


def measure(case: Case, threads: int, budget: TimingBudget) -> Scaled:
    """Time our side of a case with one thread and with `threads`, in turns."""
    work = case.make()

    def with_threads(number: int) -> Callable[[], Any]:
        def call() -> Any:
            if torch.get_num_threads() != number:
                torch.set_num_threads(number)
            return work.ours(*work.arguments)

        return call

    before = torch.get_num_threads()
    try:
        with torch.no_grad():
            found = interleaved({"all": with_threads(threads), "one": with_threads(1)}, budget)
    finally:
        torch.set_num_threads(before)
    return Scaled(
        case.label,
        case.family,
        found.times["one"],
        found.times["all"],
        found.ratios["one"],
        found.disturbed,
    )


def largest(cases: Sequence[Case]) -> list[Case]:
    """Of the cases of a name and a dtype, the one with the largest sizes: small ones run on one thread."""
    kept: dict[tuple[str, torch.dtype], Case] = {}
    for case in cases:
        key = (case.name, case.dtype)
        if key not in kept or math.prod(case.sizes) > math.prod(kept[key].sizes):
            kept[key] = case
    return list(kept.values())


def summary(rows: Sequence[Scaled]) -> list[tuple[str, int, float]]:
    """Each family's number of rows and geometric mean of the ratios; the last line is for all."""
    families = list(dict.fromkeys(row.family for row in rows))
    groups = [(family, [row for row in rows if row.family == family]) for family in families]
    return [
        (family, len(group), math.exp(statistics.fmean(math.log(row.ratio.median) for row in group)))
        for family, group in [*groups, ("all", list(rows))]
        if group
    ]
