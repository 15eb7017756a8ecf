"""CONTRIBUTING.md is followed to the letter: its example is written where it says, into a copy of the package
that lacks it, and the command that comes next proves it by PyTorch's samples."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("expecttest", reason="PyTorch's OpInfo needs the package expecttest")

ROOT = Path(__file__).parents[2]
BRIEFLY = ("--dtype", "float32", "--samples", "1")
NOT_COPIED = shutil.ignore_patterns("__pycache__")


def test_the_example_is_new_and_proven_by_the_commands_of_the_guide(tmp_path: Path) -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = guide.partition("## An operator, from nothing to evidence")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    (path,) = re.findall(r"`(src/anychip/ops/[a-z]+/[a-z0-9_]+\.py)`:", section)
    (name,) = re.findall(r"^def (\w+)", block, flags=re.MULTILINE)
    commands = re.findall(r"^anychip (.*?) *(?:#.*)?$", section, flags=re.MULTILINE)
    assert f"test {name}" in commands

    shutil.copytree(ROOT / "src", tmp_path / "src", copy_function=os.symlink, ignore=NOT_COPIED)
    assert not (tmp_path / path).exists()
    (tmp_path / path).write_text(block, encoding="utf-8")

    (row,) = json.loads(anychip(tmp_path, "ops", name, "--json"))
    assert (row["name"], row["domain"]) == (name, Path(path).parts[3])
    proofs = json.loads(anychip(tmp_path, "test", name, *BRIEFLY, "--json"))
    assert {proof["subject"]: proof["verdict"] for proof in proofs} == {
        name: "passed",
        f"record:{name}": "passed",
    }
    assert all(proof["overloads"][name]["launches"] > 0 for proof in proofs)


def anychip(root: Path, *arguments: str) -> str:
    """What a command of the copy of the package under `root` prints; it has to succeed."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "anychip", *arguments],
        capture_output=True,
        text=True,
        timeout=1200,
        env=environment,
        cwd=root,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
