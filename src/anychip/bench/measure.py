"""Interleaved timing of several candidates in one process.

Flows in: named callables. Flows out: for each one the median and quartiles of its times, and for each
but the first the ratio of its time to the first one's, pair by pair, so that what disturbs the machine
disturbs both sides of a ratio alike.
"""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .quiet import Watch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's `mallopt` (malloc.h)."""


@dataclass(frozen=True, slots=True)
class TimingBudget:
    """How long to measure: `rounds` interleaved samples a candidate, each a run of as many calls as
    take `sample_seconds`, less where `seconds` (all candidates of a row together) would be passed.
    `clock`: wall time, or `time.process_time` for what the processor spends on this process alone."""

    rounds: int = 21
    least_rounds: int = 5
    sample_seconds: float = 0.002
    seconds: float = 2.5
    warm_up: int = 2
    clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, quartiles and least of some samples."""

    median: float
    low: float
    high: float
    least: float

    @staticmethod
    def of(samples: Sequence[float]) -> Spread:
        """The spread of at least two samples."""
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return Spread(median, low, high, min(samples))


@dataclass(frozen=True, slots=True)
class Measurement:
    """`times`: seconds of one call by candidate. `ratios`: a candidate's time over the first one's,
    pair by pair. `disturbed`: why the machine was not quiet meanwhile, empty if it was."""

    times: Mapping[str, Spread]
    ratios: Mapping[str, Spread]
    rounds: int
    disturbed: str


def keep_memory() -> None:
    """Make the C library reuse freed memory instead of giving it back to the system.

    Results are allocated by every candidate alike; without this, page faults of fresh memory are
    most of the time of a kernel that is bound by memory. Does nothing without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], budget: TimingBudget | None = None
) -> Measurement:
    """Time the candidates in turns: A B C A B C ... Each is called `budget.warm_up` times before."""
    budget = budget or TimingBudget()
    single = {name: _warmed(call, budget) for name, call in candidates.items()}
    calls = {name: max(1, int(budget.sample_seconds / seconds)) for name, seconds in single.items()}
    one_round = sum(single[name] * calls[name] for name in candidates)
    rounds = max(budget.least_rounds, min(budget.rounds, int(budget.seconds / one_round)))
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    collecting = gc.isenabled()
    gc.disable()
    watch = Watch()
    try:
        for _ in range(rounds):
            for name, call in candidates.items():
                samples[name].append(_timed(call, calls[name], budget.clock))
    finally:
        if collecting:
            gc.enable()
    disturbed = watch.disturbance()
    first = next(iter(candidates))
    ratios = {
        name: Spread.of([theirs / ours for ours, theirs in zip(samples[first], samples[name], strict=True)])
        for name in candidates
        if name != first
    }
    return Measurement({name: Spread.of(times) for name, times in samples.items()}, ratios, rounds, disturbed)


def _warmed(call: Callable[[], Any], budget: TimingBudget) -> float:
    """Seconds of one call once it is warm, by the budget's clock, which may wait for a device."""
    for _ in range(budget.warm_up):
        call()
    return max(min(_timed(call, 1, budget.clock) for _ in range(2)), 1e-7)


def _timed(call: Callable[[], Any], calls: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(calls):
        call()
    return (clock() - start) / calls
