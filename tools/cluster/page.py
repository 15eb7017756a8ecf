"""The tables of docs/cluster.md. Flows in: the records under evidence/cluster/. Flows out: the page with
its tables as the records give them."""

from __future__ import annotations

import json
from typing import Any

from anychip.bench.page import replaced
from anychip.markdown import table

from .collectives import RECORD

FAULTS = RECORD.with_name("faults.json")


def written(text: str) -> str:
    """docs/cluster.md with its tables made anew."""
    return replaced(
        text,
        {
            "collectives": collectives(json.loads(RECORD.read_text(encoding="utf-8"))),
            "faults": faults(json.loads(FAULTS.read_text(encoding="utf-8"))),
        },
    )


def faults(record: dict[str, Any]) -> str:
    """A row for each kind of fault: how many there were, and what came of them."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for outcome in record["outcomes"]:
        kinds.setdefault(outcome["kind"], []).append(outcome)
    heads = (
        "fault",
        "injected",
        "ended in time",
        "rank named",
        "same losses",
        "slowest end",
        "steps done twice",
    )
    rows = [
        (
            kind,
            len(found),
            *(sum(each[name] for each in found) for name in ("is_ended", "is_named", "is_same")),
            f"{max(each['seconds'] for each in found):.0f} s",
            max(each["recomputed"] for each in found),
        )
        for kind, found in kinds.items()
    ]
    made = table([heads[0], *((head, "right") for head in heads[1:])], rows)
    return f"Time-out {record['timeout']:.0f} s, a checkpoint every {record['interval']} steps:\n\n{made}"


def collectives(record: dict[str, Any]) -> str:
    """A row for each collective, a column for each element type."""
    rows: dict[str, dict[str, str]] = {}
    for name, told in record["rows"].items():
        collective, _, dtype = name.partition("/")
        rows.setdefault(collective, {})[dtype] = _cell(told)
    dtypes = list(next(iter(rows.values())))
    made = table(["collective", *dtypes], ([name, *row.values()] for name, row in rows.items()))
    return f"PyTorch {record['torch']}, {record['ranks']} ranks, `{record['command']}`:\n\n{made}"


def _cell(told: dict[str, str]) -> str:
    """ "yes" or "–" for the group `anychip`, and what gloo makes of the same where that is not right."""
    ours, gloo = (
        [value for name, value in told.items() if name.startswith(backend)] for backend in ("anychip", "gloo")
    )
    if all(value == "right" for value in ours):
        cell = "yes"
    else:
        cell = "wrong" if "wrong" in ours else "–"
    if cell != "yes" or all(value == "right" for value in gloo):
        return cell
    if gloo[0] == "right":
        return f"{cell}, strided W" if "wrong" in gloo else f"{cell}, strided R"
    return f"{cell}, W" if gloo[0] == "wrong" else f"{cell}, R"
