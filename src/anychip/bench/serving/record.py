"""The record of served models' rates, `evidence/serve/rates.json`, and its tables. Flows in: rates. Flows
out: a file with a run for each model, number of threads and processor, and the text of a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...markdown import numbers, table
from ..errors import BenchmarkError
from ..report import Circumstances
from .rates import KINDS, OURS, READ, Rates, Seconds, Start, above_reading, geometric_mean, least, ratio


@dataclass(frozen=True, slots=True)
class Run:
    """Rates, where and when they were measured, and the commit of what was measured."""

    rates: Rates
    where: Circumstances
    commit: str

    @property
    def key(self) -> tuple[str, int, str]:
        """What a later run replaces."""
        return self.rates.model, self.rates.threads, self.where.processor


def load(file: Path) -> list[Run]:
    """The runs of a record, none where there is no file. Raises BenchmarkError for another file."""
    if not file.exists():
        return []
    try:
        return [_run(data) for data in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchmarkError(
            f"cannot read {file}: {error}; `anychip bench serve --record FILE` writes such a file."
        ) from error


def add(file: Path, run: Run) -> None:
    """Put a run in the place of an earlier one of its key, or behind the others."""
    runs = {each.key: each for each in load(file)} | {run.key: run}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([to_data(each) for each in runs.values()], indent=1) + "\n", encoding="utf-8")


def to_data(run: Run) -> dict[str, Any]:
    """A run as plain data, rounds in microseconds a token [by the clock, of the processor]."""
    rates = run.rates
    rounds = {
        kind: {
            name: [[round(1e6 * s.wall, 2), round(1e6 * s.processor, 2)] for s in found]
            for name, found in candidates.items()
        }
        for kind, candidates in rates.rounds.items()
    }
    return {
        "commit": run.commit,
        "circumstances": asdict(run.where),
        **{name: getattr(rates, name) for name in ("model", "threads", "weight_bytes", "versions")},
        "start": None if rates.start is None else asdict(rates.start),
        "rounds": rounds,
    }


def _run(data: Mapping[str, Any]) -> Run:
    rounds = {
        kind: {name: [Seconds(w / 1e6, p / 1e6) for w, p in found] for name, found in candidates.items()}
        for kind, candidates in data["rounds"].items()
    }
    start = None if data["start"] is None else Start(**data["start"])
    rates = Rates(data["model"], data["threads"], data["weight_bytes"], data["versions"], rounds, start)
    return Run(rates, Circumstances(**data["circumstances"]), data["commit"])


# ---- text -----------------------------------------------------------------------------------------

HEADS = ("", "candidate", "tokens/s", "of the processor", "ours / theirs", "of the processor ")


def rows(rates: Rates) -> list[tuple[str, ...]]:
    """A row for each kind of task and candidate, by HEADS."""
    made: list[tuple[str, ...]] = []
    for kind, candidates in rates.rounds.items():
        if kind == READ:
            continue
        for name, found in candidates.items():
            best = least(found)
            ratios = ("", "")
            if name != OURS:
                against = ratio(candidates, name)
                ratios = f"{against.wall:.2f}", f"{against.processor:.2f}"
            label = KINDS[kind].label if name == OURS else ""
            made.append((label, name, f"{1 / best.wall:.1f}", f"{1 / best.processor:.1f}", *ratios))
    return made


def remarks(rates: Rates) -> list[str]:
    """Sentences on what has no row: means, the read roof, starts, memory."""
    made: list[str] = []
    tasks = {kind: found for kind, found in rates.rounds.items() if kind != READ}
    for peer in [name for name in rates.versions if name != OURS]:
        against = [ratio(found, peer) for found in tasks.values()]
        words = [
            f"{what} {geometric_mean(numbers):.2f} in the geometric mean, {min(numbers):.2f} at worst"
            for what, numbers in (
                ("by the clock", [r.wall for r in against]),
                ("of the processor", [r.processor for r in against]),
            )
        ]
        made.append(f"Ours / {peer}: {'; '.join(words)}.")
    above = above_reading(rates)
    if above is not None:
        reading = least(rates.rounds[READ][OURS])
        made.append(
            f"Reading the {rates.weight_bytes / 1e6:.0f} MB of weights takes {1e3 * reading.wall:.1f} ms; a "
            f"token takes {above.wall:.2f} times that by the clock, {above.processor:.2f} of the processor."
        )
    if rates.start is not None:
        made.append(
            f"First token {rates.start.cold:.1f} s after the process's start with empty caches, "
            f"{rates.start.warm:.1f} s with warm ones; {rates.start.memory / 1e6:.0f} MB of memory above the "
            "weights and the imports."
        )
    return made


def text(runs: list[Run]) -> str:
    """All runs as a page has them."""
    made: list[str] = []
    for run in runs:
        versions = ", ".join(f"{name}: {version}" for name, version in run.rates.versions.items())
        count = len(next(iter(run.rates.rounds.values()))[OURS])
        made += [
            f"### {run.rates.model}, {run.rates.threads} thread{'s' if run.rates.threads > 1 else ''}",
            f"{run.where.sentence()}; commit {run.commit}. {versions}. The least of {count} rounds.",
            table([*numbers(HEADS)[:1], HEADS[1], *numbers(HEADS)[2:]], rows(run.rates)),
            *remarks(run.rates),
        ]
    return "\n\n".join(made)
