"""`anychip debug bisect` over traces, and (slow) over programs: two policies, two versions of a kernel's
module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.debug.bisect.fingerprint import SKETCH, Fingerprint
from anychip.debug.bisect.sides import UnknownSide, parse
from anychip.debug.bisect.trace_file import INPUT, OPERATOR, Step, UnreadableTrace, Writer, read
from anychip.environment import EXCLUDE, POLICY


def printed(value: float, digest: int) -> Fingerprint:
    """A vector of sixteen equal numbers."""
    return Fingerprint("float32", (SKETCH,), digest, 0, value, value, (value,) * SKETCH)


def written(file: Path, *values: float) -> Path:
    """A trace of an input and operators in a row that gave `values`."""
    writer = Writer(file, {"policy": "none"})
    writer.step(Step(0, INPUT, "float32[16]", (), (printed(1.0, 1),)))
    for k, value in enumerate(values, 1):
        writer.step(Step(k, OPERATOR, f"aten.op{k}.default", (k - 1,), (printed(value, int(value * 2**20)),)))
    writer.close()
    return file


def verb(*arguments: str, status: int) -> str:
    result = CliRunner().invoke(application, ["debug", "bisect", *arguments], catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result.stdout


def of_traces(a: Path, b: Path, status: int) -> Any:
    return json.loads(verb(str(a), str(b), "--into", str(a.parent / "into"), "--json", status=status))


def test_equal_traces(tmp_path: Path) -> None:
    told = of_traces(written(tmp_path / "a.trace", 2.0, 3.0), written(tmp_path / "b.trace", 2.0, 3.0), 0)
    assert (told["outcome"], told["steps"], told["differing"]) == ("same", 3, 0)


def test_traces_without_programs_name_the_first_suspicious_step(tmp_path: Path) -> None:
    a = written(tmp_path / "a.trace", 2.0, 3.0, 4.0, 5.0)
    b = written(tmp_path / "b.trace", 2.0 + 2e-7, 3.0 + 3e-7, 4.1, 5.2)
    told = of_traces(a, b, 1)
    assert (told["outcome"], told["operator"], told["step"]) == ("suspected", "aten.op3.default", [3, 3])
    assert told["distance"] == pytest.approx(0.1 / 4.1, rel=1e-3)
    assert told["inputs_distance"] < 2e-7
    assert told["verdict"] is None


def test_steps_of_one_side_hand_on_what_they_were_given(tmp_path: Path) -> None:
    a = written(tmp_path / "a.trace", 2.0, 3.0)
    b = tmp_path / "b.trace"
    lines = a.read_text().splitlines(keepends=True)
    b.write_text("".join([*lines[:2], *lines[3:]]))
    told = of_traces(a, b, 0)
    assert (told["only_a"], told["only_b"], told["differing"]) == (1, 0, 0)


def test_a_trace_is_read_up_to_where_its_process_was_killed(tmp_path: Path) -> None:
    file = written(tmp_path / "a.trace", 2.0, 3.0)
    assert read(file).whole
    text = file.read_text()
    file.write_text(text[: text.rindex("aten.op2")])
    cut = read(file)
    assert not cut.whole
    assert [step.name for step in cut.steps] == ["float32[16]", "aten.op1.default"]
    assert cut.steps[1].outputs == (printed(2.0, 2 << 20),)
    file.write_text("[]\n")
    with pytest.raises(UnreadableTrace, match=r"a\.trace is no trace"):
        read(file)


def test_sides(tmp_path: Path) -> None:
    side = parse("policy=portable,chip=rv64gcv,OMP_NUM_THREADS=1", ["model.py", "5"])
    assert side.command == (sys.executable, "model.py", "5")
    assert (side.policy, side.chip) == ("portable", "rv64gcv")
    environment = side.environment_for("{}")
    assert (environment["OMP_NUM_THREADS"], environment[POLICY]) == ("1", "portable")
    assert "random" in environment[EXCLUDE].split(",")
    assert parse("python old.py", []).command == (sys.executable, "old.py")
    assert parse("old.py --rate=5", []).command == (sys.executable, "old.py", "--rate=5")
    for words, program, message in (
        ("policy=portable", [], "not which"),
        ("polisy=portable", ["model.py"], "no setting 'polisy'"),
        ("module=kernels:nowhere.py", ["model.py"], "no file 'nowhere.py'"),
        (str(tmp_path / "nowhere.trace"), [], "no trace"),
        ("", [], "is empty"),
    ):
        with pytest.raises(UnknownSide, match=message):
            parse(words, program)


PROGRAM = """
import torch, kernels
torch.manual_seed(3)
x, w = torch.randn(24, 40), torch.randn(40, 16)
y = torch.nn.functional.gelu(x @ w)
print(float(kernels.scaled(y).softmax(-1).square().sum()))
"""

KERNEL = """
import torch, triton, triton.language as tl

@triton.jit
def scale(x, y, n, B: tl.constexpr):
    k = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + k, tl.load(x + k, mask=k < n) * FACTOR, mask=k < n)

def scaled(x):
    y = torch.empty_like(x)
    scale[(triton.cdiv(x.numel(), 64),)](x, y, x.numel(), B=64)
    return y
"""


def bisected(folder: Path, a: str, b: str, status: int) -> Any:
    """What the command says of two sides of `model.py`."""
    command = [sys.executable, "-m", "anychip", "debug", "bisect", a, b, "--json", "--", "model.py"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=dict(os.environ), check=False
    )
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_programs(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(PROGRAM)
    (tmp_path / "kernels.py").write_text(KERNEL.replace("FACTOR", "1.5"))
    (tmp_path / "newer.py").write_text(KERNEL.replace("FACTOR", "1.5625"))
    told = bisected(tmp_path, "policy=none", "policy=portable", 0)
    assert told["outcome"] in ("rounding", "same"), told
    told = bisected(tmp_path, "policy=none", "policy=none,module=kernels:newer.py", 1)
    assert (told["outcome"], told["operator"], told["side"]) == ("fault", "scale", "A or B"), told
    again = subprocess.run(
        [sys.executable, told["script"]], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert "off from the program's by 0.0" in again.stdout, again.stderr


@pytest.mark.slow
def test_two_commits_of_a_repository(tmp_path: Path) -> None:
    """The program lies in a folder of its repository; what is not committed belongs to neither side."""
    folder = tmp_path / "models"
    folder.mkdir()

    def git(*words: str) -> str:
        names = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
        command = ["git", *names, *words]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    for factor in ("1.5", "1.5625"):
        (folder / "model.py").write_text(PROGRAM)
        (folder / "kernels.py").write_text(KERNEL.replace("FACTOR", factor))
        git("add", "models")
        git("commit", "--quiet", "--message", factor)
    (folder / "kernels.py").write_text("raise SystemExit('not committed')")
    told = bisected(folder, "commit=HEAD~1", "commit=HEAD", 1)
    assert (told["outcome"], told["operator"], told["side"]) == ("fault", "scale", "A or B"), told
    assert len(git("worktree", "list").splitlines()) == 1


@pytest.mark.slow
def test_an_emulated_chip(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(PROGRAM)
    (tmp_path / "kernels.py").write_text(KERNEL.replace("FACTOR", "1.5"))
    told = bisected(tmp_path, "policy=portable", "policy=portable,chip=rv64gcv", 0)
    assert told["outcome"] in ("rounding", "same"), told
    assert told["steps"] > 5
