"""`anychip bench scaling`: the suite's kernels with one thread and with all.

Flows in: which kernels, how long. Flows out: a table, JSON, CSV or Markdown.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..console import messages, output, progress, table, write_json
from ..options import AsJson
from .options import Output, Seconds, Threads, chosen_format, command, prepare, thread_count


def scaling(
    patterns: Annotated[list[str] | None, typer.Argument(help="Names or shell patterns.")] = None,
    threads: Threads = 0,
    seconds: Seconds = 0.5,
    output_format: Output = "table",
    as_json: AsJson = False,
) -> None:
    """Time our kernels with one thread and with all, in turns; the largest sizes of each kernel."""
    output_format = chosen_format(output_format, as_json)
    prepare(threads)
    from dataclasses import asdict

    from ...bench import report, suite
    from ...bench import scaling as threads_compared
    from ...bench.measure import TimingBudget

    cases = threads_compared.largest(suite.cases(patterns or []))
    rows = []
    with progress(quiet=output_format != "table" and not messages.is_terminal) as display:
        task = display.add_task("", total=len(cases))
        for case in cases:
            display.update(task, description=case.label, advance=1)
            rows.append(threads_compared.measure(case, thread_count(), TimingBudget(seconds=seconds)))
    lines = [row.cells() for row in rows]
    means = [(family, str(n), f"{mean:.2f}") for family, n, mean in threads_compared.summary(rows)]
    if output_format == "json":
        where = report.circumstances(command())
        write_json({"circumstances": asdict(where), "rows": [asdict(row) for row in rows]})
    elif output_format == "csv":
        sys.stdout.write(report.table_csv(threads_compared.HEADINGS, lines))
    elif output_format == "markdown":
        from ...bench.sections import scaling_text

        typer.echo(report.circumstances(command()).sentence() + "\n\n" + scaling_text(rows))
    else:
        output.print(table(threads_compared.HEADINGS, lines))
        output.print(table(("geometric means", ("rows", "right"), ("ratio", "right")), means))
