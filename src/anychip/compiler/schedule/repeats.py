"""Finds where a sequence repeats itself.

In: a sequence of numbers, equal for equal operations. Out: a stretch in which the same numbers come again
and again. The time taken is in proportion to the length of the sequence.
"""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

WINDOWS = (1, 8, 64)
"""Runs of operations whose distance to the next equal run is a candidate for the period."""
CANDIDATES = 4
"""Distances that are tried for each length of such runs."""
BASE, MODULUS = 1_000_003, (1 << 61) - 1
"""Of the polynomial that is a window's digest."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """`length` places from `start` on, each equal to the one `period` further that is still among them."""

    start: int
    length: int
    period: int

    @property
    def saved(self) -> int:
        """Places that are copies of the first period."""
        return self.length // self.period * self.period - self.period


def longest_repetition(sequence: Sequence[int]) -> Stretch | None:
    """The stretch of whole periods that spares most; None where nothing comes twice in a row."""
    best: Stretch | None = None
    for period in _candidates(sequence):
        found = _longest_run(sequence, period)
        if found.length >= 2 * period and (best is None or found.saved > best.saved):
            best = found
    return best


def _candidates(sequence: Sequence[int]) -> list[int]:
    """Likely periods, the shortest first: the commonest distances between equal windows."""
    found: set[int] = set()
    for window in WINDOWS:
        distances: Counter[int] = Counter()
        last: dict[int, int] = {}
        for place, key in enumerate(_digests(sequence, window)):
            if key in last:
                distances[place - last[key]] += 1
            last[key] = place
        found.update(distance for distance, _ in distances.most_common(CANDIDATES))
    return sorted(found)


def _digests(sequence: Sequence[int], window: int) -> list[int]:
    """A number for each window, as good as always another one for another window."""
    before, weight = [0], pow(BASE, window, MODULUS)
    for number in sequence:
        before.append((before[-1] * BASE + number + 1) % MODULUS)
    return [(last - weight * first) % MODULUS for first, last in zip(before, before[window:], strict=False)]


def _longest_run(sequence: Sequence[int], period: int) -> Stretch:
    """The longest run of places that are equal to those `period` further, with what the last are equal to."""
    equal = bytes(map(operator.eq, sequence, itertools.islice(sequence, period, None)))
    longest, start, place = 0, 0, 0
    for run in equal.split(b"\0"):
        if len(run) > longest:
            longest, start = len(run), place
        place += len(run) + 1
    return Stretch(start, longest + period if longest else 0, period)
