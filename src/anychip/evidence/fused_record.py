"""The record of a run of a room's fused operators on a chip. Flows in: findings. Flows out:
`evidence/fused/<room>/<chip>.json`, which `anychip ops --domain ROOM` and the room's page read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..ops.rooms import Room
from . import record
from .fused import Finding

FOLDER = record.FOLDER.parent / "fused"


def command(room: Room) -> str:
    """What writes the record of a room."""
    return f"anychip test --domain {room.name} --record"


def compose(room: Room, findings: Iterable[Finding]) -> dict[str, Any]:
    """A record as plain data."""
    results: dict[str, dict[str, Any]] = {}
    for finding in findings:
        row: dict[str, Any] = {"samples": finding.samples, "gradients": finding.gradients}
        if finding.failures:
            row["failures"] = finding.failures
        results.setdefault(finding.name, {})[finding.dtype] = row
    return {
        "chip": record.chip_identifier(),
        "tier": record.TIER,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": record.commit(),
        "versions": record.versions(),
        "command": command(room),
        "operators": {
            "passed": sum(found(results, name).startswith("passed") for name in room.operators()),
            "tried": len(results),
            "total": len(room.operators()),
        },
        "results": dict(sorted(results.items())),
    }


def found(results: Mapping[str, Any], name: str) -> str:
    """What results say of an operator: "passed, 9 samples, 12 gradients", "failed" or "untried"."""
    rows = list(results.get(name, {}).values())
    if not rows:
        return "untried"
    if any(row.get("failures") for row in rows):
        return "failed"
    samples, gradients = (sum(row[word] for row in rows) for word in ("samples", "gradients"))
    return f"passed, {samples} samples" + (f", {gradients} gradients" if gradients else "")


def earlier_of(room: Room, folder: Path = FOLDER) -> dict[str, Any] | None:
    """This chip's record of a room, if there is one."""
    chip = record.chip_identifier()
    return next((known for known in read_all(room, folder) if known["chip"] == chip), None)


def completed(room: Room, new: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """A record of both runs: the newer result where both have one. `earlier` in it has the earlier runs' own
    dates, commits and versions, newest first."""
    if earlier is None:
        return dict(new)
    known = room.operators()
    kept = {
        name: row for name, row in earlier["results"].items() if name in known and name not in new["results"]
    }
    results = dict(sorted((kept | new["results"]).items()))
    run = {word: earlier[word] for word in ("date", "commit", "versions")} | {"operators_kept": len(kept)}
    return {
        **new,
        "earlier": [run, *earlier.get("earlier", ())],
        "operators": {
            "passed": sum(found(results, name).startswith("passed") for name in known),
            "tried": len(results),
            "total": len(known),
        },
        "results": results,
    }


def read_all(room: Room, folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Every record of a room, by chip; none where there is no folder."""
    return record.read_all(folder / room.name)


def write(room: Room, made: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write a room's record under its chip's name; returns the file."""
    return record.write(made, folder / room.name)
