"""Tile sizes for cores that are not at hand, by the cost model alone: nothing is timed. Flows in: a workload,
and cores as their makers publish them. Flows out: the sizes that the model expects to be clearly faster than
the shipped ones on every one of these cores.

The model is trusted where it sees all: calls of one launch each, and sizes not far from the shipped ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..compiler import targets
from ..pytorch.policy import disabled
from . import machine
from .budget import Budget
from .machine import Machine
from .search import Point, descend
from .trial import SEPARATOR
from .workload import Searcher, Workload

CLEAR = 0.8
"""Part of the shipped sizes' cycles that other sizes must stay below: the model is not exact."""

FAR = 4
"""A size is changed by less than this factor, or by it."""


def cores(names: Sequence[str] = machine.SERVERS) -> list[Machine]:
    """The cores by LLVM's names."""
    return [machine.published(targets.get(name)) for name in names]


def sizes(workload: Workload, wanted: Sequence[Machine], seconds: float) -> dict[str, int]:
    """Sizes that differ from the shipped ones, by the names that the set of tiles has for them; none where
    the model sees no clear gain."""
    searcher = Searcher(replace(workload, choices=()), Budget(seconds))
    start = searcher.workload.shipped()
    with disabled(), torch.no_grad():
        searcher.begin()
        if len(searcher.launched(start)) != len(workload.calls):
            return {}

        def cycles(point: Point) -> list[float | None]:
            found = []
            for core in wanted:
                searcher.core = core
                found.append(searcher.expect(point).cost)
            return found

        shipped = cycles(start)

        def relative(points: list[Point]) -> list[float | None]:
            return [_worst(cycles(p), shipped) if _is_near(p, start) else None for p in points]

        best, least = start, 1.0
        for step in descend(start, searcher.space(), relative, searcher.budget):
            best, least = step.best, step.best_seconds
    if least > CLEAR:
        return {}
    return {name.rpartition(SEPARATOR)[2]: int(value) for name, value in best.items() if value != start[name]}


def _is_near(point: Point, start: Point) -> bool:
    return all(
        int(start[name]) <= FAR * int(value) <= FAR * FAR * int(start[name]) for name, value in point.items()
    )


def _worst(found: Sequence[float | None], shipped: Sequence[float | None]) -> float | None:
    """The largest of the ratios; None where one is not known."""
    ratios = [a / b for a, b in zip(found, shipped, strict=True) if a and b]
    return max(ratios) if len(ratios) == len(found) else None
