"""`anychip tune ops`: operators against PyTorch's own kernels, with tile sizes and schedules searched.

Flows in: operators, and how long to search. Flows out: a progress bar with the best so far, then tables or
JSON. What was found when the user interrupts a search is kept.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import output, progress, table, write_json
from ..options import AsJson
from .defaults import add_ratios
from .options import BudgetSeconds, CpuTime, Threads, end, prepare

if TYPE_CHECKING:
    from ...tune.operators import Row


def ops(
    names: Annotated[
        list[str] | None, typer.Argument(help="Operators, domains or overloads; all if none.")
    ] = None,
    budget: BudgetSeconds = 300.0,
    size: Annotated[list[str] | None, typer.Option(help="large, small, middle or tiny (repeatable).")] = None,
    dtype: Annotated[
        list[str] | None, typer.Option(help="float32, bfloat16 or float16 (repeatable).")
    ] = None,
    tiles: Annotated[
        bool, typer.Option("--tiles/--no-tiles", help="Search tile sizes and schedules, too.")
    ] = True,
    threads: Threads = 0,
    cpu_time: CpuTime = False,
    defaults: Annotated[
        Path | None, typer.Option(hidden=True, help="Add the ratios to a file of shipped defaults.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure operators against PyTorch's own kernels, and search their tile sizes and kernels' schedules.

    Half of the budget is for tile sizes and schedules, unless --no-tiles.
    """
    prepare(1 if cpu_time else threads)
    from ...bench.measure import keep_memory
    from ...measurements import crowd
    from ...pytorch.automatic.judge import judge
    from ...tune import operators
    from ...tune.budget import Budget
    from ...tune.library import Interrupted, search

    clock = time.thread_time if cpu_time else time.perf_counter
    keep_memory()
    known = judge()
    sizes = size or list(operators.SIZES)
    wanted = operators.tasks(names or [], sizes, dtype or ["float32"])
    interrupted = False
    found_tiles: list[dict[str, Any]] = []
    if tiles:
        with progress(quiet=as_json) as display:
            bar = display.add_task("tiles and schedules", total=None)

            def watch(done: int, total: int, words: str) -> None:
                display.update(bar, completed=done, total=total, description=words)

            try:
                found_tiles = search(names or [], sizes, budget / 2, clock, known.database, watch)
            except Interrupted as stopped:
                found_tiles, interrupted = stopped.rows, True
    spent = Budget(0.0 if interrupted else budget / 2 if tiles else budget)
    rows: list[Row] = []
    with progress(quiet=as_json) as display:
        bar = display.add_task("operators", total=len(wanted))
        best = ""
        try:
            for row in operators.measure(wanted, known, spent, clock, _never if cpu_time else crowd.crowded):
                rows.append(row)
                fastest = max(rows, key=lambda r: r.ratio)
                best = f"best so far {fastest.overload} {fastest.ratio:.1f}x" if fastest.ratio else ""
                display.update(bar, advance=1, description=f"{row.overload} {row.size} {row.dtype}; {best}")
        except KeyboardInterrupt:
            interrupted = True
    if defaults is not None:
        add_ratios(defaults, rows, cpu_time)
    if as_json:
        write_json({"tiles": found_tiles, "operators": [asdict(row) | {"ratio": row.ratio} for row in rows]})
        end(interrupted, known.database)
        return
    if found_tiles:
        output.print(
            table(
                ["tiles of", "measured with", "found", "shipped", ("gain", "right")],
                [
                    (
                        t["tiles"],
                        ", ".join(t["overloads"]),
                        _words(t["found"]),
                        _words(t["shipped"]),
                        f"{t['gain']:.2f}",
                    )
                    for t in found_tiles
                ],
            )
        )
    output.print(_table(rows))
    timed = [row for row in rows if row.ratio]
    ours = sum(row.choice == "ours" for row in timed)
    output.print(
        f"{len(timed)} of {len(wanted)} measured: ours in {ours}, PyTorch's in {len(timed) - ours}; "
        f"{len(rows) - len(timed)} cannot be measured, {len(wanted) - len(rows)} were beyond the budget."
    )
    end(interrupted, known.database)


def _words(values: dict[str, Any]) -> str:
    return " ".join(f"{name.rpartition(':')[2]}={value or 'rules'}" for name, value in values.items())


def _never() -> bool:
    """The time of one thread alone does not tell whether the machine is crowded."""
    return False


def _table(rows: Sequence[Row]) -> Any:
    columns = (
        "overload",
        "size",
        "element type",
        ("PyTorch, us", "right"),
        ("ours, us", "right"),
        ("ratio", "right"),
        "choice",
        "why not",
    )
    return table(
        columns,
        [
            (
                row.overload,
                row.size,
                row.dtype,
                f"{row.native * 1e6:.1f}" if row.native else "",
                f"{row.ours * 1e6:.1f}" if row.ours else "",
                f"{row.ratio:.2f}" if row.ratio else "",
                row.choice,
                row.reason,
            )
            for row in rows
        ],
    )
