"""How runs of other projects' suites are counted: which records pass, fail or are left out, and what the page
says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.ecosystem import page, run, suites
from tools.ecosystem.plugin import ecosystem_plugin as plugin


def record(case: str, outcome: str, reason: str = "", cuda: bool = False) -> dict[str, Any]:
    return {"case": case, "outcome": outcome, "reason": reason, "cuda": cuda, "seconds": 0.1}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (record("t.py::a", "passed"), ("passed", "")),
        (record("t.py::a", "xpassed", "Unexpected success"), ("xpassed", "")),
        (record("t.py::a", "skipped", "Skipped: needs 8 GPUs"), ("skipped", "needs 8 GPUs")),
        (record("t.py::a", "failed", "x\nE   ValueError: 3\nE   more"), ("failed", "ValueError: 3")),
        (record("t.py::a", "failed", "E   no file /home/me/tree/a.py"), ("failed", "no file a.py")),
        (record("t.py::a", "failed", "E   CUDA is missing", cuda=True), ("left out", "names CUDA literally")),
        (record("t.py::a", "failed", "E   CUDA is missing"), ("failed", "CUDA is missing")),
    ],
)
def test_how_a_record_counts(given: dict[str, Any], expected: tuple[str, str]) -> None:
    assert suites.verdict(suites.SUITES["fla"], given) == expected


def test_a_case_that_ended_its_process_is_a_failure(tmp_path: Path) -> None:
    lines = [
        {"collected": 3},
        {"begun": "a"},
        record("a", "passed"),
        {"begun": "b"},
        {"collected": 3},
        {"begun": "c"},
        record("c", "failed"),
        record("c", "passed"),
    ]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    collected, records = run.read(path)
    assert collected == 3
    assert {r["case"]: r["outcome"] for r in records} == {"a": "passed", "b": "failed", "c": "failed"}


def test_the_page_counts_what_counts() -> None:
    outcomes = {"passed": 6, "xpassed": 2, "failed": 2, "xfailed": 5, "skipped": 7, "left out": 3}
    kept = {
        "suite": "fla",
        "source": "a tree",
        "date": "2026-01-01",
        "versions": {"torch": "2"},
        "collected": 50,
        "every": 2,
        "only": "",
        "seconds_for_a_case": 9,
        "outcomes": outcomes,
        "files": {"t.py": outcomes},
        "reasons": {"failed": [["a | b", "test_a", 2]]},
    }
    text = page.page({"fla": kept})
    assert "**80.0 %** (8 of 10) pass; one case in 2: 25 of 50." in text
    assert "| a \\| b | `test_a` | 2 |" in text


@pytest.mark.parametrize(
    ("every", "large", "expected"),
    [
        (1, 1, "all 8 cases"),
        (4, 4, "one case in 4: 8 of 50"),
        (1, 4, "all cases (one in 4 of those with the largest tensors): 8 of 50"),
        (2, 8, "one case in 2 (one in 8 of those with the largest tensors): 8 of 50"),
    ],
)
def test_how_much_of_a_suite_was_run(every: int, large: int, expected: str) -> None:
    kept = {"outcomes": {"passed": 8}, "collected": 50, "every": every, "large_every": large, "only": ""}
    assert page.extent(kept) == expected


@pytest.mark.parametrize(("every", "expected"), [("2", "a0 a2 a4"), ("1", "a0 a1 a2 a4")])
def test_which_cases_are_asked(monkeypatch: pytest.MonkeyPatch, every: str, expected: str) -> None:
    """`large` ones are asked more thinly, and those `without` never."""
    names = {"EVERY": every, "LARGE": "a[3-9]", "LARGE_EVERY": "4", "WITHOUT": "never"}
    for name, value in names.items():
        monkeypatch.setenv(f"ECOSYSTEM_{name}", value)
    cases = ["a0", "a1", "a2", "a3", "a4", "a5", "never", "a7"]
    assert " ".join(c for n, c in enumerate(cases) if plugin.is_asked(n, c)) == expected
