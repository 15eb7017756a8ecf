"""The record of runs on a device: a file of lines, one for each finished piece of work. Flows in: results,
one by one. Flows out: what is done already, and counts. Terms that differ (device, versions) begin a file
anew."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Item(NamedTuple):
    """One piece of work: a step of the run, and what of it."""

    step: str
    name: str


class Record:
    """Lines of a file, the first of which holds the terms. Each is on the disk before the next piece
    begins."""

    def __init__(self, file: Path, terms: Mapping[str, Any]):
        self.file = file
        self.rows: dict[Item, dict[str, Any]] = {}
        self._lock = threading.Lock()
        first = json.dumps({"terms": dict(terms)}, sort_keys=True)
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        if lines[:1] == [first]:
            for row in map(_row, lines[1:]):
                if row is not None:
                    self.rows[Item(row["step"], row["name"])] = row
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        if lines:
            file.replace(file.with_suffix(".before.jsonl"))
        file.write_text(first + "\n", encoding="utf-8")

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a result, which has `step`, `name` and `verdict`."""
        with self._lock:
            self.rows[Item(row["step"], row["name"])] = dict(row)
            with self.file.open("a", encoding="utf-8") as opened:
                opened.write(json.dumps(row) + "\n")

    def is_done(self, item: Item) -> bool:
        """Whether a result of the item is there that a second try would not change."""
        row = self.rows.get(item)
        return row is not None and row["verdict"] not in AGAIN

    def counts(self) -> Iterator[tuple[str, Counter[str]]]:
        """Each step with how often each verdict came."""
        steps: dict[str, Counter[str]] = {}
        for row in self.rows.values():
            steps.setdefault(row["step"], Counter())[row["verdict"]] += 1
        yield from steps.items()


AGAIN = frozenset({"died", "timed out"})
"""Verdicts that may be another machine's fault: the next run tries again."""


def _row(line: str) -> dict[str, Any] | None:
    """A line of a file; None for one that was being written when the run ended."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and {"step", "name", "verdict"} <= set(row) else None
