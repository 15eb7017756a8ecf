"""What a maker shows of a chip: a badge and a page, from the chip's record and from nothing else.

Flows in: records as `chip_record` makes them. Flows out: SVG and Markdown. Both say how it was shown
(native run, emulator, compiled only) and of how many operators in all: tiers are never rounded up, and a
failure is on the page."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from ..markdown import table

COLOURS = {"native": "#1a7f37", "emulated": "#0969da", "compiled": "#9a6700"}
FAILED, NOTHING = "#cf222e", "#57606a"
_LETTER = 6.6
"""Width of a letter of the badge's font, at most."""


def badge(record: Mapping[str, Any]) -> str:
    """A badge: "Anychip", and for example "emulated 340 of 340 operators"."""
    left, right = "Anychip", summary(record)
    a, b = (round(len(words) * _LETTER + 14) for words in (left, right))
    words = "".join(
        f'<text x="{x + 7}" y="14" fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" '
        f'textLength="{width - 14}">{html.escape(text)}</text>'
        for x, width, text in ((0, a, left), (a, b, right))
    )
    name = html.escape(f"{record['chip']}: {right}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{a + b}" height="20" role="img" aria-label="{name}">'
        f"<title>{name}</title>"
        f'<rect width="{a}" height="20" fill="#24292f"/>'
        f'<rect x="{a}" width="{b}" height="20" fill="{_colour(record)}"/>{words}</svg>\n'
    )


def summary(record: Mapping[str, Any]) -> str:
    """A record in some words."""
    operators, kernels = record["operators"], record["kernels"]
    if record["tier"] == "compiled" and not operators["passed"]:
        return f"compiled {kernels['compiled']} of {kernels['tried']} kernels"
    tried = f" ({operators['tried']} tried)" if operators["tried"] < operators["total"] else ""
    return f"{record['tier']} {operators['passed']} of {operators['total']} operators{tried}"


def page(records: Sequence[Mapping[str, Any]], command: str, notes: Sequence[str] = ()) -> str:
    """A page about all chips of a maker, in Markdown; `notes` are about chips that were not run."""
    parts = ["# Conformance of operators", "", f"Made by `{command}`.", ""]
    columns = ("chip", "how", "what ran", "operators passed", "failed", "cases", "kernels compiled", "date")
    parts += [table(columns, [_row(record) for record in records]), ""]
    parts += [line for note in notes for line in (f"{note}.", "")]
    for record in records:
        parts += [f"## {record['chip']}", "", f"![{summary(record)}]({record['chip']}.svg)", ""]
        if record["remark"]:
            parts += [f"{record['remark']}.", ""]
        setting = record["emulator"] or record["machine"]
        if setting:
            parts += [f"Run by {setting}{_version(record)}.", ""]
        versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
        parts += [f"Versions: {versions}; commit {record['commit'] or 'unknown'}.", ""]
        failures = [(f["operator"], f["dtype"], f["inputs"], f["reason"]) for f in record["failures"]]
        failures += [("", "", "kernel", str(error)) for error in record["kernels"]["errors"]]
        if failures:
            parts += [table(("operator", "dtype", "inputs", "what is wrong"), failures), ""]
        else:
            parts += ["Nothing failed.", ""]
        missing = record["operators"]["total"] - record["operators"]["tried"]
        if missing:
            parts += [f"{missing} operators were not tried.", ""]
    return "\n".join(parts).rstrip() + "\n"


def _row(record: Mapping[str, Any]) -> tuple[object, ...]:
    operators, cases, kernels = record["operators"], record["cases"], record["kernels"]
    return (
        record["chip"],
        record["tier"],
        record["code_that_ran"] or "nothing",
        f"{operators['passed']} of {operators['total']}",
        sum(verdict == "failed" for verdict in record["verdicts"].values()),
        cases["passed"],
        f"{kernels['compiled']} of {kernels['tried']}",
        record["date"],
    )


def _version(record: Mapping[str, Any]) -> str:
    return f" ({record['emulator_version']})" if record["emulator_version"] else ""


def _colour(record: Mapping[str, Any]) -> str:
    if record["failures"] or record["kernels"]["errors"]:
        return FAILED
    return COLOURS.get(record["tier"], NOTHING) if record["kernels"]["compiled"] else NOTHING
