"""Hardware counters of a whole program, by Linux's `perf stat`.

Flows in: a command. Flows out: the command with `perf stat` before it, and the numbers of the file that it
writes; or why there are none: many virtual machines and containers have no counters, and say so for each."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EVENTS = (
    "cycles", "instructions", "cache-references", "cache-misses", "branches", "branch-misses", "task-clock",
    "page-faults", "context-switches",
)  # fmt: skip
ABSENT = frozenset({"<not supported>", "<not counted>"})


@dataclass(frozen=True, slots=True)
class Counted:
    """Numbers by name (times in milliseconds), and the names of counters that this machine does not have."""

    values: dict[str, float]
    absent: tuple[str, ...]


def command(program: Sequence[str], file: Path) -> list[str] | None:
    """The program under `perf stat`, which writes into `file`; None where there is no `perf`."""
    perf = shutil.which("perf")
    if perf is None:
        return None
    return [perf, "stat", "-x", ";", "-e", ",".join(EVENTS), "-o", str(file), "--", *program]


def parse(text: str) -> Counted:
    """What `perf stat -x ';'` wrote: value, unit, event (with modifiers such as ":u"), and more. Where an
    event was counted for part of the time, perf has scaled the value. Lines that are none of this are
    passed over."""
    values: dict[str, float] = {}
    absent: list[str] = []
    for line in text.splitlines():
        cells = line.split(";")
        if len(cells) < 3 or line.startswith("#"):
            continue
        name = cells[2].partition(":")[0]
        if cells[0] in ABSENT:
            absent.append(name)
            continue
        try:
            values[name] = float(cells[0].replace(",", "."))
        except ValueError:
            continue
    if values.get("cycles"):
        values["instructions per cycle"] = round(values.get("instructions", 0.0) / values["cycles"], 3)
    return Counted(values, tuple(absent))
