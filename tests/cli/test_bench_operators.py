"""`anychip bench ops`: formats, the record, the page."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anychip.bench import operator_speed
from anychip.bench.measure import TimingBudget
from anychip.bench.operator_speed import SizedOverload, Speed
from anychip.cli.application import application
from anychip.cli.errors import CommandError

measured: list[tuple[str, str]] = []


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds that need no measuring."""

    def measure(sized: SizedOverload, budget: TimingBudget) -> Speed:
        measured.append(sized.key)
        name, operator = sized.overload.name, sized.operator
        return Speed(name, operator.name, operator.domain, sized.size.name, "8", 1e-3, 2e-3, 2.0, 1.9, 2.1, 3)

    measured.clear()
    monkeypatch.setattr(operator_speed, "measure", measure)


def run(*arguments: str) -> str:
    words = ["bench", "ops", *arguments]
    result = CliRunner().invoke(application, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_formats() -> None:
    assert "2.00" in run("exp")
    (line,) = csv.DictReader(io.StringIO(run("exp", "--size", "large", "-o", "csv")))
    assert line["PyTorch/ours"] == "2.00"
    data = json.loads(run("exp", "-o", "json"))
    assert [row["size"] for row in data["rows"]] == ["small", "large"]
    assert data["terms"]["clock"] == "wall time"
    assert "| exp | small |" in run("exp", "-o", "markdown")


def test_the_record_and_its_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    run("exp", "--record", "--folder", str(tmp_path))
    run("sin", "--record", "--folder", str(tmp_path), "--page", str(page))
    assert "4 rows (2 overloads of 2 operators)" in page.read_text()
    (file,) = tmp_path.glob("*.json")
    assert len(json.loads(file.read_text())["rows"]) == 4
    assert not list(tmp_path.glob("*.unfinished"))
    before = len(measured)
    shown = json.loads(run("exp", "--no-measure", "--folder", str(tmp_path), "-o", "json"))
    assert len(shown["rows"]) == 2
    assert len(measured) == before


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = operator_speed.measure

    def interrupted(sized: SizedOverload, budget: TimingBudget) -> Speed:
        if sized.size.name == "large":
            raise KeyboardInterrupt
        return original(sized, budget)

    monkeypatch.setattr(operator_speed, "measure", interrupted)
    arguments = ["bench", "ops", "exp", "--record", "--folder", str(tmp_path)]
    assert CliRunner().invoke(application, arguments).exit_code != 0
    monkeypatch.setattr(operator_speed, "measure", original)
    run("exp", "--record", "--folder", str(tmp_path))
    assert measured == [("exp", "small"), ("exp", "large")]


@pytest.mark.parametrize("arguments", [("--size", "huge"), ("-o", "xml")])
def test_refusals(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="are"):
        CliRunner().invoke(application, ["bench", "ops", *arguments], catch_exceptions=False)
