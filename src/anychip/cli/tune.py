"""`anychip tune`: what is fastest on this chip, searched within a budget and kept in a database.

Flows in: operators, a script or a kernel, and how long to search. Flows out: a progress bar with the best so
far, then tables or JSON. What was found when the user interrupts a search is kept.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..compiler.schedule.choices import VALUES
from .console import messages, output, progress, table, write_json
from .errors import INTERRUPTED, CommandError
from .tune_database import export, import_, show
from .tune_defaults import add_ratios, expect
from .tune_gain import gain
from .tune_options import AsJson, Threads, prepare

if TYPE_CHECKING:
    from ..tune.kernels import KernelSubject
    from ..tune.operators import Row
    from ..tune.search import Point
    from ..tune.workload import Clock
    from ..tuning.database import Database

application = typer.Typer(
    help="Find what is fastest on this chip, and keep it for the policy 'auto' and for later runs.",
    no_args_is_help=True,
)

application.command("expect", hidden=True)(expect)
application.command("gain")(gain)
application.command("show")(show)
application.command("export")(export)
application.command("import")(import_)

BudgetSeconds = Annotated[float, typer.Option("--budget", min=0.1, help="Seconds to search.")]


@application.command("ops")
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
    cpu_time: Annotated[
        bool,
        typer.Option(
            "--cpu-time", help="Count this thread's processor time, on one thread: for busy machines."
        ),
    ] = False,
    defaults: Annotated[
        Path | None, typer.Option(hidden=True, help="Add the ratios to a file of shipped defaults.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure operators against PyTorch's own kernels, and search their tile sizes and kernels' schedules.

    Half of the budget is for tile sizes and schedules, unless --no-tiles.
    """
    prepare(1 if cpu_time else threads)
    from ..bench.measure import keep_memory
    from ..pytorch.automatic.judge import judge
    from ..tune import operators
    from ..tune.budget import Budget
    from ..tuning import crowd

    clock = time.thread_time if cpu_time else time.perf_counter
    keep_memory()
    known = judge()
    sizes = size or list(operators.SIZES)
    wanted = operators.tasks(names or [], sizes, dtype or ["float32"])
    interrupted = False
    found_tiles: list[dict[str, Any]] = []
    if tiles:
        try:
            found_tiles = _tiles(names or [], sizes, budget / 2, clock, known.database, as_json)
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
        _end(interrupted, known.database)
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
    _end(interrupted, known.database)


def _words(values: dict[str, Any]) -> str:
    return " ".join(f"{name.rpartition(':')[2]}={value or 'rules'}" for name, value in values.items())


def _end(interrupted: bool, database: Database) -> None:
    """Say where the results are; after ctrl-C, end with its status."""
    what = "interrupted; what was found until then is kept" if interrupted else "kept"
    messages.print(f"{what} in {database.file}")
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _never() -> bool:
    """The time of one thread alone does not tell whether the machine is crowded."""
    return False


def _tiles(
    names: Sequence[str], sizes: Sequence[str], seconds: float, clock: Clock, database: Database, quiet: bool
) -> list[dict[str, Any]]:
    """Search tile sizes and schedules of the operators; what is clearly better is put into the database."""
    import torch

    from ..tune import operators, tiles
    from ..tune.budget import Budget
    from ..tune.gain import ONE_THREAD
    from ..tune.workload import WORTH, Searcher

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


class Interrupted(Exception):
    """The user interrupted a search; `rows` are what it had found by then."""

    def __init__(self, rows: list[dict[str, Any]]):
        super().__init__("interrupted")
        self.rows = rows


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


@application.command("model", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def model(
    context: typer.Context,
    script: Annotated[Path, typer.Argument(help="A Python script; what follows are its arguments.")],
    budget: BudgetSeconds = 120.0,
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Run a script under the policy 'auto' until every choice of its operators is made and kept."""
    prepare(threads)
    from ..tune.budget import Budget
    from ..tune.model import runs

    rows = ()
    with progress(quiet=as_json) as display:
        bar = display.add_task("runs", total=None)
        for number, rows in enumerate(runs(script, context.args, Budget(budget)), 1):
            counts = [sum(row.choice == word for row in rows) for word in ("ours", "open")]
            display.update(
                bar, completed=number, description=f"run {number}: {counts[0]} ours, {counts[1]} open"
            )
    shown = [row for row in rows if row.signature]
    if as_json:
        write_json([asdict(row) for row in shown])
        return
    columns = ("overload", "class of arguments", "choice", "why", ("calls", "right"))
    output.print(table(columns, [(r.overload, r.signature, r.choice, r.reason, r.calls) for r in shown]))
    output.print(f"{sum(not row.signature for row in rows)} overloads are PyTorch's own throughout.")


@application.command("kernel")
def kernel(
    subject: Annotated[str, typer.Argument(metavar="FILE.py:KERNEL", help="A Triton kernel.")],
    arg: Annotated[list[str] | None, typer.Option(help="name=value of an integer or float.")] = None,
    sig: Annotated[list[str] | None, typer.Option(help="name=type, e.g. x_ptr=*fp32.")] = None,
    const: Annotated[list[str] | None, typer.Option(help="name=value of a constant that stays.")] = None,
    grid: Annotated[str, typer.Option(help="Programs, e.g. 'cdiv(n, BLOCK), batch'.")] = "",
    elements: Annotated[int, typer.Option(min=1, help="Elements of each buffer.")] = 1 << 20,
    budget: BudgetSeconds = 60.0,
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Search the block sizes of a kernel (or the configurations of its autotuner) and its schedule.

    Block sizes are constants whose names say that they are sizes of tiles. The schedule, and an autotuner's
    configuration, are taken by themselves from then on.
    """
    prepare(threads)
    from ..bench.measure import keep_memory
    from ..pytorch.automatic.judge import judge
    from ..triton_backend import activate
    from ..tune import kernels
    from ..tune.budget import Budget
    from .tune_subject import kernel_subject

    made = kernel_subject(subject, arg or [], sig or [], const or [], grid, elements)
    activate()
    keep_memory()
    steps, interrupted = [], False
    with progress(quiet=as_json) as display:
        bar = display.add_task(made.name, total=None)
        try:
            for step in kernels.search(made, Budget(budget)):
                steps.append(step)
                best = f"{_point(made, step.best)} {step.best_seconds * 1e6:.1f} us"
                display.update(bar, completed=len(steps), description=f"best so far {best}")
        except KeyboardInterrupt:
            interrupted = True
    database = judge().database
    if not steps and interrupted:
        _end(interrupted, database)
    if not steps:
        raise CommandError(f"{made.name}: nothing else than {_point(made, made.start())} could be tried.")
    last = steps[-1]
    database.put(*kernels.entries(made, last.best, {"found": last.best_seconds}, database.chip))
    if as_json:
        write_json(
            {
                "kernel": made.name,
                "start": made.start(),
                "best": dict(last.best),
                "constants": made.constants_at(last.best),
                "seconds": last.best_seconds,
                "tried": [asdict(step) for step in steps],
            }
        )
    else:
        rows = [
            (_point(made, s.sizes), f"{s.seconds * 1e6:.1f}") for s in sorted(steps, key=lambda s: s.seconds)
        ]
        output.print(table([made.name, ("us", "right")], rows))
        began = _point(made, made.start())
        output.print(f"best: {_point(made, last.best)} {last.best_seconds * 1e6:.1f} us; began with {began}")
    _end(interrupted, database)


def _point(subject: KernelSubject, point: Point) -> str:
    """A point as the user would write it: constants, and the scheduler's choices that are made."""
    from ..tune.trial import choices_of

    constants = subject.constants_at(point)
    names = subject.configurations[0] if subject.configurations else subject.tunable
    return " ".join([*(f"{name}={constants[name]}" for name in names), str(choices_of(point))]).strip()
