"""The report as HTML: a fragment for notebooks, and a page for `anychip run --html`. Flows in: a report.
Flows out: text in which all that comes from programs is escaped."""

from __future__ import annotations

import html
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report import GraphRow, Report

STYLE = """
.anychip table { border-collapse: collapse; margin: 0.3em 0 1em 0; }
.anychip th, .anychip td { padding: 0.15em 0.7em; text-align: left; vertical-align: top; }
.anychip th { border-bottom: 1px solid currentColor; }
.anychip .number { text-align: right; font-variant-numeric: tabular-nums; }
.anychip caption { text-align: left; font-weight: bold; padding: 0.3em 0; }
"""

NUMBERS = frozenset({"calls", "compile s", "launches", "ms"})
"""Columns that are aligned to the right."""


def fragment(report: Report) -> str:
    """The report's tables, in an element of class `anychip` with its own style."""
    parts = [
        _table(
            f"Served by portable kernels: {report.calls} calls, {report.launches} launches",
            ("overload", "calls", "ms", "kernels"),
            [(r.overload, r.calls, f"{r.milliseconds:.3f}", r.kernels_text) for r in report.served],
        ),
        _table(
            "Fell through to PyTorch's own kernels",
            ("overload", "calls", "reason"),
            [(row.overload, row.calls, row.reason) for row in report.fallen],
        ),
    ]
    measured = [row for row in report.choices if row.signature]
    if report.choices:
        parts.append(
            _table(
                "Choices of the policy auto",
                ("overload", "for", "choice", "calls", "reason"),
                [(row.overload, row.signature, row.choice, row.calls, row.reason) for row in measured],
            )
        )
        parts.append(_paragraph(report.left_text))
    if report.absent:
        rows = [(row.overload, row.operator, row.reason) for row in report.absent]
        parts.append(_table("Left out", ("overload", "operator", "reason"), rows))
    if report.graphs:
        parts.append(
            _table(
                "Compiled graphs",
                ("graph", "calls", "ms", "compile s", "ours", "PyTorch's", "calls are"),
                map(_graph, report.graphs),
            )
        )
        parts.append(_table("Graph breaks", ("reason", "calls"), report.breaks))
    return f'<div class="anychip"><style>{STYLE}</style>{"".join(parts)}</div>'


def page(report: Report, command: Sequence[str]) -> str:
    """A page of its own, with the command line of the program that it is about."""
    title = f"anychip: {shlex.join(command)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<body><p><code>{html.escape(shlex.join(command))}</code></p>{fragment(report)}</body></html>\n"
    )


def _graph(row: GraphRow) -> tuple[object, ...]:
    """A compiled graph's cells."""
    others = "; ".join(f"{name} x{number}: {reason}" for name, reason, number in row.foreign)
    times = row.calls, f"{row.milliseconds:.3f}", f"{row.compiling:.2f}"
    return row.name, *times, row.ours_text, others or "nothing", row.replay


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; without rows, its caption and the word "nothing"."""
    body = "".join(f"<tr>{_cells('td', columns, row)}</tr>" for row in rows)
    if not body:
        return _paragraph(f"{caption}: nothing")
    head = f"<thead><tr>{_cells('th', columns, columns)}</tr></thead>"
    return f"<table><caption>{html.escape(caption)}</caption>{head}<tbody>{body}</tbody></table>"


def _cells(tag: str, columns: Sequence[str], cells: Sequence[object]) -> str:
    return "".join(
        f"<{tag}{' class=number' if column in NUMBERS else ''}>{html.escape(str(cell))}</{tag}>"
        for column, cell in zip(columns, cells, strict=True)
    )


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>" if text else ""
