"""`anychip bench compare` and `report`: runs that were saved. Flows in: files of `bench kernels --save`.
Flows out: a table, JSON, CSV or Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import output, table, write_json
from ..errors import CommandError
from ..needs import require_packages
from ..options import AsJson
from .options import Output, chosen_format
from .rows import write

if TYPE_CHECKING:
    from ...bench.report import Circumstances
    from ...bench.roofs import Roofs
    from ...bench.row import Row


def compare(
    first: Annotated[Path, typer.Argument(help="A run that `bench kernels --save` wrote.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    output_format: Output = "table",
    as_json: AsJson = False,
) -> None:
    """Compare two saved runs row by row, each against its own eager run so that machines' moods cancel."""
    output_format = chosen_format(output_format, as_json)
    require_packages("bench")
    from ...bench import comparison

    found = comparison.compare(_load(first)[0], _load(second)[0])
    titles = comparison.HEADINGS
    if output_format == "json":
        write_json([dict(zip(titles, row, strict=True)) for row in found])
    elif output_format == "markdown":
        from ...bench.report import table_markdown

        typer.echo(table_markdown(titles, found))
    else:
        output.print(table([titles[0], *((title, "right") for title in titles[1:])], found))


def report(
    run: Annotated[Path, typer.Argument(help="A run that `bench kernels --save` wrote.")],
    output_format: Output = "markdown",
    as_json: AsJson = False,
    plot: Annotated[Path | None, typer.Option(help="Also write a chart (.png, .svg, .pdf).")] = None,
) -> None:
    """Write a saved run again in another format."""
    output_format = chosen_format(output_format, as_json, default="markdown")
    require_packages("bench")
    rows, where, limits = _load(run)
    if plot is not None:
        from ...bench.plot import plot as draw

        draw(rows, plot)
    write(rows, where, limits, output_format)


def _load(path: Path) -> tuple[list[Row], Circumstances, Roofs | None]:
    """A saved run. Raises CommandError where the file holds none."""
    from ...bench.report import Circumstances, rows_of
    from ...bench.roofs import Roofs

    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        limits = data["roofs"]
        if limits is not None:
            limits = Roofs(
                limits["threads"],
                {int(size): rate for size, rate in limits["bandwidth"].items()},
                limits["operations"],
            )
        return rows_of(data), Circumstances(**data["circumstances"]), limits
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"cannot read {path}: {error}", "Give a file that `anychip bench kernels --save` wrote."
        ) from error
