"""`anychip run`, and ANYCHIP_POLICY in front of plain Python: programs without a changed line, in processes
of their own. The entry point is read from pyproject.toml, as a fresh installation would have it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from anychip import AnychipError, environment
from anychip.cli import program
from anychip.cli.application import application
from anychip.cli.errors import CommandError
from anychip.pytorch import from_environment, report, using

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, multiprocessing, os, sys
import torch

def total(rows):
    torch.softmax(torch.ones(rows, 8), 1)
    from anychip.pytorch import policy, report
    names = [kernel for row in report().served for kernel, number in row.kernels if number]
    return policy().name, names

if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(1) as forked:
        results = [total(4), *forked.map(total, [3])]
    if "spawn" in sys.argv:
        with multiprocessing.get_context("spawn").Pool(1) as spawned:
            results += spawned.map(total, [5])
    print(json.dumps({"results": results, "argv": sys.argv, "file": __file__, "path": sys.path[0]}))
    if "raise" in sys.argv:
        raise ValueError("the program's own")
    sys.exit(7)
"""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """An environment in which the metadata of this checkout stands before any installed one."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    metadata = tmp_path / "metadata" / f"anychip-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: anychip\nVersion: {project['version']}\n"
    )
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    folders = [str(metadata.parent), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, folders))}


def started(arguments: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, env=variables, capture_output=True, text=True, timeout=300, check=False)


def anychip_run(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from anychip.cli import main; main()", "run", *arguments]


def test_a_program_runs_under_a_policy(tmp_path: Path, variables: dict[str, str]) -> None:
    """Its arguments, name, file and exit status are plain Python's, and so are its children."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    page = tmp_path / "report.html"
    options = ("--policy", "portable", "--only", "softmax", "--report", "--html", str(page))
    ended = started(anychip_run(*options, str(script), "--policy", "<x>", "--"), variables)
    assert ended.returncode == 7, ended.stderr
    found = json.loads(ended.stdout)
    assert found["argv"] == [str(script), "--policy", "<x>", "--"]
    assert found["file"] == str(script)
    assert found["path"] == str(tmp_path)
    assert [name for name, _ in found["results"]] == ["portable"] * 2
    assert all("softmax_kernel" in "".join(kernels) for _, kernels in found["results"])
    assert ended.stderr.count("softmax_kernel[softmax] x1") == 1  # the parent's report, not the child's
    assert "softmax_kernel[softmax] x1" in page.read_text()
    assert "&lt;x&gt;" in page.read_text()


def test_the_report_as_json_is_one_line_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the command asks of the process that it becomes, and what this one writes when so asked."""
    became: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(
        program, "entry_points", lambda group: [EntryPoint(environment.ENTRY_NAME, "", group)]
    )
    monkeypatch.setattr(program, "_become", lambda *what: became.append(what))
    CliRunner().invoke(application, ["run", "--report", "--json", "a.py", "--json"], catch_exceptions=False)
    ((arguments, variables),) = became
    assert arguments == ["a.py", "--json"]
    asked = from_environment._run(variables[environment.RUN])
    assert asked is not None
    report(reset=True)
    with using("portable"):
        torch.softmax(torch.ones(2, 8), 1)
    from_environment._finish(asked)
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert [(row["operator"], row["calls"]) for row in found["served"] if row["operator"] == "softmax"] == [
        ("softmax", 1)
    ]
    assert found["launches"] >= 1


@pytest.mark.slow
def test_processes_that_are_spawned_have_the_policy(tmp_path: Path, variables: dict[str, str]) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    ended = started([sys.executable, str(script), "spawn"], variables | {"ANYCHIP_POLICY": "strict"})
    assert ended.returncode == 7, ended.stderr
    assert [name for name, _ in json.loads(ended.stdout)["results"]] == ["strict"] * 3


@pytest.mark.slow
def test_workers_of_torchrun_have_the_policy(tmp_path: Path, variables: dict[str, str]) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "import torch\nimport torch.distributed as d\nd.init_process_group('gloo')\nx = torch.ones(4)\n"
        "d.all_reduce(x)\nfrom anychip.pytorch import policy\nprint(x.sum().item(), policy().name)\n"
        "d.destroy_process_group()\n"
    )
    options = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    ended = started(anychip_run(*options, str(script)), variables)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["8.0 portable"] * 2


@pytest.mark.slow
def test_tracebacks_and_signals_are_plain_pythons(tmp_path: Path, variables: dict[str, str]) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    plain = started([sys.executable, str(script), "raise"], variables | {"ANYCHIP_POLICY": "portable"})
    ours = started(anychip_run(str(script), "raise"), variables)
    assert ours.returncode == plain.returncode == 1
    assert ours.stderr == plain.stderr
    assert "the program's own" in ours.stderr
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    assert started(anychip_run(str(script)), variables).returncode == -signal.SIGTERM


@pytest.mark.slow
def test_whatever_is_imported_first(variables: dict[str, str]) -> None:
    """PyTorch's import, within which a policy is enabled, may begin in the middle of one of ours."""
    for module in ("anychip.ops.launching", "anychip.pytorch.policy", "anychip.llm.registry", "triton"):
        code = f"import {module}, torch\nfrom anychip.pytorch import policy\nprint(policy().name)"
        ended = started([sys.executable, "-c", code], variables | {"ANYCHIP_POLICY": "auto"})
        assert (ended.stdout, ended.stderr) == ("auto\n", ""), module


def test_pytorch_may_be_told_to_load_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.AUTOLOAD, "0")
    with pytest.raises(CommandError, match="TORCH_DEVICE_BACKEND_AUTOLOAD=0 forbids"):
        program.run(["program.py"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "portabel"}, "Did you mean portable?"),
        ({"only": ["softmx"]}, "Did you mean softmax"),
        ({"exclude": ["mm,"]}, "--exclude: a name is empty"),
        ({"html": Path("/no/such/folder/report.html")}, "cannot be written into /no/such"),
    ],
)
def test_what_cannot_be_is_refused_before_the_program(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(
        program, "entry_points", lambda group: [EntryPoint(environment.ENTRY_NAME, "", group)]
    )
    monkeypatch.setattr(program, "_become", pytest.fail)
    with pytest.raises(AnychipError, match=re.escape(message)):
        program.run(["program.py"], **{"policy": "portable", **options})


def test_a_page_is_never_of_an_earlier_run(tmp_path: Path, variables: dict[str, str]) -> None:
    """A program without PyTorch has no report, and a module is run as Python runs it."""
    page = tmp_path / "report.html"
    page.write_text("an earlier report")
    ended = started(anychip_run("--html", str(page), "-m", "base64", "-t"), variables)
    assert ended.returncode == 0
    assert "Aladdin" in ended.stdout
    assert "never imported PyTorch" in page.read_text()


def test_the_installation_has_the_entry_point() -> None:
    found = [e.value for e in entry_points(group=environment.ENTRY_GROUP) if e.name == environment.ENTRY_NAME]
    if not found:
        distribution = next(iter(entry_points(group="triton.backends", name="cpu"))).dist
        assert distribution is not None
        installed = Path(str(distribution.locate_file(""))) / f"anychip-{distribution.version}.dist-info"
        if installed.stat().st_mtime < (ROOT / "pyproject.toml").stat().st_mtime:
            pytest.skip("installed from an older pyproject.toml: install again")
    assert found == ["anychip.autoload:load"]
