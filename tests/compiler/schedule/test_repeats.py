"""Where a sequence repeats itself is found for any period, in a time in proportion to its length."""

from __future__ import annotations

import pytest

from anychip.compiler.schedule import repeats
from anychip.compiler.schedule.repeats import Stretch, longest_repetition


@pytest.mark.parametrize("period", [1, 2, 7, 40, 500])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 0), (2, 5)])
def test_a_period_is_found(period: int, before: int, after: int) -> None:
    body = [k * k % 11 if k else 12 for k in range(period)]
    sequence = [100 + k for k in range(before)] + body * 9 + [200 + k for k in range(after)]
    assert longest_repetition(sequence) == Stretch(before, 9 * period, period)


def test_the_longer_period_spares_more() -> None:
    """Repetitions within repetitions are one body."""
    body = [1, 2] * 20 + [3, 4, 5]
    assert longest_repetition(body * 10) == Stretch(0, 430, 43)


def test_a_stretch_need_not_end_with_a_period() -> None:
    assert longest_repetition([1, 2, 3] * 4 + [1, 2]) == Stretch(0, 14, 3)


def test_what_never_comes_again_has_no_stretch() -> None:
    for sequence in ([], [1], list(range(100)), [1, 2, 3, 1, 4, 5, 1]):
        assert longest_repetition(sequence) is None


def test_only_a_few_periods_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the sequence is, so that the time grows no faster than it."""
    tried: list[int] = []
    run = repeats._longest_run
    monkeypatch.setattr(repeats, "_longest_run", lambda seq, period: tried.append(period) or run(seq, period))
    for length in (300, 3000):
        tried.clear()
        longest_repetition([pow(3, k, 1009) % 5 for k in range(length)])
        assert len(tried) <= repeats.CANDIDATES * len(repeats.WINDOWS)
