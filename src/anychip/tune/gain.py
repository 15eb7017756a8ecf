"""How much a search gains over what ships, on the benchmark's suite, and how good the cost model is.

Flows in: cases of `bench.suite`, a budget for each, a clock. Flows out: a `Gain` for each, plain data. Every
distinct candidate is measured, those too that the cost model would leave out, so that it can be judged.
"""

from __future__ import annotations

import functools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from ..bench.case import Case
from ..bench.report import Circumstances
from ..compiler.schedule.choices import VALUES
from ..ops import tuned
from ..ops.launching import Tiles
from ..pytorch.policy import disabled
from .budget import Budget
from .errors import TuneError
from .search import HOPELESS
from .workload import WORTH, Clock, Searcher, Workload

ONE_THREAD = tuple(name for name in VALUES if name != "grain")
"""The choices that one thread can tell apart."""
TOLERANCE = 1.1
"""Shipped sizes and rules are meant to take at most so many times as long as tuned ones."""
TOLD_APART = 8
"""Candidates that a rank correlation wants at least."""
SPREAD = 1.2
"""Ratio of the slowest candidate's time to the fastest's below which their order is noise."""


@dataclass(frozen=True, slots=True)
class Gain:
    """One case. `shipped` and `tuned` are seconds of a call with what ships and with what was found best,
    which differs in `changed`; equal where nothing is clearly faster. `candidates` are what the cost model
    expected of each that was measured, as a multiple of what ships (0: it cannot tell), and its seconds."""

    case: str
    family: str
    shipped: float
    tuned: float
    changed: Mapping[str, int | str] = field(default_factory=dict)
    candidates: Sequence[Sequence[float]] = ()

    @property
    def gain(self) -> float:
        """Shipped time over tuned time."""
        return self.shipped / self.tuned

    @property
    def left(self) -> list[float]:
        """Seconds of the candidates that the cost model leaves in."""
        return [seconds for cost, seconds in self.candidates if cost <= HOPELESS]

    @property
    def loss(self) -> float:
        """How many times as long as the best of all takes the best of those that the cost model leaves in;
        what ships is always one."""
        best = min((seconds for _, seconds in self.candidates), default=self.shipped)
        return max(1.0, min([*self.left, self.shipped]) / best)

    @property
    def rank(self) -> float | None:
        """Spearman's correlation of expected and measured times; None where too few candidates differ."""
        rated = [(cost, seconds) for cost, seconds in self.candidates if cost]
        times = [seconds for _, seconds in rated]
        if len(rated) < TOLD_APART or max(times) < SPREAD * min(times):
            return None
        return rank_correlation([cost for cost, _ in rated], times)


def workload(case: Case, choices: tuple[str, ...]) -> Workload:
    """The case as calls whose tiles can be searched. Raises what the case raises."""
    work = case.make()
    call = functools.partial(work.ours, *work.arguments)
    with disabled(), torch.no_grad(), tuned.reads() as read:
        call()
    names = {tiles: name for name, tiles in tuned.named().items()}
    tiles: dict[str, Tiles] = {}
    for found, _ in read:
        tiles.setdefault(names.get(found, found.home), found)
    tensors = [x for x in tree_leaves(work.arguments) if isinstance(x, torch.Tensor)]
    elements = max((x.numel() for x in tensors), default=0)
    return Workload(case.label, tiles, (case.name,), (call,), elements, choices)


def measure(case: Case, seconds: float, clock: Clock, choices: tuple[str, ...]) -> Gain:
    """Search for `seconds`, then time what ships against the best found. Raises TuneError for a case that
    does not run."""
    try:
        subject = workload(case, choices)
        searcher = Searcher(subject, Budget(seconds, clock), clock, model=False)
        steps = list(searcher.steps())
    except Exception as error:
        raise TuneError(f"{case.label}: {type(error).__name__}: {error}") from error
    best = steps[-1].best if steps else subject.shipped()
    searcher.budget = Budget(seconds, clock)
    shipped, found = searcher.confirm(best)
    if found >= WORTH * shipped:
        best, found = subject.shipped(), shipped
    start = subject.shipped()
    base = searcher.expect(start).cost
    expected = [searcher.expect(step.sizes).cost for step in steps]
    return Gain(
        case.label,
        case.family,
        shipped,
        found,
        {name: value for name, value in best.items() if value != start[name]},
        [((c or 0.0) / base if base else 0.0, step.seconds) for step, c in zip(steps, expected, strict=True)],
    )


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's coefficient; None where either does not vary."""
    try:
        return statistics.correlation(_ranks(first), _ranks(second))
    except statistics.StatisticsError:
        return None


def _ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value; equal values share the mean of theirs."""
    order = sorted(values)
    return [order.index(v) + (order.count(v) - 1) / 2 for v in values]


def geometric_mean(values: Sequence[float]) -> float:
    """One for no values."""
    return math.exp(statistics.fmean(map(math.log, values))) if values else 1.0


# --- the record -----------------------------------------------------------------------------------
def save(file: Path, rows: Sequence[Gain], where: Circumstances, terms: Mapping[str, Any]) -> None:
    """Write a record, a row a line."""
    head = json.dumps({"circumstances": asdict(where), "terms": dict(terms)}, indent=1)
    lines = ",\n".join("  " + json.dumps(_rounded(asdict(row))) for row in rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'{head[:-2]},\n "rows": [\n{lines}\n ]\n}}\n', encoding="utf-8")


def load(file: Path) -> tuple[list[Gain], Circumstances, dict[str, Any]]:
    """The rows of a record, where it was made and how. Raises TuneError for another file."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        known = {f.name for f in fields(Gain)}
        rows = [Gain(**{k: v for k, v in row.items() if k in known}) for row in data["rows"]]
        return rows, Circumstances(**data["circumstances"]), data["terms"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TuneError(f"{file} is no record of `anychip tune gain --record`: {error}") from error


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list | tuple) else value
