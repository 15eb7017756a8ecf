"""Bounds of the median, against SciPy's own quantile test, and against what is drawn."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from anychip.author import timing


@pytest.mark.parametrize("count", [6, 7, 15, 21, 50])
def test_bounds_are_those_of_scipys_quantile_test(count: int) -> None:
    samples = [random.Random(count).gauss(0, 1) + k * 1e-6 for k in range(count)]
    interval = stats.quantile_test(samples, q=0, p=0.5).confidence_interval(0.95)
    assert timing.bounds_of_median(samples) == pytest.approx((interval.low, interval.high))


def test_few_samples_bound_nothing() -> None:
    assert timing.bounds_of_median([1.0, 2.0, 3.0, 4.0, 5.0]) == (0.0, math.inf)


def test_the_median_is_mostly_inside() -> None:
    chance = random.Random(3)
    inside = 0
    for _ in range(500):
        low, high = timing.bounds_of_median([chance.expovariate(1.0) for _ in range(21)])
        inside += low <= math.log(2) <= high
    assert inside >= 465


def test_ratios_are_of_pairs() -> None:
    ours, theirs = [1.0, 10.0, 100.0] * 3, [2.0, 20.0, 200.0] * 3
    assert timing.ratio(ours, theirs) == (2.0, 2.0, 2.0)
