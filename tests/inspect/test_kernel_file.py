"""Taking a kernel out of a script: only what it depends on runs, and every refusal says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from anychip.inspect.errors import InspectionError
from anychip.inspect.kernel_file import jit_function, load_kernel

SCRIPT = """
import triton
import triton.language as tl
from math import pi as PI

x_ptr = 1 / 0
offsets = print("a module variable with the name of a kernel's variable")
HALF: tl.constexpr = tl.constexpr(0.5)
UNRELATED = 1 / 0

@triton.jit
def halve(x):
    return x * HALF

@triton.autotune(configs=[triton.Config({"BLOCK": 128}, num_warps=2)], key=["n"])
@triton.jit
def kernel(x_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(x_ptr + offsets, halve(tl.load(x_ptr + offsets, mask=offsets < n)), mask=offsets < n)

def plain():
    pass

raise SystemExit("the script's main program ran")
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_only_what_the_kernel_needs_is_executed(script: Path) -> None:
    kernel = load_kernel(script, "kernel")
    names = kernel.fn.fn.__globals__
    assert "halve" in names
    assert "HALF" in names
    assert "UNRELATED" not in names
    assert "offsets" not in names
    assert "PI" not in names


def test_kernel_keeps_the_lines_of_its_file(script: Path) -> None:
    function = jit_function(load_kernel(script, "kernel"))
    assert function.__name__ == "kernel"
    line = SCRIPT.splitlines().index("def kernel(x_ptr, n, BLOCK: tl.constexpr):") + 1
    assert (
        function.starting_line_number
        + function.raw_src.index(next(text for text in function.raw_src if text.startswith("def ")))
        == line
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [("kernal", "Did you mean kernel"), ("plain", "has no kernel named 'plain'")],
)
def test_unknown_kernel_names_the_known_ones(script: Path, name: str, message: str) -> None:
    with pytest.raises(InspectionError, match=message):
        load_kernel(script, name)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InspectionError, match=r"cannot read .*nowhere\.py"):
        load_kernel(tmp_path / "nowhere.py", "kernel")


def test_syntax_error_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("x = 1\nx = = 2\n")
    with pytest.raises(InspectionError, match=r"broken\.py:2: not Python"):
        load_kernel(path, "kernel")


def test_failing_dependency_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "failing.py"
    path.write_text("import triton\nSIZE = int('many')\n\n@triton.jit\ndef kernel(x_ptr):\n    x = SIZE\n")
    with pytest.raises(InspectionError, match=r"failing\.py:2: ValueError"):
        load_kernel(path, "kernel")
