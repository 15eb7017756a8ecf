"""The section of compiled models on the page of other people's Triton. In: the record that
`models.py` wrote. Out: Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from anychip.markdown import table

MODES = {"infer": "inference", "train": "forward and backward"}
KINDS = {
    "tiny": "Tiny models of language: two layers of width 64, 32 tokens",
    "base": "Base models of language: twelve layers of width 768, 128 tokens",
    "tiny vision": "Tiny networks of convolutions: four stages of 16 to 128 channels, 64 by 64 pixels",
    "base vision": "Networks of convolutions: 18 layers, or as many stages and blocks, 224 by 224 pixels",
}
VISION = frozenset({"resnet", "convnext", "mobilenet"})
HEADS = ("model", "eager (ms)", "Inductor C++ (ms)", "ours (ms)", "to eager", "to Inductor C++")

Row = dict[str, Any]


def kind(row: Row) -> str:
    """The group of rows that a row is counted in."""
    return row["size"] + (" vision" if row["model"] in VISION else "")


def ratios(row: Row) -> tuple[float, float]:
    """How many times as fast as eager PyTorch and as Inductor's C++ we are."""
    times = row["milliseconds"]
    return times["eager"] / times["anychip"], times["inductor"] / times["anychip"]


def cells(row: Row) -> list[str]:
    """A row of the table."""
    times = [f"{row['milliseconds'][way]:.3g}" for way in ("eager", "inductor", "anychip")]
    return [row["model"], *times, *(f"{ratio:.2f}" for ratio in ratios(row))]


def means(rows: Sequence[Row]) -> list[str]:
    """Geometric means over models."""
    columns = zip(*map(ratios, rows), strict=True)
    return [f"**{statistics.geometric_mean(column):.2f}**" for column in columns]


def section(record: dict[str, Any]) -> str:
    """Means by size and mode, then a table for each."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in record["rows"]:
        groups.setdefault((kind(row), row["mode"]), []).append(row)
    known = [
        (which, mode, groups[which, mode]) for which in KINDS for mode in MODES if (which, mode) in groups
    ]
    dates = sorted({row["date"] for row in record["rows"]})
    versions = ", ".join(f"{name} {value}" for name, value in record["versions"].items())
    parts = [
        "## Compiled models",
        'Models of `transformers` with random weights, compiled with `backend="anychip"`, by '
        "`python -m tools.ecosystem.models`. Geometric means of how many times as fast we are; promised "
        "for models of language: 1.3 to eager, 1.0 to Inductor C++.",
        table(
            ["size", "what", "models", "to eager", "to Inductor C++"],
            [[which, MODES[mode], str(len(rows)), *means(rows)] for which, mode, rows in known],
        ),
        "Least processor time of the calling thread over several repetitions, one thread, the three in turn "
        "in one process, while other work shared the processor; results and gradients compared. Without "
        f"dropout. {record['machine']}; {versions}; {' to '.join(dict.fromkeys((dates[0], dates[-1])))}.",
    ]
    for which, mode, rows in known:
        parts += [f"### {KINDS[which]}: {MODES[mode]}", table(HEADS, list(map(cells, rows)))]
    parts.append(
        "Graphs of static shapes that hold nothing but our launches are replayed as a list of launches from "
        "their third call. Attention and matrix products are the operator library's; so are convolutions of "
        "one pixel or one channel, and, in graphs that are replayed, small ones of any shape. A graph with "
        "larger ones is called kernel by kernel."
    )
    return "\n\n".join(parts)
