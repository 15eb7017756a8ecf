"""The machine's limits: interpolation between footprints and the least time of a row."""

from __future__ import annotations

import pytest

from anychip.bench.roofs import Roofs

ROOFS = Roofs(threads=1, bandwidth={1 << 10: 100.0, 1 << 12: 50.0, 1 << 14: 10.0}, operations={"f32": 1000.0})


@pytest.mark.parametrize(
    ("footprint", "expected"),
    [(1, 100.0), (1 << 10, 100.0), (1 << 11, 75.0), (1 << 12, 50.0), (1 << 20, 10.0)],
)
def test_bandwidth_between_measured_footprints(footprint: int, expected: float) -> None:
    assert ROOFS.bytes_per_second(footprint) == pytest.approx(expected)


def test_least_time_is_of_the_tighter_limit() -> None:
    assert ROOFS.least_seconds(1 << 10, 0.0, "f32") == pytest.approx(10.24)
    assert ROOFS.least_seconds(1 << 10, 1e6, "f32") == pytest.approx(1000.0)
    assert ROOFS.least_seconds(1 << 10, 1e6, "f16") == pytest.approx(1000.0)
    assert ROOFS.least_seconds(1 << 10, 1e6, "i32") == pytest.approx(10.24)
