"""The tables of docs/cluster.md. Flows in: the records under evidence/cluster/. Flows out: the page with
its tables as the records give them."""

from __future__ import annotations

import json
from typing import Any

from anychip.bench.page import replaced
from anychip.markdown import table

from .collectives import RECORD


def written(text: str) -> str:
    """docs/cluster.md with its tables made anew."""
    return replaced(text, {"collectives": collectives(json.loads(RECORD.read_text(encoding="utf-8")))})


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
