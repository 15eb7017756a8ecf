"""The section of the page of other people's Triton on first calls of autotuned kernels. In: the record of
`autotuning.py`. Out: Markdown."""

from __future__ import annotations

import statistics
from typing import Any

from anychip.markdown import table

GOAL = 3.0
"""What the first call may take, in first calls with one configuration."""


def section(record: dict[str, Any]) -> str:
    """The section of autotuned kernels."""
    rows, ratios = [], []
    for row in record["rows"]:
        every, single = min(row["every"]), min(row["single"])
        ratios.append(every / single)
        rows.append(
            [
                row["kernel"],
                str(row["configurations"]),
                f"{every:.2f}",
                f"{single:.2f}",
                f"{every / single:.2f}",
            ]
        )
    versions = ", ".join(f"{name} {value}" for name, value in record["versions"].items())
    heads = ["kernel", "configurations", "first call (s)", "with the chosen one alone (s)", "ratio"]
    return "\n\n".join(
        [
            "## Autotuned kernels",
            "The first call with all configurations, as a GPU would try them, takes "
            f"**{statistics.geometric_mean(ratios):.2f}** times as long as with the one that is chosen "
            f"(geometric mean; promised: {GOAL:g}), by `python -m tools.ecosystem.autotuning`.",
            f"Least processor time of processes with empty caches, in turn. {record['machine']}; {versions}; "
            f"{record['date']}.",
            table(heads, rows),
        ]
    )
