"""Which of two candidates is faster, found out on the calls that a program makes anyway. Flows in: the
times of those calls. Flows out: whose turn the next call is, and in the end a verdict.

Each call runs one candidate, so nothing is computed twice. PyTorch's own begins: a call that is made once
or twice never waits for a kernel of ours to be compiled.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, cycle, islice

NATIVE, OURS = "native", "ours"

WARM_UP = 1
"""First calls of each candidate that do not count: they compile, plan and allocate."""
CLEAR_SAMPLES, ALL_SAMPLES = 2, 6
"""Samples of each after which a clear difference, or any, decides."""
MOST_SAMPLES = 16
ENOUGH = 100e-6
"""Of calls that are shorter, samples are taken until they come to this many seconds, up to MOST_SAMPLES: what
a short call takes depends on what the one before left in the caches."""
CLEAR = 1.3
"""A difference by this factor is clear."""
MARGIN = 0.97
"""Ours is taken where its time is below this part of PyTorch's."""
DISCARDED = 24
"""Samples taken on a crowded machine that a trial throws away before it takes what it gets."""
DISPATCH = 1.5e-6
"""Seconds that any call through Python costs above a call of PyTorch's own: ours has to earn them. What it
is for an overload is measured, see `overhead`."""

TURNS = tuple(islice(chain([NATIVE, NATIVE, OURS, OURS], cycle([OURS, NATIVE, NATIVE, OURS])), 64))


@dataclass(slots=True)
class Trial:
    """Times of one overload and class of arguments so far; `verdict` is empty while it is open.
    `disturbed`: samples of a crowded machine had to be taken, so the verdict is not worth keeping."""

    clear_samples: int = CLEAR_SAMPLES
    all_samples: int = ALL_SAMPLES
    most_samples: int = MOST_SAMPLES
    overhead: float = DISPATCH
    verdict: str = ""
    calls: int = 0
    discarded: int = 0
    disturbed: bool = False
    samples: dict[str, list[float]] = field(default_factory=lambda: {NATIVE: [], OURS: []})
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def turn(self) -> str:
        """Who takes the next call."""
        if self.verdict:
            return self.verdict
        with self._lock:
            turn = TURNS[self.calls % len(TURNS)]
            self.calls += 1
        return turn

    def add(self, candidate: str, seconds: float, crowded: bool = False) -> bool:
        """Note the time of a call, and whether the machine was crowded; returns whether this one decided."""
        with self._lock:
            if self.verdict:
                return False
            if crowded and len(self.samples[candidate]) >= WARM_UP:
                if self.discarded < DISCARDED:
                    self.discarded += 1
                    return False
                self.disturbed = True
            self.samples[candidate].append(seconds)
            self.verdict = self._decided()
            return bool(self.verdict)

    def seconds(self) -> dict[str, float]:
        """The least time of each candidate, of the calls that count."""
        return {name: min(times[WARM_UP:]) for name, times in self.samples.items() if len(times) > WARM_UP}

    def _decided(self) -> str:
        fewest = min(map(len, self.samples.values())) - WARM_UP
        if fewest < self.clear_samples:
            return ""
        if fewest < self.most_samples and min(sum(t[WARM_UP:]) for t in self.samples.values()) < ENOUGH:
            return ""
        clear = CLEAR if fewest < self.all_samples else 1.0
        return verdict(self.seconds(), clear=clear, overhead=self.overhead)


def verdict(seconds: Mapping[str, float], clear: float = 1.0, overhead: float = DISPATCH) -> str:
    """The faster candidate by two times, PyTorch's own where they are about equal; empty where the
    difference is below the factor `clear`. `overhead` is what a call through Python costs."""
    ours, native = seconds[OURS] + overhead, seconds[NATIVE]
    if max(ours, native) < clear * min(ours, native):
        return ""
    return OURS if ours < MARGIN * native else NATIVE


def gain(seconds: Mapping[str, float], overhead: float = DISPATCH) -> float:
    """Seconds that a call saves which goes to ours instead of PyTorch's own; 0 where that is not known."""
    if NATIVE not in seconds or OURS not in seconds:
        return 0.0
    return seconds[NATIVE] - seconds[OURS] - overhead
