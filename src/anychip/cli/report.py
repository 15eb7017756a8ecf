"""`anychip report`: one page of what was measured and proved.

Flows in: a folder with profiles, traces and records. Flows out: one HTML file that needs no network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import written
from .options import AsJson


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Has profiles, traces and records, in any order.")
    ],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The page. [DIR/report.html]")] = None,
    title: Annotated[str, typer.Option(help="Its heading.")] = "Anychip report",
    as_json: AsJson = False,
) -> None:
    """Write one HTML file from a folder's profiles (`anychip profile --json`), traces, and records of
    chips and speed.

    Roofline, flame graph and timeline of each program, operators by chips, and speed over commits. The
    file needs no network and nothing beside it."""
    from ..reports import inputs
    from ..reports.page import page

    file = out or folder / "report.html"
    made = page(inputs.find(folder), title)
    file.write_text(made, encoding="utf-8")
    written(file, as_json)


VERBS = {"report": report}
