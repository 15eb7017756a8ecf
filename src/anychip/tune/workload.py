"""Calls whose tiles and schedules are searched together. Flows in: a workload, a budget, a clock. Flows out:
each candidate with its time and with what the cost model expected of it; in the end, the shipped point
against the best one, measured once more.

A candidate that computes something else than the shipped point, but for the order of sums, is none.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from ..compiler.schedule.choices import VALUES
from ..compiler.targets.host import host
from ..ops.launching import Tiles
from ..pytorch.policy import disabled
from . import cost, machine
from .budget import Budget
from .errors import TuneError
from .machine import Machine
from .search import CHOICES, Expected, Point, Space, Step, descend
from .trial import SEPARATOR, Launched, Unseen, choices_of, trying

_log = logging.getLogger(__name__)

ROUNDS = 5
CONFIRMED = 9
"""Rounds of the last measurement."""
SHORT = 300e-6
"""Seconds that a sample takes at least: shorter calls are repeated."""
TENSORS = 3
"""Tiles that a program of a kernel holds at once, by the bounds."""
MOST = 1 << 14
SQUARE = "square"
"""The size that is a side of a square block."""
WORTH = 0.97
"""A point is kept where its time is below this part of that of the shipped one."""

Call = Callable[[], Any]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Workload:
    """`calls` (of `overloads`, or other words for them) that read `tiles`, with tensors of at most
    `elements`. `choices` are the scheduler's that are searched over."""

    name: str
    tiles: Mapping[str, Tiles]
    overloads: tuple[str, ...]
    calls: tuple[Call, ...]
    elements: int
    choices: tuple[str, ...] = tuple(VALUES)

    def shipped(self) -> dict[str, int | str]:
        """The point to begin with: sizes as they ship, and the scheduler's own rules."""
        sizes = {
            f"{name}{SEPARATOR}{size}": value
            for name, tiles in self.tiles.items()
            for size, value in tiles.simd.items()
            if value
        }
        return {**sizes, **{name: CHOICES[name][0] for name in self.choices}}


@dataclass
class Searcher:
    """The search over one workload. `model`: whether the cost model prunes. `core`: what it is asked about
    (None: this machine)."""

    workload: Workload
    budget: Budget
    clock: Clock = time.perf_counter
    model: bool = True
    core: Machine | None = None
    _expected: list[list[torch.Tensor]] = field(default_factory=list)
    _launched: dict[tuple[Any, ...], list[Launched]] = field(default_factory=dict)
    _asked_for: dict[tuple[Any, ...], tuple[list[Launched], bool]] = field(default_factory=dict)
    _estimates: dict[tuple[Any, ...], cost.Estimate] = field(default_factory=dict)

    def steps(self) -> Iterator[Step]:
        """The steps of the search; the last one's `best` is the result. Nothing stays in force."""
        space = self.space()
        with disabled(), torch.no_grad():
            start = self.workload.shipped()
            self.begin()
            expect = self.expect if self.model else self._code_alone
            yield from descend(start, space, self.times, self.budget, expect)

    def space(self) -> Space:
        """What is searched over."""
        workload = self.workload
        return Space(
            bytes=host().cache_bytes,
            element_bytes=4 * TENSORS,
            elements=workload.elements,
            programs=torch.get_num_threads(),
            most=MOST,
            alternatives={name: CHOICES[name] for name in workload.choices},
            sides=frozenset(n for n in workload.shipped() if n.endswith(SEPARATOR + SQUARE)),
        )

    def confirm(self, best: Point) -> tuple[float, float]:
        """Seconds of the shipped point and of `best`, in turns: the least of many candidates is partly
        luck."""
        with disabled(), torch.no_grad():
            self.begin()
            shipped, found = self.times([self.workload.shipped(), best], CONFIRMED)
        return (shipped, found) if shipped is not None and found is not None else (1.0, 1.0)

    def launched(self, point: Point) -> list[Launched]:
        """The kernels that the calls launch with a point."""
        with disabled(), torch.no_grad(), trying(point, self.workload.tiles) as seen:
            for call in self.workload.calls:
                call()
        return seen

    def times(self, candidates: list[Point], rounds: int = ROUNDS) -> list[float | None]:
        """Seconds of all calls together for each candidate, in turns; None for what fails or differs."""
        times: list[float | None] = [math.inf] * len(candidates)
        repeats = [1] * len(candidates)
        for done in range(rounds):
            if done and self.budget.over:
                break
            for k, point in enumerate(candidates):
                least = times[k]
                if least is None:
                    continue
                try:
                    seconds = self._sample(point, repeats[k], compared=not done)
                except Exception as error:  # sizes that a kernel cannot take
                    _log.debug("%s %s: %s", self.workload.name, dict(point), error)
                    times[k] = None
                    continue
                times[k] = min(least, seconds)
                repeats[k] = max(1, min(100, int(SHORT / seconds))) if seconds > 0 else 1
        return times

    def _sample(self, point: Point, repeats: int, compared: bool) -> float:
        with trying(point, self.workload.tiles) as seen:
            results = [call() for call in self.workload.calls]
            self._launched.setdefault(_sizes(point), list(seen))
            self._asked_for.pop(_sizes(point), None)
            if compared and not alike([leaves(r) for r in results], self._expected):
                raise TuneError(f"{self.workload.name} {dict(point)}: another result")
            start = self.clock()
            for _ in range(repeats):
                for call in self.workload.calls:
                    call()
            return (self.clock() - start) / repeats

    def begin(self) -> None:
        """Run the calls as they ship: what they give is what candidates must give."""
        start = self.workload.shipped()
        if not self._expected:
            with trying(start, self.workload.tiles) as seen:
                self._expected = [leaves(call()) for call in self.workload.calls]
            self._launched[_sizes(start)] = list(seen)

    def _code_alone(self, point: Point) -> Expected:
        return Expected(None, self.expect(point).code)

    # --- what the cost model says ------------------------------------------------------------------
    def expect(self, point: Point) -> Expected:
        """Cycles of the calls' launches by the cost model. Where a kernel is not compiled yet, it and those
        before it count, and those that come after it are taken to be as they ship."""
        sizes = _sizes(point)
        shipped = self._launched[_sizes(self.workload.shipped())]
        if sizes not in self._asked_for and sizes not in self._launched:
            self._asked_for[sizes] = self._asked(point, shipped)
        launched, whole = self._asked_for.get(sizes) or (self._launched[sizes], True)
        try:
            found = [self._of(launch, point) for launch in launched]
        except Exception as error:  # of our compiler's or of Triton's front end: measuring will tell
            _log.debug("%s %s: no estimate: %s", self.workload.name, dict(point), error)
            return Expected()
        cycles = sum(estimate.cycles for estimate in found)
        return Expected(cycles or None, tuple(e.code for e in found) if found and whole else None)

    def _asked(self, point: Point, shipped: list[Launched]) -> tuple[list[Launched], bool]:
        """What would be launched with a point, as far as it is known without compiling anything, and whether
        that is all."""
        plain = {n: v for n, v in point.items() if n not in self.workload.choices}
        try:
            with trying(plain, self.workload.tiles, compile=False) as seen:
                for call in self.workload.calls:
                    call()
        except Unseen as stopped:
            known = [*stopped.before, stopped.launched]
            return [*known, *shipped[len(known) :]], len(known) >= len(shipped)
        except Exception as error:  # sizes that the operator refuses: measuring will tell
            _log.debug("%s %s: %s", self.workload.name, dict(point), error)
            return [], False
        return list(seen), True

    def _of(self, launched: Launched, point: Point) -> cost.Estimate:
        choices = choices_of(point)
        key = (id(launched), str(choices), self.core)
        if key not in self._estimates:
            core = self.core or machine.this(torch.get_num_threads())
            self._estimates[key] = cost.estimate(
                launched.ttir(), launched.arguments, launched.grid, choices, core, launched.bytes
            )
        return self._estimates[key]


def _sizes(point: Point) -> tuple[Any, ...]:
    return tuple(sorted((name, value) for name, value in point.items() if SEPARATOR in name))


def leaves(result: Any) -> list[torch.Tensor]:
    """Copies of the tensors of a result."""
    return [x.clone() for x in tree_leaves(result) if isinstance(x, torch.Tensor)]


def alike(found: list[list[torch.Tensor]], expected: list[list[torch.Tensor]]) -> bool:
    """Whether results are equal but for the order of sums."""
    return all(
        a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-3, atol=1e-3, equal_nan=True)
        for ours, theirs in zip(found, expected, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
