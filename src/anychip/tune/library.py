"""The search over the operator library: tile sizes and schedules of its operators. Flows in: operators, sizes
of their inputs, seconds, a clock. Flows out: a row for each set of tiles; what is clearly better is put into
the database of measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..compiler.schedule.choices import VALUES
from ..measurements.database import Database
from . import tiles
from .budget import Budget
from .gain import ONE_THREAD
from .operators import SIZES
from .search import Point
from .workload import WORTH, Clock, Searcher, Workload

LEAST = 0.5
"""Seconds that the search over a set of tiles has at least."""

Watch = Callable[[int, int, str], None]
"""What is told how a search stands: sets of tiles that are done, all of them, words about the one at hand."""


class Interrupted(Exception):
    """The user interrupted a search; `rows` are what it had found by then."""

    def __init__(self, rows: list[dict[str, Any]]):
        super().__init__("interrupted")
        self.rows = rows


def search(
    names: Sequence[str],
    sizes: Sequence[str],
    seconds: float,
    clock: Clock,
    database: Database,
    watch: Watch = lambda done, total, words: None,
) -> list[dict[str, Any]]:
    """Search tile sizes and schedules of the operators (or domains; all if none) for inputs of `sizes`, names
    of `SIZES`; what is clearly better is put into the database. Raises TuneError for an unknown name, and
    Interrupted after ctrl-C."""
    choices = ONE_THREAD if torch.get_num_threads() == 1 else tuple(VALUES)
    workloads = tiles.workloads(names, [SIZES[size] for size in sizes], choices)
    rows: list[dict[str, Any]] = []
    watch(0, len(workloads), "tiles and schedules")
    for workload in workloads:
        start = workload.shipped()
        searcher = Searcher(workload, Budget(max(LEAST, seconds / len(workloads))), clock)
        best, interrupted = start, False
        try:
            for step in searcher.steps():
                best = step.best
                found = {n: v for n, v in best.items() if v != start[n]}
                watch(len(rows), len(workloads), f"{workload.name}: best so far {found or 'as shipped'}")
        except KeyboardInterrupt:
            interrupted = True
        searcher.budget = Budget(LEAST if interrupted else seconds)
        rows.append(_confirmed(workload, searcher, best, database))
        watch(len(rows), len(workloads), workload.name)
        if interrupted:
            raise Interrupted(rows)
    return rows


def _confirmed(workload: Workload, searcher: Searcher, best: Point, database: Database) -> dict[str, Any]:
    """The row of a set of tiles after the best point was measured once more beside what ships; the point goes
    into the database where it is worth it."""
    start = workload.shipped()
    before, after = searcher.confirm(best)
    changed = {n: v for n, v in best.items() if v != start[n]} if after < WORTH * before else {}
    if changed:
        times = {"shipped": before, "found": after}
        database.put(*tiles.entries(workload, best, searcher.launched(best), times, database.chip))
    return {
        "tiles": workload.name,
        "overloads": list(workload.overloads),
        "shipped": {n: start[n] for n in changed},
        "found": changed,
        "gain": before / after if changed else 1.0,
    }
