"""`anychip bench`: formats, saved runs, refusals."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anychip.bench import roofs
from anychip.bench.roofs import Roofs
from anychip.cli.application import application
from anychip.errors import AnychipError

QUICK = ("--seconds", "0.05", "--threads", "1")


@pytest.fixture(autouse=True)
def known_roofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that need no measuring."""
    monkeypatch.setattr(roofs, "measure", lambda threads: Roofs(threads, {1 << 15: 1e11}, {"f32": 1e11}))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(application, ["bench", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_json_has_rows_and_circumstances() -> None:
    data = json.loads(run("kernels", "residual f32 256*", *QUICK, "-o", "json"))
    (row,) = data["rows"]
    assert row["name"] == "residual"
    assert row["wrong"] == ""
    assert set(row["seconds"]) == {"anychip", "eager"}
    assert data["circumstances"]["threads"] == 1


def test_a_saved_run_is_reported_and_compared(tmp_path: Path) -> None:
    saved = tmp_path / "run.json"
    text = run("kernels", "residual f32 256*", *QUICK, "-o", "csv", "--save", str(saved))
    (line,) = csv.DictReader(io.StringIO(text))
    assert float(line["anychip_median"]) > 0
    assert "| residual | f32 | 256x1024 |" in run("report", str(saved))
    (row,) = json.loads(run("compare", str(saved), str(saved), "-o", "json"))
    assert row["second/first"] == "1.00"


def test_an_operator() -> None:
    rows = json.loads(run("op", "softmax", *QUICK, "-o", "json"))["rows"]
    assert {row["name"] for row in rows} >= {"_softmax"}
    for row in rows:
        assert row["wrong"] == ""
        assert row["seconds"]["anychip"]["median"] > 0
        assert row["seconds"]["eager"]["median"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("kernels", "softmux"), "no kernel of the suite matches"),
        (("kernels", "softmax", "-o", "xml"), "the formats are"),
        (("kernels", "softmax", "--peer", "numpy"), "there is no peer 'numpy'"),
        (("op", "softmux"), "there is no operator"),
        (("report", "missing.json"), "cannot read"),
    ],
)
def test_refusals(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(AnychipError, match=message):
        run(*arguments)
