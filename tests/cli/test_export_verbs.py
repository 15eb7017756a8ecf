"""`anychip export` and `anychip conform` as commands: what they write, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.errors import AnychipError
from anychip.pytorch.errors import ProgramSourceError
from anychip.pytorch.loading import load_program

SCRIPT = """
import torch
import triton
import triton.language as tl
import anychip

@triton.jit
def update_kernel(x, y, total, factor, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    value = factor * tl.load(x + at, inside) + tl.load(y + at, inside)
    tl.store(y + at, value, inside)
    tl.store(total + at, value * 2, inside)

def example_launch():
    x = torch.arange(100.0)
    return (4,), {"x": x, "y": x * x, "total": x, "factor": 3.0, "n": 100, "BLOCK": 32}

def double(x):
    return x + x

def example_inputs():
    return (torch.arange(6.0),)

def recorded():
    return anychip.capture(double, *example_inputs())

def nothing():
    return 3

class Model(torch.nn.Linear):
    pass

number = 3
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(application, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("name", ["double", "recorded"])
def test_export_writes_a_folder(script: Path, name: str, tmp_path: Path):
    text = invoke("export", f"{script}:{name}", "--chip", "cortex-m4", "-o", str(tmp_path / "out"), "--json")
    facts = json.loads(text)["report"]
    assert facts["name"] == "double"
    assert (tmp_path / "out" / "libdouble.a").stat().st_size > facts["code_bytes"] > 0


def test_a_kernel_by_itself_takes_what_it_reads_and_returns_what_it_writes(script: Path):
    program = load_program(f"{script}:update_kernel")
    x, y = torch.rand(100), torch.rand(100)
    updated, total = program(x=x, y=y)
    torch.testing.assert_close(updated, 3 * x + y)
    torch.testing.assert_close(total, 2 * (3 * x + y))


def test_a_kernel_without_a_launch_is_refused(tmp_path: Path):
    path = tmp_path / "kernels.py"
    path.write_text(SCRIPT.replace("example_launch", "launch"))
    with pytest.raises(ProgramSourceError, match="no grid"):
        load_program(f"{path}:update_kernel")


def test_a_saved_model_is_exported(tmp_path: Path):
    torch.manual_seed(0)
    saved = torch.export.export(torch.nn.Linear(4, 3), (torch.randn(2, 4),))
    torch.export.save(saved, tmp_path / "model.pt2")
    program = load_program(str(tmp_path / "model.pt2"))
    assert program(torch.randn(2, 4)).shape == (2, 3)


def test_dynamic_shapes_are_refused(tmp_path: Path):
    rows = torch.export.Dim("rows", min=2, max=64)
    saved = torch.export.export(torch.nn.Linear(4, 3), (torch.randn(2, 4),), dynamic_shapes=({0: rows},))
    torch.export.save(saved, tmp_path / "model.pt2")
    with pytest.raises(ProgramSourceError, match="no fixed size"):
        load_program(str(tmp_path / "model.pt2"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":absent", "has no 'absent'"),
        (":nothing", "not a Program"),
        (":Model", "the class Model, which cannot be captured"),
        (":number", "a int, which cannot be captured"),
        ("", "names nothing to export"),
    ],
)
def test_what_is_no_program_is_refused(script: Path, name: str, message: str):
    with pytest.raises(ProgramSourceError, match=message):
        load_program(f"{script}{name}")


@pytest.mark.parametrize("name", ["double", "model"])
def test_arguments_without_examples_are_asked_for(tmp_path: Path, name: str):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.replace("example_inputs", "inputs") + "model = Model(2, 2)\n")
    with pytest.raises(ProgramSourceError, match=rf"{name} takes arguments.*\n.*Define example_inputs\(\)"):
        load_program(f"{path}:{name}")


def test_a_check_that_cannot_run_is_refused_before_the_export(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))  # Without QEMU.
    monkeypatch.setattr("anychip.pytorch.loading.load_program", lambda subject: pytest.fail("captured first"))
    with pytest.raises(AnychipError, match="is not installed"):
        invoke("export", f"{script}:double", "--chip", "cortex-a53", "-o", str(tmp_path / "out"), "--check")
    assert not (tmp_path / "out").exists()


def test_an_unknown_chip_leaves_no_folder(script: Path, tmp_path: Path):
    with pytest.raises(AnychipError, match="raspberry-pi-99"):
        invoke("export", f"{script}:double", "--chip", "raspberry-pi-99", "-o", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_conform_reports_compiled_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    arguments = [
        "--chip",
        "cortex-a53",
        "--ops",
        "neg",
        "--samples",
        "1",
        "--dtype",
        "float32",
        "--compile-only",
    ]
    (record,) = json.loads(invoke("conform", *arguments, "--json"))
    assert record["tier"] == "compiled"
    assert record["verdicts"] == {"neg": "passed"}
    assert record["kernels"]["compiled"] == record["kernels"]["tried"] > 0
    assert not (tmp_path / "evidence").exists()
