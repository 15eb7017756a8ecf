"""The tables of the page about tuning. Flows in: the rows of a record of gains, and the shipped defaults.
Flows out: Markdown sections, which stand between marks in a page whose text is written by people."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ..bench.report import Circumstances, duration, table_markdown
from ..measurements import chip, defaults
from .gain import TOLERANCE, Gain, geometric_mean

HEADINGS = ("case", "as shipped", "tuned", "gain", "found", "candidates")
FAMILIES = ("family", "cases", "gain", "largest", "more than 10 % off")
LEVELS = ("level", "from", "ratios", "tiles", "schedules", "where")


def sections(rows: Sequence[Gain], where: Circumstances, terms: Mapping[str, Any]) -> dict[str, str]:
    """The page's sections by name."""
    return {"gain": _gain(rows, where, terms), "model": _model(rows), "defaults": _defaults()}


def summary(rows: Sequence[Gain]) -> str:
    """One sentence."""
    off = [row for row in rows if row.gain > TOLERANCE]
    mean = geometric_mean([row.gain for row in rows])
    return (
        f"Tuned over shipped: {mean:.3f} (geometric mean of {len(rows)} cases); "
        f"shipped defaults are more than 10 % off in {len(off)}."
    )


def cells(row: Gain) -> tuple[str, ...]:
    """A row under `HEADINGS`."""
    found = " ".join(f"{name}={value}" for name, value in row.changed.items())
    return (
        row.case, duration(row.shipped), duration(row.tuned), f"{row.gain:.2f}", found,
        str(len(row.candidates)),
    )  # fmt: skip


def _gain(rows: Sequence[Gain], where: Circumstances, terms: Mapping[str, Any]) -> str:
    families = dict.fromkeys(row.family for row in rows)
    lines = []
    for family in families:
        own = [row.gain for row in rows if row.family == family]
        off = sum(gain > TOLERANCE for gain in own)
        lines.append((family, str(len(own)), f"{geometric_mean(own):.3f}", f"{max(own):.2f}", str(off)))
    changed = sorted((row for row in rows if row.changed), key=lambda row: -row.gain)
    return "\n\n".join(
        [
            f"{where.sentence()}. {terms['clock']}; {terms['seconds']:g} seconds of search for a case.",
            summary(rows),
            table_markdown(FAMILIES, lines),
            "What was found where something is faster by more than 3 %:",
            table_markdown(HEADINGS, [cells(row) for row in changed]),
        ]
    )


def _model(rows: Sequence[Gain]) -> str:
    ranks = [row.rank for row in rows if row.rank is not None]
    tried, left = (sum(len(x) for x in lists) for lists in zip(*((r.candidates, r.left) for r in rows)))
    judged = [row.loss for row in rows if row.candidates]
    near = sum(loss <= TOLERANCE for loss in judged)
    lines = [
        f"- {tried} distinct candidates were measured; the cost model would have left out {tried - left} "
        f"of them ({1 - left / max(1, tried):.0%}).",
        f"- The best of those that it leaves in takes {geometric_mean(judged):.3f} times as long as the best "
        f"of all (geometric mean; {max(judged, default=1.0):.2f} at worst); it is within 10 % of it in "
        f"{near} of {len(judged)} cases.",
    ]
    if ranks:
        lines.append(
            f"- Spearman's rank correlation of expected and measured times, in the {len(ranks)} cases in "
            f"which candidates differ by more than 20 %: median {statistics.median(ranks):.2f}, "
            f"{sum(rank > 0 for rank in ranks)} of them above 0."
        )
    return "\n".join(lines)


def _defaults() -> str:
    lines = []
    for level in chip.LEVELS:
        known = defaults.load(level)
        ratios = sum(len(sizes) for dtypes in known.ratios.values() for sizes in dtypes.values())
        schedules = sum(map(len, known.schedules.values()))
        lines.append((level, known.source, str(ratios), str(len(known.tiles)), str(schedules), known.machine))
    return table_markdown(LEVELS, lines)
