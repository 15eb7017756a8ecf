"""Where the command line writes: results to standard output, all else to standard error.

Flows in: tables, text and plain data. Flows out: coloured text on a terminal, plain text in a pipe,
or JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

PIPE_WIDTH = 160

output = Console(soft_wrap=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
messages = Console(stderr=True)


def table(
    columns: Sequence[str | tuple[str, str]], rows: Iterable[Sequence[object]], title: str = ""
) -> Table:
    """A table; a column given as (heading, "right") is aligned to the right."""
    made = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        if isinstance(column, str):
            made.add_column(column, overflow="fold")
        else:
            made.add_column(column[0], justify="right" if column[1] == "right" else "left", no_wrap=True)
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made


def write_json(data: Any) -> None:
    """Write `data` as indented JSON on standard output, without colours or wrapping."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def written(file: Path, as_json: bool) -> None:
    """Say that a file was written, which is all that a verb has to say."""
    if as_json:
        write_json({"written": str(file)})
    else:
        messages.print(f"wrote {file}")


def progress(quiet: bool = False) -> Progress:
    """A progress display on standard error that leaves nothing behind when it ends."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=messages,
        transient=messages.is_terminal,
        disable=quiet,
    )
