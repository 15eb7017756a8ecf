"""The pages of the operators' speed.

Flows in: the rows of a record and where it was made. Flows out: one page of geometric means by domain, and
of what is slow and why; a page for each domain, with every overload.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .arguments import SIZES
from .explanations import explanation
from .operator_speed import SLOW, Speed
from .report import Circumstances, duration, table_markdown

COMMAND = "anychip bench ops --record --page docs/operator-speed.md"
FOLDER = "operator-speed"
"""The folder, beside the page, of the pages of domains."""
HEADINGS = ("overload", "size", "inputs", "ours", "PyTorch", "PyTorch/ours", "quartiles", "remark")
ALL = "all"
"""The line of means over all domains."""
MEANS = ("domain", "operators", "overloads", *(f"{name} inputs" for name in SIZES))


def geometric_mean(values: Iterable[float]) -> float | None:
    """None for no values."""
    logs = [math.log(value) for value in values if value > 0]
    return math.exp(statistics.fmean(logs)) if logs else None


def by_operator(speeds: Iterable[Speed], size: str) -> list[float]:
    """One ratio for each operator: the geometric mean over its overloads, so that many overloads of one
    operator count once."""
    found: dict[str, list[float]] = {}
    for speed in speeds:
        if speed.size == size and speed.timed:
            found.setdefault(speed.operator, []).append(speed.ratio)
    return [mean for ratios in found.values() if (mean := geometric_mean(ratios)) is not None]


def means(speeds: Sequence[Speed]) -> list[tuple[str, ...]]:
    """Cells of `MEANS`: a line for each domain, and one for all operators."""
    known = domains(speeds)
    chosen: list[tuple[str, Callable[[Speed], bool]]] = [
        (domain, lambda speed, domain=domain: speed.domain == domain) for domain in known
    ]
    if len(known) > 1:
        chosen.append((ALL, lambda speed: True))
    lines = []
    for name, belongs in chosen:
        rows = [speed for speed in speeds if belongs(speed)]
        counts = (len({row.operator for row in rows}), len({row.overload for row in rows}))
        ratios = (_ratio(geometric_mean(by_operator(rows, size))) for size in SIZES)
        lines.append((name, *map(str, counts), *ratios))
    return lines


def unexplained(speeds: Iterable[Speed]) -> list[Speed]:
    """The rows under `SLOW` that nothing explains, the worst first."""
    found = [s for s in speeds if s.timed and s.ratio < SLOW and not explanation(s)]
    return sorted(found, key=lambda speed: speed.ratio)


def cells(speed: Speed) -> tuple[str, ...]:
    """Cells of `HEADINGS`."""
    if speed.refused or (speed.wrong and not speed.ours):
        remark = speed.wrong or f"not served: {speed.refused}"
        return (speed.overload, speed.size, speed.inputs, "", "", "", "", remark)
    slow = speed.timed and speed.ratio < SLOW
    reason = explanation(speed) or ("unexplained" if slow else "")
    return (
        speed.overload,
        speed.size,
        speed.inputs,
        duration(speed.ours),
        duration(speed.native),
        f"{speed.ratio:.2f}",
        f"{speed.low:.2f} to {speed.high:.2f}",
        "; ".join(filter(None, (speed.wrong, reason))),
    )


def domains(speeds: Iterable[Speed]) -> list[str]:
    """The domains that have a page."""
    return sorted({speed.domain for speed in speeds})


def domain_page(domain: str, speeds: Sequence[Speed], where: Circumstances, terms: Mapping[str, Any]) -> str:
    """The page of a domain: every overload at each size."""
    rows = [speed for speed in speeds if speed.domain == domain]
    lines = [
        f"# Speed of the operators: {domain}",
        "",
        "Each overload of the domain against PyTorch's own kernel. "
        f"[The page of all domains](../{FOLDER}.md) says what the columns mean, and what is slow and why.",
        "",
        where.sentence() + f"; {terms.get('clock', '')}.",
        "",
        table_markdown(MEANS, means(rows)),
        table_markdown(HEADINGS, map(cells, rows)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def page(speeds: Sequence[Speed], where: Circumstances, terms: Mapping[str, Any]) -> str:
    """The page of all domains."""
    slow = [s for s in speeds if s.timed and s.ratio < SLOW]
    open_rows = unexplained(speeds)
    faults = [s for s in speeds if s.wrong]
    sentences = [
        f"Of {len(speeds)} rows ({len({s.overload for s in speeds})} overloads of "
        f"{len({s.operator for s in speeds})} operators), {len(slow)} are under {SLOW}, "
        f"{len(open_rows)} of them unexplained; {len(faults)} gave another answer than PyTorch."
    ]
    disturbed = sum(1 for s in speeds if s.disturbed)
    if disturbed:
        sentences.append(
            f"While {disturbed} of the rows were measured, the machine did other work, too: their ratios "
            "hold, since both sides are timed in turns, but their times are too long."
        )
    lines = [
        "# Speed of the operators",
        "",
        "Every operator of the library against PyTorch's own kernel in one run, call by call in turns, each "
        "answer checked. A ratio is PyTorch's time over ours: above one, ours is faster. *Small* inputs stay "
        "in a core's caches; *large* ones leave them, or take some milliseconds where an operator is dear. "
        f"This page is written by `{COMMAND}` from the record in `evidence/speed/`.",
        "",
        where.sentence() + f"; {terms.get('clock', '')}.",
        "",
        *sentences,
        "",
        "## Geometric means over operators",
        "",
        "A domain's own page has each of its overloads.",
        "",
        table_markdown(MEANS, map(_linked, means(speeds))),
    ]
    if slow:
        lines += [f"## Under {SLOW}", ""]
        ordered = sorted(slow, key=lambda speed: speed.ratio)
        lines.append(table_markdown(HEADINGS, map(cells, ordered)))
    return "\n".join(lines).rstrip() + "\n"


def _linked(line: tuple[str, ...]) -> tuple[str, ...]:
    """Cells of `MEANS` with a link to the domain's page."""
    domain, *cells = line
    return (domain if domain == ALL else f"[{domain}]({FOLDER}/{domain}.md)", *cells)


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
