"""`anychip profile`: a program, its trace, two profiles compared, processes that cannot be attached to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.cli.errors import CommandError
from anychip.environment import PROFILE_DOOR
from anychip.profile.attach import CannotAttach, attach
from anychip.profile.session import READY, door

PROGRAM = """
import sys, torch
x = torch.randn(20, 30)
for _ in range(4):
    y = torch.softmax(x @ x.T, 1)
print("at the end", sys.argv[1:])
raise SystemExit(3)
"""

LONG = """
import time, torch, anychip
anychip.enable("strict")
x = torch.randn(20, 30)
for _ in range(8):
    torch.exp(x)
print("ready", flush=True)
while True:
    torch.exp(x)
    time.sleep(0.01)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "anychip", "profile", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)


def test_a_program_is_profiled_without_a_changed_line(tmp_path: Path) -> None:
    script, trace = tmp_path / "script.py", tmp_path / "trace.json"
    script.write_text(PROGRAM)
    done = run("--json", "--trace", str(trace), str(script), "--its-own")
    assert done.returncode == 3, done.stderr
    first, _, text = done.stdout.partition("\n")
    assert first == "at the end ['--its-own']"
    found = json.loads(text)
    assert {row["overload"]: row["calls"] for row in found["operators"]}["_softmax"] == 4
    assert {"softmax_kernel", "matmul_kernel"} <= {row["kernel"] for row in found["kernels"]}
    assert found["compilations"]
    assert found["roofs"]["bytes_per_second"] > 1e8
    assert any(row["least_seconds"] for row in found["kernels"])
    assert any(event.get("cat") == "kernel" for event in json.loads(trace.read_text())["traceEvents"])
    (tmp_path / "profile.json").write_text(text)
    same = [str(tmp_path / "profile.json")] * 2
    compared = CliRunner().invoke(
        application, ["profile", "--compare", *same, "--json"], catch_exceptions=False
    )
    assert {change["difference"] for change in json.loads(compared.stdout)} == {0.0}


def test_what_is_asked_for_must_make_sense(tmp_path: Path) -> None:
    def refused(*arguments: str) -> None:
        CliRunner().invoke(application, ["profile", *arguments], catch_exceptions=False)

    with pytest.raises(CommandError, match="a program or --pid"):
        refused()
    with pytest.raises(CommandError, match="no policy 'fast'"):
        refused("--policy", "fast", "script.py")


def test_a_process_without_a_door_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotAttach, match=PROFILE_DOOR):
        attach(os.getpid(), 0.1, frames=False, trace=None, roofs=None)
    monkeypatch.setenv("ANYCHIP_CACHE_DIR", str(tmp_path))
    left = door(os.getpid())
    left.mkdir(parents=True)
    (left / READY).write_text("an earlier process of this number")
    with pytest.raises(CannotAttach, match=PROFILE_DOOR):
        attach(os.getpid(), 0.1, frames=False, trace=None, roofs=None)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(CannotAttach, match="no process"):
        attach(ended.pid, 0.1, frames=False, trace=None, roofs=None)


@pytest.mark.slow
def test_counters_are_those_that_the_machine_has(tmp_path: Path) -> None:
    if shutil.which("perf") is None:
        pytest.skip("there is no perf")
    script = tmp_path / "script.py"
    script.write_text("import torch")
    done = run("--json", "--no-roofs", "--policy", "none", "--counters", str(script))
    found = json.loads(done.stdout)
    assert found["counters"]["task-clock"] > 0
    told = [text for text in found["left_out"] if text.startswith("hardware counters")]
    assert bool(told) == ("cycles" not in found["counters"])


@pytest.mark.slow
def test_a_process_with_a_door_is_profiled(tmp_path: Path) -> None:
    environment = {**os.environ, PROFILE_DOOR: "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", LONG], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(1)
        found = attach(process.pid, 3.0, frames=True, trace=tmp_path / "trace.json", roofs=None)
    finally:
        process.kill()
        process.wait()
    assert [row.overload for row in found.operators] == ["exp"]
    assert any("kernel flat_kernel" in frames or "<module>" in frames[0] for frames, _ in found.stacks)
