"""Tests of a tree in processes with limits: what passes, fails, never ends, or dies; as a program runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = """
import os, resource, tempfile, time, pytest
import small

def test_right(): assert small.double(2) == 4
def test_folder(): assert "mutant-" in tempfile.gettempdir()
@pytest.mark.parametrize("case", ["b", "a"])
def test_case(case): print(case, file=open(os.environ["ORDER"], "a"))
def test_wrong(): assert small.double(3) == 7
def test_after(): pass
def test_endless():  # with a second of processor time left
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1, hard))
    while True: pass
def test_dies(): os.abort()
"""
DRIVER = """
import dataclasses, json, sys
from pathlib import Path
from tools.mutation import process

tree = Path(sys.argv[1])
def run(*steps): return dataclasses.asdict(process.run(tree, steps))
def only(*names, **more):
    return process.Step(tuple(f"tests/test_small.py::test_{name}" for name in names), **more)
print(json.dumps({
    "survived": run(only("right"), only("folder")),
    "ordered": run(only("case", first=("[a]", "[b]"))),
    "killed": run(only("right"), only("wrong", "after")),
    "budget": run(only("right", "wrong", budget=-1.0)),
    "timeout": run(only("right", "endless")),
    "dies": run(only("dies")),
}))
"""


def test_verdicts(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "src" / "small.py").write_text("def double(x):\n    return x + x\n")
    (tmp_path / "tests" / "test_small.py").write_text(TESTS)
    order = tmp_path / "order"
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "ORDER": str(order)},
        capture_output=True,
        text=True,
        check=True,
    )
    verdicts = json.loads(done.stdout)
    expected = {
        "survived": ("survived", "", 2),
        "ordered": ("survived", "", 2),
        "killed": ("killed", "wrong", 1),
        "budget": ("survived", "", 1),
        "timeout": ("timeout", "endless", 0),
        "dies": ("killed", "dies", 0),
    }
    names = {
        name: f"tests/test_small.py::test_{test}" if test else "" for name, (_, test, _) in expected.items()
    }
    assert {n: (v["result"], v["by"], v["passed"]) for n, v in verdicts.items()} == {
        name: (result, names[name], passed) for name, (result, _, passed) in expected.items()
    }
    assert order.read_text().split() == ["a", "b"]
    assert not list(tmp_path.rglob("*.pyc"))
