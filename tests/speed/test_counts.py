"""Counts beside a record: what rose is refused, what moved by less than a hundredth is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.speed import callgrind, counted, counts
from tools.speed.callgrind import UnreadableCount

BEFORE = [
    {"group": "kernel", "name": "sort f32 64x256", "calls": 2, "instructions": 1_000_000},
    {"group": "eager call", "name": "add", "calls": 100, "instructions": 30_000},
    {"group": "operator alone", "name": "add", "calls": 100, "instructions": 20_000},
]
RECORD = {
    "commit": "c",
    "date": "2026-01-01",
    "processor": "P",
    "versions": {"python": "3.11.7", "valgrind": "3.19.0"},
    "target": "x86-64-v3",
    "shown": "haswell",
    "counts": BEFORE,
}
CHECKS = {
    "check; first; 100": 260_000,
    "check; none; 0": 5000,
    "check; once; 100": 205_000,
    "check; twice; 200": 405_000,
}


def scaled(factor: float) -> list[dict[str, Any]]:
    return [{**row, "instructions": round(row["instructions"] * factor)} for row in BEFORE]


def verdicts(after: list[dict[str, Any]]) -> list[str]:
    return [line.verdict for line in counts.compared(BEFORE, after)]


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.015, "rose"), (1.005, ""), (1.0, ""), (0.995, ""), (0.9, "fell")]
)
def test_a_rise_of_more_than_a_hundredth_is_one(factor: float, verdict: str) -> None:
    assert verdicts(scaled(factor)) == [verdict] * 3


def test_rows_that_only_one_side_has_are_named() -> None:
    new = {"group": "kernel", "name": "new", "calls": 1, "instructions": 5}
    lines = counts.compared(BEFORE, [*BEFORE[1:], new])
    assert [(line.name, line.verdict) for line in lines if line.verdict] == [
        ("sort f32 64x256", "gone"),
        ("new", "new"),
    ]
    assert str(lines[0]).split() == ["kernel", "sort", "f32", "64x256", "1,000,000", "-", "gone"]


@pytest.mark.parametrize(
    ("rows", "status"),
    [(scaled(1.015), 1), (scaled(1.005), 0), (scaled(0.5), 0), (BEFORE[1:], 1)],
    ids=["1.5 % more", "0.5 % more", "half", "one is gone"],
)
def test_the_status_says_whether_something_rose(
    rows: list[dict[str, Any]],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "counts.json").write_text(counts.as_text(RECORD))
    monkeypatch.setattr(counts, "RECORD", tmp_path / "counts.json")
    monkeypatch.setattr(counts, "obstacle", lambda: "")
    monkeypatch.setattr(counts, "measured", lambda groups: {**RECORD, "counts": rows})
    monkeypatch.setattr("sys.argv", ["counts"])
    assert counts.main() == status
    assert capsys.readouterr().out.splitlines()[-1].startswith("3 counts; risen by more than 1%, or gone: ")


def test_a_record_is_a_line_a_count_and_has_a_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RECORD", "PAGE"):
        monkeypatch.setattr(counts, name, tmp_path / name)
    monkeypatch.setattr(counts, "obstacle", lambda: "")
    monkeypatch.setattr(counts, "measured", lambda groups: RECORD)
    monkeypatch.setattr("sys.argv", ["counts", "--record"])
    assert counts.main() == 0
    text = counts.RECORD.read_text()
    assert json.loads(text) == RECORD
    assert sum("instructions" in line for line in text.splitlines()) == 3
    assert counts.PAGE.read_text() == counts.written("") == counts.page(RECORD)
    assert "| kernel | sort f32 64x256 | 1,000,000 |" in counts.written("")
    assert "takes the processor that it shows to programs for `haswell`" in counts.written("")


def test_without_a_record_every_count_is_new(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counts, "RECORD", tmp_path / "counts.json")
    monkeypatch.setattr(counts, "obstacle", lambda: "")
    monkeypatch.setattr(counts, "measured", lambda groups: RECORD)
    monkeypatch.setattr("sys.argv", ["counts"])
    assert counts.main() == 0
    said = capsys.readouterr().out
    assert said.count(" new\n") == 3
    assert "There is no record to compare with" in said


def test_only_the_groups_that_are_counted_are_compared() -> None:
    assert [row["name"] for row in counts.of_groups(RECORD, ["kernel"])] == ["sort f32 64x256"]
    assert len(counts.of_groups(RECORD, ["eager"])) == 2
    assert counts.of_groups(RECORD, counts.GROUPS) == BEFORE


def test_other_versions_are_named() -> None:
    assert counts.differing_versions({"python": "3.11.7"}, {"python": "3.11.7"}) == ""
    phrase = counts.differing_versions({"python": "3.11.7", "torch": "2.13.0"}, {"python": "3.12.1"})
    assert phrase == "python 3.12.1 (was 3.11.7), torch none (was 2.13.0)"


def test_a_count_is_one_calls_without_the_requests() -> None:
    found = {**CHECKS, "kernel; sort f32 64x256; 2": 2_005_000}
    assert counts.counts(found) == [BEFORE[0]]


@pytest.mark.parametrize("twice", [5000, 400_000, 415_000])
def test_counts_that_do_not_follow_the_calls_are_refused(twice: int) -> None:
    with pytest.raises(UnreadableCount, match="twice the calls"):
        counts.counts({**CHECKS, "check; twice; 200": twice})


def test_without_valgrind_nothing_is_counted_and_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(callgrind, "PROGRAM", "no-such-valgrind")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.argv", ["counts"])
    assert counts.main() == 0
    assert "valgrind is not installed; `make valgrind`" in capsys.readouterr().out
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert "this machine is riscv64" in counts.obstacle()


def test_twenty_kernels_and_eight_operators_are_counted() -> None:
    assert len(set(counted.KERNELS)) == 20
    assert len({call.label for call in counted.small_calls()}) == 8
    assert set(counted.GROUPS) == {"check", *counts.GROUPS}
    small = counted.SMALL_CALLS
    assert [row.calls for row in counted.checks()] == [small, 0, small, 2 * small]


@pytest.mark.slow
def test_counts_are_those_of_the_calls() -> None:
    if reason := counts.obstacle():
        pytest.skip(reason)
    first, second = (
        {(row["group"], row["name"]): row["instructions"] for row in counts.measured(["eager"])["counts"]}
        for _ in range(2)
    )
    assert first.keys() == second.keys()
    assert len(first) == 16
    for key, instructions in first.items():
        assert second[key] == pytest.approx(instructions, rel=0.002)
    for call in counted.small_calls():
        assert first["eager call", call.label] > first["operator alone", call.label] > 1000
