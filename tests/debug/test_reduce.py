"""`anychip debug reduce`: what remains shows the fault, and nothing of it can go."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.debug.reducing import NothingToReduce, reduce

TEXT = """
import os
import triton
import triton.language as tl

UNUSED = 3

def helper(x):
    return x + 1

@triton.jit
def kernel(x, y, n, B: tl.constexpr):
    # a comment
    k = tl.program_id(0) * B + tl.arange(0, B)
    if n > 3:
        for i in range(n):
            value = tl.load(x + k, mask=k < n) * 2 + bad(k, other=1)
            tl.store(y + k, value)
    else:
        tl.store(y, 1)
"""

REFUSED = """
import triton
import triton.language as tl

@triton.jit
def kernel(x, y, B: tl.constexpr):
    k = tl.arange(0, B)
    value = tl.load(x + k) * 2
    other = tl.reshape(value, (B, 3))
    tl.store(y + k, value)
"""


def test_only_what_shows_the_fault_remains() -> None:
    def shows(text: str) -> bool:
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        return any(isinstance(call.func, ast.Name) and call.func.id == "bad" for call in calls)

    found = reduce(TEXT, "kernel", shows)
    function = ast.parse(found.text).body[-1]
    assert isinstance(function, ast.FunctionDef)
    assert [ast.unparse(statement) for statement in function.body] in (["value = bad(k)"], ["bad(k)"])
    assert len(ast.parse(found.text).body) == 1
    assert not found.unfinished


def test_when_questions_run_out_the_best_is_given() -> None:
    found = reduce(TEXT, "kernel", lambda text: "bad" in text, most=3)
    assert found.unfinished
    assert found.questions == 3
    assert "bad" in found.text


def test_a_file_without_the_fault_is_refused() -> None:
    with pytest.raises(NothingToReduce, match="does not show the fault"):
        reduce(TEXT, "kernel", lambda text: False)
    with pytest.raises(NothingToReduce, match="no function 'other'"):
        reduce(TEXT, "other", lambda text: True)


def test_an_error_of_the_compiler_stays_the_same(tmp_path: Path) -> None:
    file = tmp_path / "kernel.py"
    file.write_text(REFUSED)
    arguments = ["debug", "reduce", "--json", "--sig", "x=*fp32", "--sig", "y=*fp32", "--const", "B=8"]
    done = CliRunner().invoke(application, [*arguments, f"{file}:kernel"], catch_exceptions=False)
    found = json.loads(done.stdout)
    text = Path(found["written"]).read_text()
    assert "reshape" in text
    assert "store" not in text
    assert found["lines"] < len(REFUSED.splitlines()) - 2


def test_a_command_decides_of_wrong_results(tmp_path: Path) -> None:
    file, judge = tmp_path / "kernel.py", tmp_path / "judge.py"
    file.write_text(TEXT)
    judge.write_text("import sys; sys.exit('program_id' not in open(sys.argv[1]).read())")
    command = [
        "debug",
        "reduce",
        "--test",
        f"{sys.executable} -S {judge} {{}}",
        "--out",
        str(tmp_path / "small.py"),
    ]
    CliRunner().invoke(application, [*command, f"{file}:kernel"], catch_exceptions=False)
    assert "program_id" in (tmp_path / "small.py").read_text()
    assert "store" not in (tmp_path / "small.py").read_text()
