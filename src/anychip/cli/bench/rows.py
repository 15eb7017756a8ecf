"""Rows of a benchmark on the command line. Flows in: rows. Flows out: a table, JSON, CSV or Markdown, and an
error where results are wrong."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..console import messages, output, table, write_json
from ..errors import CommandError

if TYPE_CHECKING:
    from ...bench.report import Circumstances
    from ...bench.roofs import Roofs
    from ...bench.row import Row


def write(rows: Sequence[Row], where: Circumstances, limits: Roofs | None, output_format: str) -> None:
    """Write rows in a format, with what limits them and where they were measured."""
    from ...bench import report

    if output_format == "json":
        write_json(report.data(rows, where, limits))
    elif output_format == "csv":
        sys.stdout.write(report.as_csv(rows))
    elif output_format == "markdown":
        sys.stdout.write(report.as_markdown(rows, where, limits))
    else:
        names = report.peers(rows)
        first, *others = report.headings(rows)
        columns = [first, *((heading, "right") for heading in others[:-1]), others[-1]]
        output.print(table(columns, (report.cells(row, names) for row in rows)))
        summary = report.summaries(rows)
        output.print()
        output.print(
            table(
                ("geometric means", ("rows", "right"), ("eager/ours", "right"), ("best peer/ours", "right")),
                (
                    (
                        s.family,
                        s.rows,
                        *("" if r is None else f"{r:.2f}" for r in (s.against_eager, s.against_best)),
                    )
                    for s in summary
                ),
            )
        )
        if limits is not None:
            output.print(report.roofs_sentence(limits))
        for note in dict.fromkeys(f"{row.name} {row.dtype}: {note}" for row in rows for note in row.notes):
            messages.print(note, style="dim", markup=False)


def require_right(rows: Sequence[Row]) -> None:
    """Raise CommandError for rows whose results are wrong."""
    wrong = [f"{row.name} {row.dtype} {row.wrong}" for row in rows if row.wrong]
    if wrong:
        raise CommandError("results are not right: " + "; ".join(wrong))
