"""The record of the operators' speed: written, read again, gone on with, shown, explained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from anychip.bench import explanations, speed_page, speed_record
from anychip.bench.errors import BenchmarkError
from anychip.bench.explanations import CALL, Explanation, explanation
from anychip.bench.operator_speed import Speed
from anychip.bench.report import Circumstances
from anychip.ops.registry import overloads

WHERE = Circumstances("a chip", 2, 1, "2026-01-01", "anychip bench ops", {"torch": "2"})
TERMS = {"threads": 1, "clock": "wall time"}


def speed(overload: str, ratio: float, size: str = "large", **more: object) -> Speed:
    made = Speed(overload, overload, "elementwise", size, "8x8", 1e-3, ratio * 1e-3, ratio, ratio, ratio, 3)
    return replace(made, **more)


def test_a_record_comes_back(tmp_path: Path) -> None:
    rows = [speed("exp", 2.0), speed("sin", 0.25, wrong="wrong by 1"), speed("cos", 0.0, refused="no")]
    file = tmp_path / "new" / "chip.json"
    speed_record.save(file, speed_record.to_data(rows, WHERE, TERMS))
    assert speed_record.load(file) == (rows, WHERE, TERMS)
    assert len(file.read_text().splitlines()) > len(rows)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"rows": [{}], "circumstances": {}, "terms": {}}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "chip.json"
    file.write_text(text)
    with pytest.raises(BenchmarkError, match="cannot read"):
        speed_record.load(file)


def test_new_rows_take_the_places_of_old_ones() -> None:
    old = [speed("exp", 1.0), speed("exp", 1.0, "small"), speed("abs", 1.0)]
    assert [(s.overload, s.size, s.ratio) for s in speed_record.merged(old, [speed("exp", 2.0)])] == [
        ("abs", "large", 1.0),
        ("exp", "small", 1.0),
        ("exp", "large", 2.0),
    ]


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "chip.unfinished"
    first = speed_record.Unfinished(file, TERMS)
    first.add(speed("exp", 2.0))
    with file.open("a") as stream:
        stream.write('{"overload": "si')
    assert speed_record.Unfinished(file, TERMS).speeds == {("exp", "large"): speed("exp", 2.0)}
    assert speed_record.Unfinished(file, {**TERMS, "threads": 2}).speeds == {}
    first.end()
    assert not file.exists()


def test_means_count_an_operator_once() -> None:
    rows = [
        speed("a", 4.0, operator="one"),
        speed("b", 1.0, operator="one"),
        speed("c", 0.5, operator="two"),
        speed("d", 9.0, operator="three", wrong="wrong by 1"),
        speed("e", 8.0, "small", operator="three"),
    ]
    ((domain, count, of_overloads, small, large),) = speed_page.means(rows)
    assert (domain, count, of_overloads) == ("elementwise", "3", "5")
    assert (small, large) == ("8.00", "1.00")


def test_explanations() -> None:
    known = [Explanation(("s*",), "it is hard", ("large",))]
    assert explanation(speed("sin", 0.4), known) == "it is hard"
    assert explanation(speed("sin", 0.6), known) == ""
    assert explanation(speed("sin", 0.4, "small"), known) == ""
    assert explanation(speed("exp", 0.4), known) == ""
    assert explanation(speed("exp", 0.4, ours=10e-6, native=1e-6), known) == CALL
    assert explanation(speed("exp", 0.4, ours=14e-6, native=1e-6), known) == ""


def test_every_explanation_is_about_an_overload() -> None:
    for one in explanations.explanations():
        assert one.text
        assert set(one.sizes) <= {"small", "large"}
        for pattern in one.overloads:
            found = [name for name in overloads() if Explanation((pattern,), "").about(speed(name, 0.1))]
            assert found, f"{pattern} matches no overload"


def test_the_page() -> None:
    rows = [speed("exp", 2.0), speed("sin", 0.25), speed("cos", 0.0, refused="no kernel", ours=0.0)]
    text = speed_page.page(rows, WHERE, TERMS)
    assert "3 rows (3 overloads of 3 operators), 1 are under 0.5, 1 of them unexplained; 0 gave" in text
    assert "| [elementwise](operator-speed/elementwise.md) | 3 | 3 |  | 0.71 |" in text
    assert "| sin | large | 8x8 | 1.00 ms | 250 us | 0.25 | 0.25 to 0.25 | unexplained |" in text
    of_domain = speed_page.domain_page("elementwise", rows, WHERE, TERMS)
    assert "not served: no kernel" in of_domain
    assert "| exp | large | 8x8 |" in of_domain
    assert "| exp |" not in speed_page.domain_page("loss", rows, WHERE, TERMS)


def test_rows_hold_no_empty_fields() -> None:
    assert "wrong" not in json.dumps(speed("exp", 2.0).to_json())
