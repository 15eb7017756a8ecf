"""`anychip debug sanitize` runs a program to its end and lists what its kernels did wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from anychip.cli.errors import CommandError
from anychip.compiler.codegen.check_table import Check, Kind, Site
from anychip.debug.collecting import Collector, UnreadableReport, read
from anychip.runtime.findings import Finding, View
from anychip.triton_backend.sanitizer import USUAL, UnknownCheck, parse

PROGRAM = """
import sys, torch, triton, triton.language as tl

@triton.jit
def double(x, y, n, B: tl.constexpr):
    k = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(y + k, tl.load(x + k, mask=k < n) * 2, mask=k < n)

x = torch.empty(100)
x[:90] = 1.0
for _ in range(3):
    double[(2,)](x, torch.zeros(64), 100, B=64)
print("at the end", sys.argv[1:])
"""


def sanitize(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "anychip", "debug", "sanitize", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)


def test_a_program_is_run_to_its_end(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    done = sanitize("--json", "--checks", "bounds,uninitialised", str(script), "--its-own", "1")
    assert done.returncode == 1, done.stderr
    first, _, report = done.stdout.partition("\n")
    assert first == "at the end ['--its-own', '1']"
    told = json.loads(report)
    assert told["status"] == 0
    by_check = {finding["check"]: finding for finding in told["findings"]}
    assert set(by_check) == {"bounds", "uninitialised"}
    outside, unwritten = by_check["bounds"], by_check["uninitialised"]
    assert (outside["kernel"], outside["argument"], outside["index"]) == ("double", "y", [64])
    assert (outside["program"], outside["lane"], outside["launches"]) == ([1, 0, 0], 0, 3)
    assert (unwritten["argument"], unwritten["index"], unwritten["count"]) == ("x", [90], 30)
    assert outside["place"] == f"{script}:7"


def test_a_program_without_kernels(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit(3)")
    done = sanitize(str(script))
    assert done.returncode == 3
    assert "never imported PyTorch" in done.stderr


def test_checks_have_names() -> None:
    assert parse("") == parse("0") == frozenset()
    assert parse("1") == USUAL
    assert parse("all") == frozenset(Check)
    assert parse("race, bounds") == {Check.RACE, Check.BOUNDS}
    with pytest.raises(UnknownCheck, match="no check 'raec'; there are overflow, bounds"):
        parse("bounds,raec")


def test_nothing_to_check() -> None:
    from anychip.cli.debug.sanitize import sanitize

    with pytest.raises(CommandError, match="names no check"):
        sanitize(["script.py"], check="0")


def finding(count: int, place: str = "kernel.py:3") -> Finding:
    site = Site(Check.BOUNDS, Kind.READ, "x", 0, 4, "f32", place)
    return Finding("kernel", site, (0, 0, 0), 5, 40, 0, count, View((10,), (1,), 4, (0, 40)))


def test_a_fault_is_told_once(tmp_path: Path) -> None:
    collector = Collector()
    collector.add([finding(2)])
    collector.add([finding(3), finding(1, "kernel.py:4")])
    first, second = collector.findings
    assert (first.count, first.launches, second.count) == (5, 2, 1)
    collector.write(tmp_path)
    assert [told["text"] for told in read(tmp_path)] == [str(first), str(second)]
    (tmp_path / "findings-0.json").write_text("[")
    with pytest.raises(UnreadableReport, match="findings-0"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "index"),
    [
        ((4, 5), (5, 1), 7, (1, 2)),
        ((4, 5), (5, 1), 20, (4, 0)),
        ((4, 5), (5, 1), -1, (-1, 4)),
        ((4, 5), (8, 1), 6, (0, 6)),
        ((4, 5), (1, 4), 6, (2, 1)),
        ((4, 5), (0, 1), 7, (0, 7)),
        ((4, 1), (2, 1), 3, (1, 1)),
        ((), (), 1, ()),
    ],
)
def test_indices_of_elements(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int, index: tuple[int, ...]
) -> None:
    assert View(shape, strides, 4).index(4 * offset) == index
