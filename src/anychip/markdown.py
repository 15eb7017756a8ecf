"""Tables in Markdown, for every page that is written. Flows in: columns and rows. Flows out: text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Column = str | tuple[str, str]
"""A heading, or (heading, "right") for a column of numbers."""


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> str:
    """A table whose cells may hold any text of one line, without a newline at its end."""
    heads = [column if isinstance(column, str) else column[0] for column in columns]
    rules = ["---" if isinstance(column, str) else "---:" for column in columns]
    return "\n".join([_line(heads), f"|{'|'.join(rules)}|", *(_line(row) for row in rows)])


def numbers(heads: Sequence[str]) -> list[Column]:
    """Columns of a table of figures: the first is text, the others are numbers."""
    return [heads[0], *((head, "right") for head in heads[1:])]


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
