"""Every example runs as a user runs it. Each checks its own result and says what it found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
LONG = {"resnet", "train_tiny", "unet"}


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow if path.stem in LONG else ()) for path in EXAMPLES],
    ids=lambda path: path.stem,
)
def test_example_runs_and_its_check_holds(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_examples_are_those_that_the_documents_name() -> None:
    names = {"program", "resnet", "softmax", "train_tiny", "unet", "vector_add"}
    assert {path.stem for path in EXAMPLES} == names
