"""`anychip tune model`: a script under the policy `auto` until its choices are made. Flows in: the script and
its arguments. Flows out: a table or JSON of the choices, which the database keeps."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..console import output, progress, table, write_json
from ..options import AsJson
from .options import BudgetSeconds, Threads, prepare


def model(
    context: typer.Context,
    script: Annotated[Path, typer.Argument(help="A Python script; what follows are its arguments.")],
    budget: BudgetSeconds = 120.0,
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """Run a script under the policy 'auto' until every choice of its operators is made and kept."""
    prepare(threads)
    from ...tune.budget import Budget
    from ...tune.model import runs

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
