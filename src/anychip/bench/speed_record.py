"""The record of the operators' speed on a chip, `evidence/speed/<chip>.json`, and the file of a run that
is not complete yet.

Flows in: speeds, one by one. Flows out: what the page and other tools read. A run that was interrupted goes
on where it stopped, as long as its terms (machine, threads, clock, versions) are the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .errors import BenchmarkError
from .operator_speed import Speed
from .report import Circumstances

Key = tuple[str, str]


def to_data(speeds: Iterable[Speed], where: Circumstances, terms: Mapping[str, Any]) -> dict[str, Any]:
    """A record as plain data."""
    return {
        "circumstances": asdict(where),
        "terms": dict(terms),
        "rows": [speed.to_json() for speed in speeds],
    }


def speed_of(data: Mapping[str, Any]) -> Speed:
    """What `Speed.to_json` wrote."""
    known = {field.name for field in fields(Speed)}
    return Speed(**{name: value for name, value in data.items() if name in known})


def load(file: Path) -> tuple[list[Speed], Circumstances, dict[str, Any]]:
    """The rows of a record, where it was made, and its terms. Raises `BenchmarkError` for another file."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return [speed_of(row) for row in data["rows"]], Circumstances(**data["circumstances"]), data["terms"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(
            f"cannot read {file}: {error}; `anychip bench ops --record` writes such a file."
        ) from error


def save(file: Path, data: Mapping[str, Any]) -> None:
    """Write a record, a row a line, so that two of them can be compared as text."""
    rows = ",\n".join("  " + json.dumps(row) for row in data["rows"])
    head = json.dumps({name: value for name, value in data.items() if name != "rows"}, indent=1)
    file.parent.mkdir(parents=True, exist_ok=True)
    made = file.with_name(f"{file.name}.{os.getpid()}")
    made.write_text(f'{head[:-2]},\n "rows": [\n{rows}\n ]\n}}\n', encoding="utf-8")
    made.replace(file)


def merged(old: Sequence[Speed], new: Sequence[Speed]) -> list[Speed]:
    """The old rows with those of the new run in their places, in the order of domain and operator."""
    rows = {speed.key: speed for speed in (*old, *new)}
    return sorted(rows.values(), key=lambda s: (s.domain, s.operator, s.overload, s.size == "large"))


class Unfinished:
    """The file of a run: a line of terms, then a line a row. A file of other terms is begun anew."""

    def __init__(self, file: Path, terms: Mapping[str, Any]):
        self.file = file
        self.speeds: dict[Key, Speed] = {}
        first = json.dumps(dict(terms), sort_keys=True)
        if file.exists():
            lines = file.read_text(encoding="utf-8").splitlines()
            if lines and lines[0] == first:
                for speed in map(_row, lines[1:]):
                    if speed is not None:
                        self.speeds[speed.key] = speed
                return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(first + "\n", encoding="utf-8")

    def add(self, speed: Speed) -> None:
        """Keep a row."""
        self.speeds[speed.key] = speed
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(speed.to_json()) + "\n")

    def end(self) -> None:
        """Remove the file."""
        self.file.unlink(missing_ok=True)


def _row(line: str) -> Speed | None:
    """A row, or None for a line that an interrupted run has left half written."""
    try:
        return speed_of(json.loads(line))
    except (ValueError, TypeError):
        return None
