"""`anychip train`: a script as a job that is watched."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anychip import training
from anychip.cli.application import application
from anychip.cli.errors import CommandError
from anychip.training.errors import TrainingError
from anychip.training.job import Start, Step, Watched, run

QUIET = """
import os, torch
weight = torch.nn.Parameter(torch.tensor([2.0, 3.0]))
updates = torch.optim.SGD([weight], lr=0.25)
for _ in range(3):
    for _ in range(2):
        (weight.square().sum() / 2).backward()
    updates.step()
    updates.zero_grad()
print("done", os.environ.get("ANYCHIP_POLICY"), os.environ["OMP_NUM_THREADS"])
"""
REPORTING = """
import os, torch, torch.distributed as dist
from anychip import training
from anychip.compiler.targets.host import host
dist.init_process_group("gloo")
os.write(1, (host().cpu + "\\n").encode())  # one write: lines of ranks that share a pipe stay whole
weight = torch.nn.Parameter(torch.tensor([2.0, 3.0]))
updates = torch.optim.SGD([weight], lr=0.25)
for step in range(2):
    weight.square().sum().backward()
    updates.step()
    training.report(loss=1.0 / (1 + step), tokens=100)
dist.destroy_process_group()
"""


def script(folder: Path, text: str) -> str:
    file = folder / "script.py"
    file.write_text(text)
    return str(file)


def test_steps_of_a_script_that_says_nothing_are_watched(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        application,
        ["train", "--policy", "pytorch", "--threads", "1", "--json", script(tmp_path, QUIET)],
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    # Each step has the mean of its two losses; gradients add up to twice the weight: w becomes w / 2.
    assert found["losses"] == [6.5, 1.625, 0.40625]
    assert found["output"] == "done None 1\n"
    assert found["tokens_per_second"] is None
    assert found["memory"][0] > 10 << 20


def test_reports_of_ranks_become_a_record(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    options = ["--processes", "2", "--policy", "pytorch", "--chips", "x86-64-v2,", "--record", str(record)]
    if os.uname().machine != "x86_64":
        options[4:6] = []
    done = CliRunner().invoke(application, ["train", *options, script(tmp_path, REPORTING)])
    assert done.exit_code == 0, done.output
    found = json.loads(record.read_text())
    assert found["losses"] == [1.0, 0.5]
    assert [step["tokens"] for step in found["steps"]] == [100, 100]
    assert found["tokens_per_second"] > 0
    assert len(found["memory"]) == 2
    cores = found["output"].split()
    assert len(cores) == 2
    if os.uname().machine == "x86_64":
        assert "x86-64-v2" in cores


def test_a_script_that_fails_is_an_error_with_its_status(tmp_path: Path) -> None:
    started = Start((script(tmp_path, "raise SystemExit(3)"),), policy="pytorch")
    with pytest.raises(TrainingError, match="status 3 after 0 steps"):
        list(run(started, Watched(started.command())))


def test_a_job_that_stands_still_is_ended(tmp_path: Path) -> None:
    text = "import os, time\nopen('number', 'w').write(str(os.getpid()))\ntime.sleep(600)"
    started = Start((script(tmp_path, text),), policy="pytorch", patience=3.0)
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        with pytest.raises(TrainingError, match="no rank has made a step in 3 s"):
            list(run(started, Watched(started.command())))
    finally:
        os.chdir(before)
    number = tmp_path / "number"
    if number.exists():
        with pytest.raises(ProcessLookupError):
            os.kill(int(number.read_text()), 0)


def test_the_command_is_torchrun_only_where_processes_are_asked_for() -> None:
    assert Start(("a.py", "--x")).command() == [sys.executable, "a.py", "--x"]
    command = Start(("a.py",), processes=4).command()
    assert command[1:] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4", "a.py"]


def test_rates_leave_out_the_first_step_and_other_ranks() -> None:
    watched = Watched([])
    for rank, step, seconds in ((0, 0, 9.0), (1, 0, 9.0), (0, 1, 11.0), (0, 2, 12.0), (0, 3, 13.0)):
        watched.add(Step(rank, step, 1.0, 50, seconds, 1000 + rank))
    assert watched.tokens_per_second() == 50.0
    assert watched.memory == {0: 1000, 1: 1001}


def test_a_report_outside_of_a_job_does_nothing() -> None:
    training.report(loss=1.0, tokens=3)


def test_what_is_not_there_is_refused() -> None:
    runner = CliRunner()
    for arguments, word in ((["nowhere.py"], "nowhere.py"), (["--policy", "strct", "a.py"], "strict")):
        error = runner.invoke(application, ["train", *arguments]).exception
        assert isinstance(error, CommandError)
        assert word in str(error)
