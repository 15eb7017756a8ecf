"""The promised figures: what counts as reached, and the launch that is measured."""

from __future__ import annotations

import pytest

from anychip.bench import figures, launching
from anychip.bench.figures import Figure
from anychip.bench.kernels.launches import three_pointers
from anychip.bench.measure import Spread
from anychip.bench.models import ModelRun, ModelSpeed
from anychip.runtime import launches


@pytest.mark.parametrize(
    ("value", "at_most", "reached"),
    [(1.0, True, True), (3.0, True, False), (1.0, False, False), (3.0, False, True), (None, True, None)],
)
def test_reached(value: float | None, at_most: bool, reached: bool | None) -> None:
    figure = Figure("what", value, "us", 2.0, at_most, "so")
    assert figure.reached is reached
    assert len(figure.cells()) == 5


def test_the_empty_launcher_launches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        launching, "BUDGET", launching.TimingBudget(rounds=3, sample_seconds=0.0, seconds=0.1)
    )
    before = launches.count(three_pointers.__name__)
    stock = launches.count("three_pointers_stock")
    ours_seconds, stock_seconds = launching.measure()
    assert launches.count(three_pointers.__name__) > before
    assert launches.count("three_pointers_stock") <= stock + 1
    assert ours_seconds > 0
    assert stock_seconds > 0


def test_compiling_is_timed_part_by_part() -> None:
    from tests.kernels.catalogue import CASES

    one = Spread(1.0, 1.0, 1.0, 1.0)
    run = ModelRun(
        [(name, CASES[name].ttir()) for name in ("add", "softmax")],
        cached_ms=1.5,
        speed=ModelSpeed(one, one, one, 0.0, 2, ""),
    )
    compiled, cached = figures._compiling(run)
    assert compiled.value is not None
    assert compiled.value > 0
    for part in ("parse", "verify", "schedule", "generate", "llvm"):
        assert part in compiled.how
    assert cached.value == 1.5
    assert [figure.value for figure in figures._compiling(None)] == [None, None]


def test_importing_does_not_import_torch() -> None:
    assert figures._import().value is not None
