"""How quick a candidate is beside the reference, from paired times. Flows in: the seconds of both for the
same inputs, pair by pair. Flows out: the median ratio with a confidence bound that assumes no
distribution."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

CONFIDENCE = 0.95


def bounds_of_median(samples: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Bounds between which the median of what was sampled lies, by the sign test (order statistics: W. J.
    Conover, "Practical Nonparametric Statistics", section 3.2). With fewer samples than the confidence needs
    (6 for 95 %): zero and infinity."""
    ordered = sorted(samples)
    count, below, rank = len(ordered), 0.0, 0
    while True:
        below += math.comb(count, rank) / 2**count
        if below > (1 - confidence) / 2 or rank >= count // 2:
            break
        rank += 1
    if rank == 0:
        return 0.0, math.inf
    return ordered[rank - 1], ordered[count - rank]


def ratio(candidate: Sequence[float], reference: Sequence[float]) -> tuple[float, float, float]:
    """The median of the reference's time over the candidate's, pair by pair, and its bounds."""
    ratios = [theirs / ours for ours, theirs in zip(candidate, reference, strict=True)]
    return (statistics.median(ratios), *bounds_of_median(ratios))
