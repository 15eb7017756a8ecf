"""The search of tile sizes and schedules behind `anychip tune ops`. Flows in: operators, sizes, seconds.
Flows out: a row for each set of tiles; what is clearly better goes into the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...compiler.schedule.choices import VALUES
from ..console import progress

if TYPE_CHECKING:
    from ...measurements.database import Database
    from ...tune.workload import Clock


class Interrupted(Exception):
    """The user interrupted a search; `rows` are what it had found by then."""

    def __init__(self, rows: list[dict[str, Any]]):
        super().__init__("interrupted")
        self.rows = rows


def search(
    names: Sequence[str], sizes: Sequence[str], seconds: float, clock: Clock, database: Database, quiet: bool
) -> list[dict[str, Any]]:
    """Search tile sizes and schedules of the operators; what is clearly better is put into the database.
    Raises Interrupted after ctrl-C."""
    import torch

    from ...tune import operators, tiles
    from ...tune.budget import Budget
    from ...tune.gain import ONE_THREAD
    from ...tune.workload import WORTH, Searcher

    choices = ONE_THREAD if torch.get_num_threads() == 1 else tuple(VALUES)
    wanted = [operators.SIZES[size] for size in sizes]
    workloads = tiles.workloads(names, wanted, choices)
    rows: list[dict[str, Any]] = []
    with progress(quiet=quiet) as display:
        bar = display.add_task("tiles and schedules", total=len(workloads))
        for workload in workloads:
            start = workload.shipped()
            searcher = Searcher(workload, Budget(max(0.5, seconds / len(workloads))), clock)
            best, interrupted = start, False
            try:
                for step in searcher.steps():
                    best = step.best
                    found = {n: v for n, v in best.items() if v != start[n]}
                    display.update(bar, description=f"{workload.name}: best so far {found or 'as shipped'}")
            except KeyboardInterrupt:
                interrupted = True
            display.update(bar, advance=1)
            searcher.budget = Budget(0.5 if interrupted else seconds)
            before, after = searcher.confirm(best)
            changed = {n: v for n, v in best.items() if v != start[n]} if after < WORTH * before else {}
            if changed:
                times = {"shipped": before, "found": after}
                launched = searcher.launched(best)
                database.put(*tiles.entries(workload, best, launched, times, database.chip))
            rows.append(
                {
                    "tiles": workload.name,
                    "overloads": list(workload.overloads),
                    "shipped": {n: start[n] for n in changed},
                    "found": changed,
                    "gain": before / after if changed else 1.0,
                }
            )
            if interrupted:
                raise Interrupted(rows)
    return rows
