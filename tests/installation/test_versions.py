"""The table of versions: what a cell says follows from the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.installation import versions


def test_what_a_cell_says() -> None:
    key = {"torch": "2.15.0", "triton": "3.9.0"}
    record = {
        "run": [
            {**key, "python": "3.11", "passed": 20, "failed": 0, "commit": "abc"},
            {**key, "python": "3.12", "passed": 20, "failed": 2, "commit": "abc"},
        ],
        "resolved": [
            {**key, "python": "3.11", "resolved": True, "any_triton": False},
            {**key, "python": "3.13", "resolved": True, "any_triton": True},
            {**key, "python": "3.14", "resolved": False, "reason": "no wheel"},
        ],
    }
    row = versions.table(record).splitlines()[-1]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "2.15.0",
        "3.9.0",
        "run: 20 tests passed (`abc`)",
        "run: 20 tests passed, 2 failed (`abc`)",
        "resolved, pin lifted",
        "no wheels",
        "not tried",
    ]


def test_rows_replace_those_of_the_same_versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(versions, "RECORD", tmp_path / "versions.json")
    first = {"python": "3.11", "torch": "2.15.0", "triton": "3.9.0", "passed": 1}
    versions.remember("run", [first, {**first, "python": "3.12"}])
    versions.remember("run", [{**first, "passed": 2}])
    assert [row["passed"] for row in versions.known()["run"]] == [2, 1]


def test_other_packages_are_asked_for_as_the_project_does() -> None:
    asked = versions.requirements("2.15.0", "3.9.0")
    assert {"torch==2.15.0", "triton==3.9.0"} < set(asked)
    names = [line.split("=")[0].split(">")[0] for line in asked]
    assert sorted(names) == ["llvmlite", "numpy", "rich", "torch", "triton", "typer"]
