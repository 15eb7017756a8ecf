"""The same tests as on the whole machine, with code for lesser x86 cores: run, not only compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anychip.compiler import targets

ROOT = Path(__file__).parents[3]
FAST = ["tests/compiler/schedule/test_programs.py"]
WHOLE = ["tests/compiler/schedule", "tests/compiler/codegen", "tests/compiler/ops"]


def _run(core: str, tests: list[str]) -> None:
    environment = {**os.environ, "ANYCHIP_TARGET": core}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:warnings",
        *tests,
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def _skip_unless_the_machine_can(core: str) -> None:
    host = targets.host()
    if host.isa != "x86_64" or host.vector_bits < targets.get(core).vector_bits:
        pytest.skip(f"this machine does not run code for {core}")


@pytest.mark.parametrize("core", ["haswell", pytest.param("x86-64", marks=pytest.mark.slow)])
def test_programs_on_a_lesser_core(core: str) -> None:
    _skip_unless_the_machine_can(core)
    _run(core, FAST)


@pytest.mark.slow
@pytest.mark.parametrize("core", ["x86-64", "x86-64-v2", "haswell"])
def test_everything_on_a_lesser_core(core: str) -> None:
    _skip_unless_the_machine_can(core)
    _run(core, WHOLE)
