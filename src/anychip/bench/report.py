"""Rows as a table's cells, JSON, CSV or Markdown.

Flows in: rows and what they were measured on. Flows out: text, or data that a writer takes.
"""

from __future__ import annotations

import csv
import io
import math
import os
import platform
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .. import markdown
from .measure import Spread
from .roofs import Roofs
from .row import EAGER, OURS, Row


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where, when and with what a run was made."""

    processor: str
    cores: int
    threads: int
    date: str
    command: str
    versions: Mapping[str, str]

    def sentence(self) -> str:
        """One line for a page."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        where = f"{self.processor}, {self.threads} of {self.cores} cores, {self.date}"
        return f"{where}; {versions}; `{self.command}`"


def circumstances(command: str) -> Circumstances:
    """Those of this process."""
    from importlib.metadata import PackageNotFoundError, version

    from ..chips import detect_host
    from ..compiler import targets

    versions = {}
    for package in ("anychip", "torch", "triton", "llvmlite", "onnxruntime", "jax"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    chip = detect_host().chip
    name = chip.name if chip is not None else platform.processor() or platform.machine()
    return Circumstances(
        processor=f"{name} ({targets.host().cpu})",
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        date=time.strftime("%Y-%m-%d"),
        command=command,
        versions=versions,
    )


def peers(rows: Sequence[Row]) -> list[str]:
    """The candidates other than ours that any row has, in order."""
    return list(dict.fromkeys(name for row in rows for name in row.seconds if name != OURS))


def headings(rows: Sequence[Row]) -> list[str]:
    """Headings of `cells`."""
    return [
        "kernel",
        "type",
        "sizes",
        "ours",
        *(f"{name}/ours" for name in peers(rows)),
        "quartiles of eager/ours",
        "GB/s",
        "GFLOP/s",
        "roof",
        "remark",
    ]


def cells(row: Row, names: Sequence[str]) -> list[str]:
    """One row of the table: times, ratios with peers (above one: we are faster), rates."""
    eager = row.ratios.get(EAGER)
    return [
        row.name,
        row.dtype,
        "x".join(map(str, row.sizes)),
        duration(row.seconds[OURS].median),
        *(f"{row.ratios[name].median:.2f}" if name in row.ratios else "" for name in names),
        f"{eager.low:.2f} to {eager.high:.2f}" if eager else "",
        f"{row.gigabytes_per_second:.1f}",
        f"{row.gigaflops:.0f}" if row.gigaflops >= 1 else "",
        "" if row.roof is None else f"{row.roof * 100:.0f} %",
        "; ".join(filter(None, (row.wrong, f"busy: {row.disturbed}" if row.disturbed else ""))),
    ]


@dataclass(frozen=True, slots=True)
class Summary:
    """A family's geometric means of the ratios, over the rows whose answers are right."""

    family: str
    rows: int
    wrong: int
    against_eager: float | None
    against_best: float | None


def summaries(rows: Sequence[Row]) -> list[Summary]:
    """One for each family in order, and one for all rows together."""
    families = list(dict.fromkeys(row.family for row in rows))
    found = [_summary(family, [row for row in rows if row.family == family]) for family in families]
    return [*found, _summary("all", rows)] if len(families) > 1 else found


def _summary(family: str, rows: Sequence[Row]) -> Summary:
    right = [row for row in rows if not row.wrong]
    return Summary(
        family,
        len(rows),
        len(rows) - len(right),
        _mean(row.ratios[EAGER].median for row in right if EAGER in row.ratios),
        _mean(row.ratios[row.best_peer].median for row in right if row.best_peer),
    )


def _mean(values: Iterable[float]) -> float | None:
    logs = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logs)) if logs else None


_UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6))


def duration(seconds: float) -> str:
    """Three digits with a fitting unit."""
    unit, size = next((u for u in _UNITS if seconds >= u[1]), _UNITS[-1])
    value = seconds / size
    return f"{value:.{max(0, 2 - int(math.log10(max(value, 1))))}f} {unit}"


def data(rows: Sequence[Row], where: Circumstances, roofs: Roofs | None) -> dict[str, Any]:
    """Everything as plain data."""
    return {
        "circumstances": asdict(where),
        "roofs": None if roofs is None else asdict(roofs),
        "rows": [asdict(row) for row in rows],
        "summary": [asdict(summary) for summary in summaries(rows)],
    }


def rows_of(data: Mapping[str, Any]) -> list[Row]:
    """The rows in what `data` made, e.g. after a way through a file."""
    made = []
    for fields in data["rows"]:
        spreads = {
            name: {key: Spread(**value) for key, value in fields[name].items()}
            for name in ("seconds", "ratios")
        }
        made.append(
            Row(**{**fields, **spreads, "sizes": tuple(fields["sizes"]), "notes": tuple(fields["notes"])})
        )
    return made


def as_csv(rows: Sequence[Row]) -> str:
    """A line for each row, times in seconds."""
    names = [OURS, *peers(rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "family",
            "name",
            "dtype",
            "sizes",
            "rounds",
            *(f"{n}_{p}" for n in names for p in ("median", "low", "high")),
        ]
        + [f"{name}_ratio" for name in names[1:]]
        + ["gigabytes_per_second", "gigaflops", "roof", "wrong", "disturbed"]
    )
    for row in rows:
        times = [row.seconds.get(name) for name in names]
        writer.writerow(
            [row.family, row.name, row.dtype, "x".join(map(str, row.sizes)), row.rounds]
            + [
                f"{v:.9g}" if t else ""
                for t in times
                for v in ((t.median, t.low, t.high) if t else (0, 0, 0))
            ]
            + [f"{row.ratios[name].median:.4g}" if name in row.ratios else "" for name in names[1:]]
            + [f"{row.gigabytes_per_second:.4g}", f"{row.gigaflops:.4g}"]
            + ["" if row.roof is None else f"{row.roof:.4g}", row.wrong, row.disturbed]
        )
    return text.getvalue()


def table_csv(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as comma-separated values."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([titles, *rows])
    return text.getvalue()


def table_markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of figures, with a newline at its end."""
    return markdown.table(markdown.numbers(titles), rows) + "\n"


def as_markdown(rows: Sequence[Row], where: Circumstances, roofs: Roofs | None) -> str:
    """The summary, the roofs and every row, with the circumstances above them."""
    names = peers(rows)
    parts = [where.sentence() + "\n"]
    parts.append(
        table_markdown(
            ("family", "rows", "eager / ours", "best peer / ours"),
            (
                (s.family, str(s.rows), _ratio(s.against_eager), _ratio(s.against_best))
                for s in summaries(rows)
            ),
        )
    )
    if roofs is not None:
        parts.append(roofs_sentence(roofs) + "\n")
    shown = [*headings(rows)]
    parts.append(table_markdown(shown, (cells(row, names) for row in rows)))
    return "\n".join(parts)


def roofs_sentence(roofs: Roofs) -> str:
    """The measured limits in one line."""
    sizes = sorted(roofs.bandwidth)
    picked = [sizes[0], *(s for s in sizes if s in (1 << 20, 1 << 23)), sizes[-1]]
    moved = ", ".join(f"{roofs.bandwidth[s] * 1e-9:.0f} at {_bytes(s)}" for s in dict.fromkeys(picked))
    computed = ", ".join(f"{name} {rate * 1e-9:.0f}" for name, rate in roofs.operations.items())
    return (
        f"Measured roofs with {roofs.threads} threads: triad {moved} (GB/s); "
        f"multiply-add {computed} (GFLOP/s)."
    )


def _bytes(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
