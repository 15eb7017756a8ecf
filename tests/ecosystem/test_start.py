"""The section of first results: what it makes of a record, and the script's processes and their caches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tools.ecosystem import start, start_page


def row(way: str, state: str, *processor: float, parts: dict[str, float] | None = None) -> dict[str, Any]:
    runs = [{"seconds": 2 * value, "processor": value, "parts": parts or {}} for value in processor]
    return {"model": "a model", "way": way, "state": state, "runs": runs}


def test_ratios_are_of_the_least_runs() -> None:
    rows = [
        row("anychip", "cold", 5.0, 4.0, parts={"back end": 2.5, "graphs": 0.5}),
        row("inductor", "cold", 16.0, 20.0),
        row("anychip", "warm", 1.0),
        row("inductor", "warm", 2.0),
        row("enable", "warm", 0.7),
        row("anychip", "no peer", 1.0),
    ]
    record = {"date": "2026-01-01", "machine": "a chip", "versions": {"torch": "2"}, "rows": rows}
    text = start_page.section(record)
    assert "cold **0.25**, warm **0.50**" in text
    assert "| a model | cold | 4.00 | 16.00 | 0.25 | 1.00 | 8.0 | 32.0 |" in text
    assert "| a model | warm | 1.00 | 2.00 | 0.50 |  | 2.0 | 4.0 |" in text
    assert "| 0.70 | 1.40 |" in text
    assert "no peer" not in text


def test_a_process_has_caches_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = {}

    class Done:
        stdout = 'noise\n{"seconds": 1}\n'

    def run(command: list[str], *, env: dict[str, str], **_: Any) -> Done:
        seen.update(env, command=command)
        return Done()

    monkeypatch.setattr(start.subprocess, "run", run)
    assert start.in_a_process("small Llama", "anychip", tmp_path) == {"seconds": 1}
    assert seen["command"][-4:] == ["--one", "small Llama", "anychip", str(tmp_path / "artifact")]
    for variable in start.CACHES:
        assert Path(seen[variable]).parent == tmp_path
        assert seen[variable] != os.environ.get(variable)
