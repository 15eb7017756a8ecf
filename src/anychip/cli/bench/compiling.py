"""`anychip bench compile`: how long the suite's kernels take to compile.

Flows in: which kernels. Flows out: a table, JSON, CSV or Markdown.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..console import messages, output, progress, table, write_json
from ..options import AsJson
from .options import Output, chosen_format, command, prepare


def compilation(
    patterns: Annotated[list[str] | None, typer.Argument(help="Names or shell patterns.")] = None,
    output_format: Output = "table",
    as_json: AsJson = False,
) -> None:
    """Time the compilation of the suite's kernels, from TTIR text to object code, in a new process."""
    output_format = chosen_format(output_format, as_json)
    prepare(0)
    from dataclasses import asdict

    from ...bench import compiling, report, suite

    cases = suite.cases(patterns or [])
    with progress(quiet=output_format != "table" and not messages.is_terminal) as display:
        task = display.add_task("", total=len(cases) + 1)
        texts: dict[str, str] = {}
        for case in cases:
            display.update(task, description=case.label, advance=1)
            texts.update((text, name) for name, text in compiling.kernels(case))
        display.update(task, description="compiling")
        found = compiling.measure([(name, text) for text, name in texts.items()])
    lines = [kernel.cells() for kernel in found]
    if output_format == "json":
        write_json({"median_ms": compiling.median_ms(found), "kernels": [asdict(kernel) for kernel in found]})
    elif output_format == "csv":
        sys.stdout.write(report.table_csv(compiling.HEADINGS, lines))
    elif output_format == "markdown":
        from ...bench.sections import compiling_text

        typer.echo(report.circumstances(command()).sentence() + "\n\n" + compiling_text(found))
    else:
        first, *others = compiling.HEADINGS
        output.print(table([first, *((heading, "right") for heading in others)], lines))
        output.print(f"{len(found)} kernels, median {compiling.median_ms(found):.1f} ms")
