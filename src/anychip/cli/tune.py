"""`anychip tune`: what is fastest on this chip, searched within a budget and kept in a database.

Flows in: operators, a script or a kernel, and how long to search. Flows out: a progress bar with the best so
far, then tables or JSON; the tuning database of this chip, as a file too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import messages, output, progress, table, write_json
from .errors import CommandError, MissingExtra

if TYPE_CHECKING:
    from ..tune.operators import Row
    from ..tuning.database import Database

application = typer.Typer(
    help="Find what is fastest on this chip, and keep it for the policy 'auto' and for later runs.",
    no_args_is_help=True,
)

BudgetSeconds = Annotated[float, typer.Option("--budget", min=0.1, help="Seconds to search.")]
Threads = Annotated[int, typer.Option(min=0, help="Threads (0: PyTorch's default).")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


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
    tiles: Annotated[bool, typer.Option("--tiles/--no-tiles", help="Search tile sizes, too.")] = True,
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
    """Measure operators against PyTorch's own kernels at several sizes, and search their tile sizes.

    Half of the budget is for tile sizes, unless --no-tiles.
    """
    _prepare(1 if cpu_time else threads)
    from ..pytorch.automatic.judge import judge
    from ..tune import operators
    from ..tune.budget import Budget
    from ..tuning import crowd

    clock = time.thread_time if cpu_time else time.perf_counter
    known = judge()
    found_tiles = _tiles(names or [], budget / 2, clock, known.database, as_json) if tiles else []
    wanted = operators.tasks(names or [], size or list(operators.SIZES), dtype or ["float32"])
    spent = Budget(budget / 2 if tiles else budget)
    rows: list[Row] = []
    with progress(quiet=as_json) as display:
        bar = display.add_task("operators", total=len(wanted))
        best = ""
        for row in operators.measure(wanted, known, spent, clock, _never if cpu_time else crowd.crowded):
            rows.append(row)
            fastest = max(rows, key=lambda r: r.ratio)
            best = f"best so far {fastest.overload} {fastest.ratio:.1f}x" if fastest.ratio else ""
            display.update(bar, advance=1, description=f"{row.overload} {row.size} {row.dtype}; {best}")
    if defaults is not None:
        _add_defaults(defaults, rows, cpu_time)
    if as_json:
        write_json({"tiles": found_tiles, "operators": [asdict(row) | {"ratio": row.ratio} for row in rows]})
        return
    if found_tiles:
        output.print(
            table(
                ["tiles", "measured with", "shipped", "found", ("gain", "right")],
                [
                    (t["tiles"], ", ".join(t["overloads"]), t["shipped"], t["found"], f"{t['gain']:.2f}")
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
    messages.print(f"kept in {known.database.file}")


def _never() -> bool:
    """The time of one thread alone does not tell whether the machine is crowded."""
    return False


def _tiles(
    names: Sequence[str], seconds: float, clock: Any, database: Database, quiet: bool
) -> list[dict[str, Any]]:
    """Search the tile sizes of the operators; what is clearly better is put into the database."""
    from ..tune import tiles
    from ..tune.budget import Budget

    subjects = tiles.subjects(names)
    rows = []
    with progress(quiet=quiet) as display:
        bar = display.add_task("tile sizes", total=len(subjects))
        for number, subject in enumerate(subjects):
            share = Budget(max(0.5, seconds / max(1, len(subjects))))
            last = None
            for step in tiles.search(subject, share, clock):
                last = step
                display.update(bar, description=f"{subject.name} {dict(step.best)}")
            display.update(bar, completed=number + 1)
            if last is None:
                continue
            before, after = tiles.confirm(subject, last.best, share, clock)
            gain = before / after
            shipped = found = dict(subject.tiles.simd)
            if gain > 1 / tiles.WORTH and dict(last.best) != shipped:
                found = dict(last.best)
                times = {"shipped": before, "found": after}
                database.put(tiles.entry(subject, found, times, database.chip))
            rows.append(
                {
                    "tiles": subject.name, "overloads": list(subject.overloads),
                    "shipped": shipped, "found": found, "gain": gain if found != shipped else 1.0,
                }
            )  # fmt: skip
    return rows


def _table(rows: Sequence[Row]) -> Any:
    columns = (
        "overload", "size", "element type", ("PyTorch, us", "right"), ("ours, us", "right"),
        ("ratio", "right"), "choice", "why not",
    )  # fmt: skip
    return table(
        columns,
        [
            (
                row.overload, row.size, row.dtype, f"{row.native * 1e6:.1f}" if row.native else "",
                f"{row.ours * 1e6:.1f}" if row.ours else "", f"{row.ratio:.2f}" if row.ratio else "",
                row.choice, row.reason,
            )
            for row in rows
        ],
    )  # fmt: skip


def _add_defaults(file: Path, rows: Sequence[Row], cpu_time: bool) -> None:
    import json

    from ..tune.operators import ratios
    from ..tuning import chip
    from ..tuning.defaults import FORMAT

    level = chip.level()
    old = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    merged = old.get("ratios", {})
    for overload, dtypes in ratios(rows).items():
        for name, sizes in dtypes.items():
            merged.setdefault(overload, {}).setdefault(name, {}).update(sizes)
    clock = "processor time, one thread" if cpu_time else "wall time"
    head = {"format": FORMAT, "level": level, "machine": f"{chip.identify(1).model}; {clock}"}
    lines = [f" {json.dumps(name)}: {json.dumps(merged[name])}" for name in sorted(merged)]
    text = json.dumps(head)[:-1] + ', "ratios": {\n' + ",\n".join(lines) + "\n}}\n"
    file.write_text(text, encoding="utf-8")
    messages.print(f"wrote {file}")


@application.command("model", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def model(
    context: typer.Context,
    script: Annotated[Path, typer.Argument(help="A Python script; what follows are its arguments.")],
    budget: BudgetSeconds = 120.0,
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Run a script under the policy 'auto' until every choice of its operators is made and kept."""
    _prepare(threads)
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
    """Search the block sizes of a kernel: its constants whose names say that they are sizes of tiles."""
    _prepare(threads)
    from ..pytorch.automatic.judge import judge
    from ..triton_backend import activate
    from ..tune import kernels
    from ..tune.budget import Budget
    from .tune_subject import kernel_subject

    made = kernel_subject(subject, arg or [], sig or [], const or [], grid, elements)
    activate()
    steps = []
    with progress(quiet=as_json) as display:
        bar = display.add_task(made.name, total=None)
        for step in kernels.search(made, Budget(budget)):
            steps.append(step)
            best = f"{dict(step.best)} {step.best_seconds * 1e6:.1f} us"
            display.update(bar, completed=len(steps), description=f"best so far {best}")
    shipped = {name: made.constants[name] for name in made.tunable}
    if not steps:
        raise CommandError(f"{made.name}: no other sizes of {', '.join(made.tunable)} could be tried.")
    last = steps[-1]
    database = judge().database
    database.put(kernels.entry(made, last.best, {"found": last.best_seconds}, database.chip))
    if as_json:
        write_json(
            {
                "kernel": made.name, "start": shipped, "best": dict(last.best),
                "seconds": last.best_seconds, "tried": [asdict(step) for step in steps],
            }
        )  # fmt: skip
        return
    rows = [(dict(s.sizes), f"{s.seconds * 1e6:.1f}") for s in sorted(steps, key=lambda s: s.seconds)]
    output.print(table([made.name, ("us", "right")], rows))
    output.print(f"best: {dict(last.best)} {last.best_seconds * 1e6:.1f} us; began with {shipped}")


@application.command("show")
def show(
    kind: Annotated[str, typer.Option(help="Only choice, tiles or kernel.")] = "",
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Show what the tuning database of this chip holds."""
    database = _database(threads)
    entries = sorted(database.entries(kind), key=lambda e: e.key)
    if as_json:
        write_json([asdict(entry) for entry in entries])
        return
    rows = [
        (
            e.kind, e.subject, e.signature, " ".join(f"{k}={v}" for k, v in e.values.items()),
            " ".join(f"{k} {v * 1e6:.1f} us" for k, v in e.seconds.items()), e.made,
        )
        for e in entries
    ]  # fmt: skip
    output.print(table(("kind", "subject", "for", "values", "measured", "day"), rows))
    output.print(f"{len(entries)} entries in {database.file}")


@application.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="The file to write (JSON).")], threads: Threads = 0
) -> None:
    """Write the database of this chip into a readable file."""
    from ..tuning import exchange

    database = _database(threads)
    number = exchange.write(file, database.chip, database.entries())
    messages.print(f"wrote {number} entries of {database.chip} into {file}")


@application.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `tune export` wrote.")], threads: Threads = 0
) -> None:
    """Take over measurements that were made on a chip like this one."""
    from ..tuning import exchange

    database = _database(threads)
    found, refused = exchange.read(file, database.chip)
    database.put(*found)
    messages.print(f"took {len(found)} entries into {database.file}")
    for reason, number in refused.items():
        messages.print(f"left out {number}: {reason}")


def _database(threads: int) -> Database:
    _prepare(threads)
    from ..pytorch.automatic.judge import judge

    return judge().database


def _prepare(threads: int) -> None:
    try:
        import torch
    except ModuleNotFoundError:
        raise MissingExtra("tune", "PyTorch", "pip install 'anychip[torch]'") from None
    if threads:
        torch.set_num_threads(threads)
