"""How long kernels take to compile, from TTIR text to object code, in a new process.

Flows in: cases, or names and texts of kernels. Flows out: for each its seconds, and the seconds of each
stage.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..runtime import launches
from .case import Case

GOAL_MS = 80.0
"""The median over the suite that is promised."""
HEADINGS = ("kernel", "compile (ms)", "of it in LLVM (ms)", "TTIR lines")

_PROGRAM = """
import json, sys, time
from anychip.compiler import pipeline, targets
found = []
for name, text in json.load(sys.stdin):
    start = time.perf_counter()
    kernel = pipeline.compile_ttir(text, targets.host())
    found.append([name, time.perf_counter() - start, kernel.seconds, text.count("\\n")])
json.dump(found, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Compiled:
    """`seconds` from TTIR text to object code; `stages`: seconds of each; `lines` of TTIR."""

    kernel: str
    seconds: float
    stages: Mapping[str, float]
    lines: int

    def cells(self) -> tuple[str, ...]:
        """A line of a table."""
        return self.kernel, f"{self.seconds * 1e3:.1f}", f"{self.stages['llvm'] * 1e3:.1f}", str(self.lines)


def kernels(case: Case) -> list[tuple[str, str]]:
    """The kernels that a case launches, by name and TTIR text."""
    work = case.make()
    with launches.record() as recorded, torch.no_grad():
        work.ours(*work.arguments)
    return [(launch.kernel, launch.origin.ttir()) for launch in recorded if launch.origin is not None]


def measure(kernels: Sequence[tuple[str, str]]) -> list[Compiled]:
    """Compile the kernels, given as name and TTIR text, one after the other in one new process."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps(kernels),
        capture_output=True,
        text=True,
        check=True,
    )
    return [Compiled(*row) for row in json.loads(done.stdout)]


def median_ms(compiled: Sequence[Compiled]) -> float:
    """The median of the whole, in milliseconds."""
    return statistics.median(row.seconds for row in compiled) * 1e3


def shares(compiled: Sequence[Compiled]) -> str:
    """The medians of the stages in milliseconds, as a phrase."""
    stages = compiled[0].stages
    medians = {stage: statistics.median(row.stages[stage] for row in compiled) * 1e3 for stage in stages}
    return ", ".join(f"{stage} {value:.1f}" for stage, value in medians.items())
