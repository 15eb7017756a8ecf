"""`anychip bench overhead`: what an eager call of a small operator costs above PyTorch's own.

Flows in: how to write it. Flows out: a table of stages, JSON or Markdown.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ..console import output, progress, table, write_json
from ..needs import require_packages
from ..options import AsJson
from .options import chosen_format

HEADS = (
    *("call", "PyTorch", "ours", "above", "through Python"),
    *("dispatcher, counting", "operator", "plan", "launcher, kernel"),
)


def overhead(
    output_format: Annotated[str, typer.Option("-o", "--output", help="Write table, json or markdown.")] = (
        "table"
    ),
    as_json: AsJson = False,
) -> None:
    """Time small eager calls under the portable policy, and the stages of each, in microseconds."""
    output_format = chosen_format(output_format, as_json, formats=("table", "json", "markdown"))
    require_packages("bench")
    from ...bench import overhead as bench
    from ...bench.report import circumstances, table_markdown

    measured = []
    wanted = bench.calls()
    with progress(quiet=output_format == "json") as display:
        bar = display.add_task("calls", total=len(wanted))
        for call in wanted:
            measured.append(bench.measure(call))
            display.update(bar, advance=1, description=call.label)
    if output_format == "json":
        write_json([asdict(row) | {"above": row.above} for row in measured])
        return
    rows = [
        (
            row.label,
            *(
                f"{value:.1f}"
                for value in (
                    row.native,
                    row.ours,
                    row.above,
                    row.python,
                    row.dispatch,
                    row.operator,
                    row.plan,
                    row.kernel,
                )
            ),
        )
        for row in measured
    ]
    made = circumstances("anychip bench overhead").sentence()
    if output_format == "markdown":
        typer.echo(f"{made}\n\n{table_markdown(HEADS, rows)}", nl=False)
        return
    output.print(table([HEADS[0], *((head, "right") for head in HEADS[1:])], rows, made))
