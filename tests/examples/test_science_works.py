"""The works of science run as a user runs them: each checks its result, and writes a picture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

WORKS = Path(__file__).parents[2] / "examples" / "science"


def run(name: str, folder: Path, *options: str) -> str:
    """What a work prints; one thread, as others use the cores as well."""
    done = subprocess.run(
        [sys.executable, str(WORKS / f"{name}.py"), *options],
        capture_output=True,
        text=True,
        timeout=1200,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cylinder", "oscillator"])
def test_fields(name: str, tmp_path: Path) -> None:
    assert f"{name}.png" in run(name, tmp_path)
    assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
def test_the_fluid(tmp_path: Path) -> None:
    assert "published" in run("fluid", tmp_path)
    assert ElementTree.parse(tmp_path / "fluid.svg").getroot().tag.endswith("svg")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "other"), [("cylinder", "numpy"), ("fluid", "scipy"), ("oscillator", "scipy")]
)
def test_comparisons(name: str, other: str, tmp_path: Path) -> None:
    lines = run(name, tmp_path, "--compare").splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == ["anychip", other]
    assert all("s of processor time" in line for line in lines[1:])
