"""Rows as text: nothing is lost on the way through JSON, tables have a cell for each heading."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from anychip.bench import comparison, report
from anychip.bench.errors import BenchmarkError
from anychip.bench.measure import Spread
from anychip.bench.roofs import Roofs
from anychip.bench.row import Row

ROOFS = Roofs(2, {1 << 15: 4e11, 1 << 20: 3e11, 1 << 28: 3e10}, {"f32": 4e11})


def spread(value: float) -> Spread:
    return Spread(value, value * 0.9, value * 1.1, value * 0.8)


ROW = Row(
    family="softmax and norms",
    name="softmax",
    dtype="f32",
    sizes=(4096, 1024),
    seconds={"anychip": spread(1e-3), "eager": spread(2e-3), "jax": spread(5e-4)},
    ratios={"eager": spread(2.0), "jax": spread(0.5)},
    errors={"anychip": 1e-7, "eager": 1e-7},
    gigabytes_per_second=33.5,
    gigaflops=12.0,
    roof=0.85,
    rounds=21,
    wrong="",
    disturbed="",
    notes=("onnxruntime: not exported",),
)
OTHER = replace(
    ROW, name="gelu", family="elementwise chains", seconds={"anychip": spread(1.0), "eager": spread(8.0)}
)
OTHER = replace(OTHER, ratios={"eager": spread(8.0)}, roof=None)


def test_json_there_and_back() -> None:
    where = report.circumstances("anychip bench kernels")
    text = json.dumps(report.data([ROW, OTHER], where, ROOFS))
    assert report.rows_of(json.loads(text)) == [ROW, OTHER]


def test_csv_has_a_value_for_each_heading() -> None:
    first, second = csv.DictReader(io.StringIO(report.as_csv([ROW, OTHER])))
    assert float(first["jax_median"]) == 5e-4
    assert second["jax_median"] == ""
    assert float(second["eager_ratio"]) == 8.0
    assert first["sizes"] == "4096x1024"


def test_table_and_markdown_have_a_cell_for_each_heading() -> None:
    rows = [ROW, OTHER]
    titles, names = report.headings(rows), report.peers(rows)
    for row in rows:
        assert len(report.cells(row, names)) == len(titles)
    text = report.as_markdown(rows, report.circumstances("anychip bench"), ROOFS)
    assert "| softmax | f32 | 4096x1024 | 1.00 ms | 2.00 | 0.50 |" in text
    assert "triad 400 at 32 KiB" in text


def test_summaries_are_geometric_means_of_right_rows() -> None:
    wrong = replace(ROW, wrong="wrong by 1")
    found = {summary.family: summary for summary in report.summaries([ROW, OTHER, wrong])}
    assert found["all"].against_eager == pytest.approx(4.0)
    assert found["all"].against_best == pytest.approx(2.0)
    assert found["softmax and norms"].wrong == 1


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (0.000456, "456 us"), (1.5e-6, "1.50 us"), (5e-7, "0.50 us")],
)
def test_duration(seconds: float, expected: str) -> None:
    assert report.duration(seconds) == expected


def test_comparison_tells_whether_quartiles_overlap() -> None:
    faster = replace(ROW, ratios={"eager": spread(4.0)})
    assert [row[-2:] for row in comparison.compare([ROW], [faster])] == [("2.00", "no")]
    assert [row[-1] for row in comparison.compare([ROW], [ROW])] == ["yes"]
    assert comparison.compare([ROW], [OTHER]) == []


def test_plot_is_written_in_the_format_of_its_name(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from anychip.bench.plot import plot

    plot([ROW, OTHER], tmp_path / "chart.svg")
    assert b"<svg" in (tmp_path / "chart.svg").read_bytes()
    plot([ROW], tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BenchmarkError, match="cannot write"):
        plot([ROW], tmp_path / "chart.nothing")
