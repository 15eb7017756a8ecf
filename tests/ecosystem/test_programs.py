"""Whole programs, compiled, each in a process of its own: none ends it, and results are eager PyTorch's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="needs the package transformers")

from tests.ecosystem import programs

ROOT = Path(__file__).parents[2]


def run(name: str) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own, with whose environment it shares the caches."""
    command = [sys.executable, "-m", "tests.ecosystem.programs", name]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
@pytest.mark.parametrize("name", programs.NAMES)
def test_program(name: str) -> None:
    done = run(name)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr[-4000:]}"
    assert done.stdout.splitlines() == [f"{name} equal"]


def test_every_kind_of_program_is_there() -> None:
    assert len(programs.NAMES) == len(set(programs.NAMES)) >= 26
    assert set(programs.NAMES) >= programs.TRAINED
