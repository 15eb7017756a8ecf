"""`anychip explain` on kernels whose accesses are known by construction, and on what it must refuse."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.cli.errors import CommandError
from anychip.compiler.targets import UnknownTarget
from anychip.inspect import gpu
from anychip.inspect.errors import InspectionError
from anychip.new_process import ProcessError

KERNELS = """
import triton
import triton.language as tl

@triton.jit
def accesses(x_ptr, index_ptr, out_ptr, n, stride, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    inside = i < n
    a = tl.load(x_ptr + i, mask=inside)
    b = tl.load(x_ptr + i * stride)
    c = tl.load(x_ptr + tl.load(index_ptr + i))
    d = tl.load(x_ptr + n)
    tl.store(out_ptr + i, a + b + c + d, mask=inside)

@triton.jit
def scale(x_ptr, FACTOR: tl.constexpr):
    i = tl.arange(0, 32)
    tl.store(x_ptr + i, tl.load(x_ptr + i) * FACTOR)

@triton.jit
def largest(x_ptr, BLOCK: tl.constexpr):
    tl.store(x_ptr, tl.max(tl.load(x_ptr + tl.arange(0, BLOCK)), axis=0))
"""


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(KERNELS.splitlines(), 1) if text in line)


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    path = tmp_path / "kernels.py"
    path.write_text(KERNELS)
    return path


def explained(*arguments: str) -> Any:
    result = CliRunner().invoke(application, ["explain", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_file_alone_is_answered_with_its_kernels(kernels: Path) -> None:
    result = CliRunner().invoke(application, ["explain", str(kernels)])
    assert f"It has: {kernels}:accesses" in str(result.exception)


def test_every_access_has_its_verdict_at_its_line(kernels: Path) -> None:
    (report,) = explained(f"{kernels}:accesses", "--sig", "index_ptr=*i32", "--const", "BLOCK=256")
    assert report["signature"]["index_ptr"] == "*i32"
    assert "index_ptr" not in report["assumed"]
    found = {
        (int(access["location"].rpartition(":")[2]), access["kind"], access["verdict"])
        for access in report["accesses"]
    }
    expected = {
        (line_of("a = tl.load"), "load", "vector"),
        (line_of("b = tl.load"), "load", "strided"),
        (line_of("c = tl.load"), "load", "vector"),
        (line_of("c = tl.load"), "load", "gather"),
        (line_of("d = tl.load"), "load", "scalar"),
        (line_of("tl.store(out_ptr"), "store", "vector"),
    }
    assert found == expected
    masks = {
        access["mask"]
        for access in report["accesses"]
        if access["location"].endswith(f":{line_of('a = tl.load')}")
    }
    assert masks == {"bound"}


def test_table_names_file_and_line(kernels: Path) -> None:
    result = CliRunner().invoke(application, ["explain", f"{kernels}:scale", "--const", "FACTOR=2.5"])
    assert result.exit_code == 0
    assert f"kernels.py:{line_of('tl.store(x_ptr + i, tl.load')}" in result.stdout
    assert "32 f32" in result.stdout


@pytest.mark.parametrize(
    ("stage", "target", "words"),
    [
        ("ttir", "host", ["tt.func", "tt.load", "arith.mulf"]),
        ("tile", "host", ["tt.load"]),
        ("nests", "host", ["nest", "axis 0: 32"]),
        ("llvm", "host", ["define", "fmul"]),
        ("asm", "cortex-a76", ["fmul", "v0.4s"]),
        ("asm", "rv64gcv", ["vsetvli"]),
    ],
)
def test_each_stage_is_what_its_name_says(kernels: Path, stage: str, target: str, words: list[str]) -> None:
    (report,) = explained(f"{kernels}:scale", "--const", "FACTOR=2.5", "--stage", stage, "--target", target)
    assert report["stage"] == stage
    assert report["target"] == target
    for word in words:
        assert word in report["text"].replace("vsetivli", "vsetvli")


@pytest.mark.parametrize(
    ("stage", "target", "words"),
    [("ptx", "sm_90", ".target sm_90"), ("amdgcn", "gfx942", "gfx942"), ("ttgir", "sm_90", "#ttg.blocked")],
)
def test_stages_on_gpus_come_from_stock_triton(kernels: Path, stage: str, target: str, words: str) -> None:
    (report,) = explained(f"{kernels}:scale", "--const", "FACTOR=2.5", "--stage", stage, "--target", target)
    assert words in report["text"]


def test_a_gpu_compiler_that_fails_is_an_error(kernels: Path) -> None:
    with pytest.raises(ProcessError, match="for gfx928 by stock Triton failed: RuntimeError: PassManager"):
        explained(f"{kernels}:scale", "--const", "FACTOR=2.5", "--target", "gfx928", "--stage", "amdgcn")


def _ends_its_process(*_: object) -> None:
    os._exit(6)


def test_a_gpu_compiler_that_dies_is_an_error_and_not_the_end(
    kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_stages", _ends_its_process)
    with pytest.raises(ProcessError, match=r"for sm_90 by stock Triton died with exit status 6"):
        explained(f"{kernels}:scale", "--const", "FACTOR=2.5", "--target", "sm_90", "--stage", "ptx")


def test_an_operator_is_explained_as_it_is_launched() -> None:
    reports = explained("layer_norm")
    assert reports
    for report in reports:
        assert report["accesses"]
        assert report["assumed"] == []


def test_stage_of_a_gpu_on_a_cpu_is_refused(kernels: Path) -> None:
    with pytest.raises(CommandError, match="the stages for host are ttir, tile, nests, llvm, asm"):
        explained(f"{kernels}:scale", "--const", "FACTOR=1", "--stage", "ptx")


def test_verdicts_for_a_gpu_are_refused(kernels: Path) -> None:
    with pytest.raises(CommandError, match="--stage ttir"):
        explained(f"{kernels}:scale", "--const", "FACTOR=1", "--target", "sm_90")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("no_such_operator",), InspectionError, "there is no operator 'no_such_operator'"),
        (("kernels.py",), InspectionError, "cannot read kernels.py"),
        (("layer_norm", "--const", "BLOCK=1"), CommandError, "for kernels in files"),
        (("layer_norm", "--target", "z80"), UnknownTarget, "z80"),
    ],
)
def test_what_cannot_be_explained(arguments: tuple[str, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        explained(*arguments)


def test_a_wrong_signature_shows_the_front_ends_words(kernels: Path) -> None:
    with pytest.raises(InspectionError, match="front end refused kernel scale"):
        explained(f"{kernels}:scale", "--sig", "x_ptr=i32", "--const", "FACTOR=1.0")


def test_what_differs_between_targets_and_kernels(kernels: Path) -> None:
    scale, constant = f"{kernels}:scale", ("--const", "FACTOR=3")
    assembly = explained(scale, *constant, "--stage", "asm", "--target", "cortex-a76", "--diff", "rv64gcv")
    assert (assembly["before"], assembly["after"]) == ("cortex-a76", "rv64gcv")
    removed = [line for line in assembly["diff"] if line.startswith("-")]
    assert any("fmul" in line for line in removed)
    assert explained(scale, *constant, "--diff", "host")["diff"] == []
    nests = explained(scale, *constant, "--stage", "ttir", "--diff", f"{kernels}:scale")
    assert (nests["stage"], nests["diff"]) == ("ttir", [])


def test_verdicts_are_no_gpus(kernels: Path) -> None:
    with pytest.raises(CommandError, match="verdicts on accesses are made for CPUs"):
        explained(f"{kernels}:scale", "--const", "FACTOR=3", "--diff", "sm_90")
