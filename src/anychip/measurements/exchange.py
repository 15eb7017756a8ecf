"""Measurements as a readable file, to look at and to carry to a machine of the same kind. Flows in: the
entries of a database. Flows out: a JSON document; or, from one, what fits this chip."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from .entry import FORMAT, Entry, Unusable, from_fields
from .errors import MeasurementsError

TITLE = "anychip tuning"


def write(file: Path, chip: str, entries: Iterable[Entry]) -> int:
    """Write entries into `file`; returns how many. Raises MeasurementsError where it cannot be written."""
    rows = sorted((asdict(entry) for entry in entries), key=lambda row: (row["kind"], row["subject"]))
    for row in rows:
        del row["chip"]
    document = {"title": TITLE, "format": FORMAT, "chip": chip, "entries": rows}
    try:
        file.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise MeasurementsError(f"{file} cannot be written: {error}") from error
    return len(rows)


def read(file: Path, chip: str) -> tuple[list[Entry], Counter[str]]:
    """The entries of `file` that are for `chip`, and the others counted by why they are not. Raises
    MeasurementsError where the file is not one that `write` made."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MeasurementsError(f"{file} is no file of measurements: {error}") from error
    if not isinstance(document, dict) or document.get("title") != TITLE:
        raise MeasurementsError(f"{file} is no file of measurements; `anychip tune export FILE` writes one.")
    rows = document.get("entries")
    if not isinstance(rows, list):
        raise MeasurementsError(f"{file} has no list of entries.")
    made_on = document.get("chip")
    refused: Counter[str] = Counter()
    if made_on != chip:
        refused[f"of another chip ({made_on})"] = len(rows)
        return [], refused
    found = []
    for row in rows:
        try:
            fields = {**row, "chip": chip, "format": document.get("format")}
            found.append(from_fields(fields))
        except (Unusable, TypeError) as reason:
            refused[str(reason)] += 1
    return found, refused
