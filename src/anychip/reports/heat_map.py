"""Operators by chips, from the records of chips: what passed, by native run, emulation or compilation
only, and how chips differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from . import svg

LEFT, ROW = 150, 9
STATES = ("passed on the chip", "passed under its emulator", "compiled", "failed", "not tried")
_BY_TIER = {"native": 0, "emulated": 1, "compiled": 2}


def section(records: Sequence[dict[str, Any]]) -> str:
    """The map; "" without records. The script shows operator and chip at the pointer."""
    chips = sorted(records, key=lambda record: (_BY_TIER.get(record["tier"], 9), record["chip"]))
    operators = sorted({name for record in chips for name in record["verdicts"]})
    if not operators:
        return ""
    cell = (svg.WIDTH - LEFT) / len(operators)
    paths: dict[int, list[str]] = {}
    for row, record in enumerate(chips):
        states = [state_of(record, name) for name in operators]
        column = 0
        for state, run in groupby(states):
            width = len(list(run))
            x, w = LEFT + column * cell, width * cell
            paths.setdefault(state, []).append(f"M{x:.1f} {row * ROW}h{w:.1f}v{ROW - 1}h{-w:.1f}z")
            column += width
    drawn = "".join(
        svg.element("path", d="".join(d), class_=f"s{state}") for state, d in sorted(paths.items())
    )
    names = "".join(
        svg.label(LEFT - 4, row * ROW + 7.5, record["chip"], class_="tiny", text_anchor="end")
        for row, record in enumerate(chips)
    )
    data = json.dumps(
        {
            "operators": operators,
            "chips": [record["chip"] for record in chips],
            "left": LEFT,
            "row": ROW,
            "cell": cell,
            "states": STATES,
            "rows": ["".join(str(state_of(record, name)) for name in operators) for record in chips],
        }
    ).replace("<", "\\u003c")
    legend = "".join(
        f'<span class="key s{number}"></span>{svg.text(name)} ' for number, name in enumerate(STATES)
    )
    drawing = svg.drawing(len(chips) * ROW, drawn + names, "Operators by chips")
    number = f"{len(operators)} operators, {len(chips)} chips"
    return (
        f'<p class="legend">{legend}</p><p id="at" aria-live="polite">{number}</p>'
        f'<div id="heat">{drawing}</div><script type="application/json" id="heat-data">{data}</script>'
    )


def state_of(record: dict[str, Any], operator: str) -> int:
    """The number of a state in `STATES`."""
    verdict = record["verdicts"].get(operator)
    if verdict is None:
        return 4
    return _BY_TIER.get(record["tier"], 2) if verdict == "passed" else 3


def differences(records: Sequence[dict[str, Any]]) -> str:
    """Chips that differ from most: what failed or was not tried there though others have it, and kernels
    that did not compile."""
    everything = {name for record in records for name in record["verdicts"]}
    rows = []
    for record in records:
        failed = sorted(name for name, verdict in record["verdicts"].items() if verdict != "passed")
        missing = len(everything - record["verdicts"].keys())
        kernels = record.get("kernels", {})
        errors = len(kernels.get("errors", ()))
        cases = record.get("cases", {})
        rows.append(
            (
                record["chip"],
                record["tier"],
                record.get("vector_bits", ""),
                f"{record['operators']['passed']} of {record['operators']['tried']}",
                missing,
                ", ".join(failed) or "none",
                cases.get("passed", ""),
                f"{kernels.get('compiled', '')} ({errors} errors)" if errors else kernels.get("compiled", ""),
            )
        )
    rows.sort(key=lambda row: (row[5] == "none", -int(row[4]), row[0]))
    columns = ("chip", "how", "vector bits", "operators", "not tried", "failed", "cases", "kernels compiled")
    return svg.table(columns, rows) if rows else ""
