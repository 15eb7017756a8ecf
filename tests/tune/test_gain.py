"""What a search gains: a case's row, its record, the page's sections; and the model is judged by what it
says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from anychip.bench import suite
from anychip.bench.report import circumstances
from anychip.tune import gain, gain_page
from anychip.tune.errors import TuneError
from anychip.tune.gain import Gain
from anychip.tune.search import HOPELESS

ROW = Gain(
    "exp f32 8",
    "chains",
    2e-3,
    1e-3,
    {"unroll": 4},
    [(1.0, 2e-3), (0.9, 1e-3), (2 * HOPELESS, 0.5e-3), (2 * HOPELESS, 4e-3)],
)
TERMS = {"clock": "Wall time", "seconds": 1.0, "threads": 1}


def test_a_row_tells_gain_and_how_good_the_model_is() -> None:
    assert ROW.gain == 2.0
    assert ROW.left == [2e-3, 1e-3]
    assert ROW.loss == 2.0, "the model would have left out the best"
    assert ROW.rank is None, "too few candidates"
    told = replace(ROW, candidates=[(k + 1.0, 1e-3 * (k + 1)) for k in range(10)])
    assert told.rank == pytest.approx(1.0)
    assert gain.rank_correlation([1, 2, 3, 4], [9, 7, 7, 1]) == pytest.approx(-0.9486833)
    assert gain.rank_correlation([1, 1], [1, 2]) is None


def test_a_case_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(10**6))
    (case,) = suite.cases(["exp f32 256x1024"])
    row = gain.measure(case, 0.5, lambda: next(times) * 1e-2, ("unroll",))
    assert row.case == "exp f32 256x1024"
    assert (row.gain, dict(row.changed)) == (1.0, {}), "every call takes as long by this clock"
    assert len(row.candidates) >= 3, "sizes of the blocks"
    assert all(seconds > 0 for _, seconds in row.candidates)
    assert sum(cost > 0 for cost, _ in row.candidates) > len(row.candidates) // 2


def test_a_case_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = suite.cases(["exp f32 256x1024"])

    def fail() -> None:
        raise ValueError("no such size")

    with pytest.raises(TuneError, match="no such size"):
        gain.measure(replace(case, make=fail), 1.0, lambda: 0.0, ())


def test_a_record_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    gain.save(file, [ROW], circumstances("anychip tune gain"), TERMS)
    (row,), where, terms = gain.load(file)
    assert (row.case, row.gain, row.left) == (ROW.case, ROW.gain, ROW.left)
    assert (where.command, terms) == ("anychip tune gain", TERMS)
    file.write_text("{}")
    with pytest.raises(TuneError, match="no record"):
        gain.load(file)


def test_the_pages_sections_say_what_the_rows_say() -> None:
    even = replace(ROW, case="log f32 8", tuned=2e-3, changed={})
    sections = gain_page.sections([ROW, even], circumstances("anychip tune gain"), TERMS)
    assert "1.414 (geometric mean of 2 cases)" in sections["gain"]
    assert "| chains | 2 | 1.414 | 2.00 | 1 |" in sections["gain"]
    assert "unroll=4" in sections["gain"]
    assert "log f32 8" not in sections["gain"], "rows where something was found"
    assert "8 distinct candidates" in sections["model"]
    assert "| aarch64 | model |" in sections["defaults"]
