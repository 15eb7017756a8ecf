"""What a report is made of, found in a folder.

Flows in: a folder with any of: profiles (`anychip profile --json`), traces (`--trace`), records of chips
(`anychip conform`), records of operators' speed (`anychip bench ops --record`), and its history in git.
Flows out: `Inputs`. Where a folder has no records of chips, those that come with the library are shown."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..chips import evidence
from .errors import NothingToReport

LARGEST = 256 << 20
"""Bytes of a file that is looked into."""
MOST_COMMITS = 200
GIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Speed:
    """A record of operators' speed at a commit: geometric means of PyTorch's time over ours, by size."""

    commit: str
    date: str
    chip: str
    means: dict[str, float]
    operators: int


@dataclass(frozen=True, slots=True)
class Inputs:
    """Profiles and traces by file name; chips' records; the history of speed, oldest first."""

    profiles: tuple[tuple[str, dict[str, Any]], ...]
    traces: tuple[tuple[str, dict[str, Any]], ...]
    chips: tuple[dict[str, Any], ...]
    history: tuple[Speed, ...]


def find(folder: Path) -> Inputs:
    """All that a report can be made of in a folder and below. Raises NothingToReport."""
    if not folder.is_dir():
        raise NothingToReport(f"{folder} is no folder")
    profiles, traces, chips, speeds = [], [], [], []
    for file, data in _json(folder):
        name = str(file.relative_to(folder))
        match _kind(data):
            case "profile":
                profiles.append((name, data))
            case "trace":
                traces.append((name, data))
            case "chip":
                chips.append(data)
            case "speed":
                speeds.append(file)
    history = [speed for file in speeds for speed in _history(file)]
    if not (profiles or traces or chips or history):
        raise NothingToReport(
            f"{folder} has no profile (`anychip profile --json`), no trace (`--trace FILE`), no record of "
            "a chip or of operators' speed"
        )
    return Inputs(tuple(profiles), tuple(traces), tuple(chips or evidence.records()), tuple(history))


def _json(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for file in sorted(folder.rglob("*.json")):
        try:
            if file.stat().st_size > LARGEST:
                continue
            data = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(data, dict):
            yield file, data


def _kind(data: dict[str, Any]) -> str:
    """What a file is, by the keys that it must have."""
    if {"kernels", "operators", "stacks"} <= data.keys():
        return "profile"
    if isinstance(data.get("traceEvents"), list):
        return "trace"
    if {"chip", "tier", "verdicts"} <= data.keys():
        return "chip"
    if {"circumstances", "rows"} <= data.keys():
        return "speed"
    return ""


def _history(file: Path) -> list[Speed]:
    """The record at each commit that changed it, oldest first; the file as it is where there is no git."""
    log = _git(file, "log", f"-{MOST_COMMITS}", "--format=%h %as", "--", file.name)
    found = []
    for line in reversed(log.splitlines()):
        commit, date = line.split()
        text = _git(file, "show", f"{commit}:./{file.name}")
        speed = _speed(text, commit, date) if text else None
        if speed is not None and not (found and found[-1].means == speed.means):
            found.append(speed)
    if not found:
        speed = _speed(file.read_text(encoding="utf-8"), "", "")
        found = [speed] if speed is not None else []
    return found


def _git(file: Path, *arguments: str) -> str:
    """What git says, nothing where it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(file.parent), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _speed(text: str, commit: str, date: str) -> Speed | None:
    try:
        data = json.loads(text)
        ratios: dict[str, list[float]] = {}
        for row in data["rows"]:
            if row.get("ratio"):
                ratios.setdefault(str(row["size"]), []).append(math.log(row["ratio"]))
        means = {size: round(math.exp(sum(logs) / len(logs)), 4) for size, logs in ratios.items()}
        chip = str(data.get("terms", {}).get("chip", ""))
        return (
            Speed(commit, date, chip, means, len({row["operator"] for row in data["rows"]}))
            if means
            else None
        )
    except (ValueError, KeyError, TypeError):
        return None
