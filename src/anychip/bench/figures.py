"""The promised figures: compiling, the cache, a launch, the model, the tutorial's matmul, the wheel.

Flows in: whether the demonstration's model is to be run, and Triton's tutorial kernel if the caller has it.
Flows out: `Figure`s, each with its goal and how it was measured.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from . import compiling, launching, models
from .case import normal
from .kernels.matrices import matmul
from .measure import TimingBudget, interleaved
from .models import ModelRun

STEPS = 6
"""How many steps `measure` announces."""
IMPORTS = 7

COMPILE_GOAL_MS, CACHE_GOAL_MS, LAUNCH_GOAL_US, REPLAY_GOAL_US = 150.0, 5.0, 3.0, 0.3
MODEL_GOAL, MATMUL_GOAL, WHEEL_GOAL_MB, IMPORT_GOAL_S = 1.3, 1.0, 1.0, 0.15


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` in `unit`, None where it could not be measured; `at_most` or `at_least` is the goal."""

    what: str
    value: float | None
    unit: str
    goal: float
    at_most: bool
    how: str

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None if nothing was measured."""
        if self.value is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    def cells(self) -> tuple[str, str, str, str, str]:
        """A line of a table."""
        sign = "at most" if self.at_most else "at least"
        value = "not measured" if self.value is None else f"{self.value:.3g} {self.unit}".rstrip()
        reached = {None: "", True: "yes", False: "no"}[self.reached]
        return self.what, value, f"{sign} {self.goal:g} {self.unit}".rstrip(), reached, self.how


def measure(step: Callable[[str], None], with_model: bool, tutorial: Any | None) -> list[Figure]:
    """Measure every figure, those of the demonstration's model only `with_model`. `tutorial` is Triton's own
    matmul kernel (None: ours, of the same build)."""
    figures: list[Figure] = []
    step("running the model")
    run = models.demonstrated() if with_model else None
    step("compiling the model's kernels in a new process")
    figures += _compiling(run)
    step("launching")
    figures.append(_launch())
    figures.append(_replay())
    figures += _model(run)
    step("matmul")
    figures.append(_matmul(tutorial))
    step("building the wheel")
    figures.append(_wheel())
    step("importing")
    figures.append(_import())
    return figures


# ---- compiling -------------------------------------------------------------------------------------


def _compiling(run: ModelRun | None) -> list[Figure]:
    compile_, cached = (
        "cold compile of a kernel, median",
        "a kernel from the disk cache in a new process, median",
    )
    if run is None:
        return [
            Figure(compile_, None, "ms", COMPILE_GOAL_MS, True, "needs the model"),
            Figure(cached, None, "ms", CACHE_GOAL_MS, True, "needs the model"),
        ]
    found = compiling.measure(run.kernels)
    total = compiling.median_ms(found)
    how = (
        f"{len(found)} kernels of the model, TTIR text to object code, in a new process; "
        f"ms: {compiling.shares(found)}"
    )
    return [
        Figure(compile_, total, "ms", COMPILE_GOAL_MS, True, how),
        Figure(
            cached, run.cached_ms, "ms", CACHE_GOAL_MS, True, "lookup, checksum and linking of each of them"
        ),
    ]


# ---- launching, model, matmul ----------------------------------------------------------------------


def _launch() -> Figure:
    ours, stock = launching.measure()
    return Figure(
        "a launch of a three-pointer kernel, above the stock path",
        (ours - stock) * 1e6,
        "us",
        LAUNCH_GOAL_US,
        True,
        f"{ours * 1e6:.1f} us less {stock * 1e6:.1f} us with an empty launcher, least of runs in turns",
    )


def _replay() -> Figure:
    each, launches = launching.measure_replay()
    return Figure(
        "a launch replayed by a Program",
        each * 1e6,
        "us",
        REPLAY_GOAL_US,
        True,
        f"difference of Programs of {launches} and of 1 launches of a kernel of 16 elements, a launch; least "
        "of runs in turns",
    )


def _model(run: ModelRun | None) -> list[Figure]:
    what = "MiniLM batch 32, strict against eager, two threads: time ratio"
    if run is None:
        return [Figure(what, None, "", MODEL_GOAL, True, "left out")]
    speed = run.speed
    how = (
        f"{speed.ours.median * 1e3:.1f} ms against {speed.eager.median * 1e3:.1f} ms, quartiles of the ratio "
        f"{1 / speed.ratio.high:.2f} to {1 / speed.ratio.low:.2f}"
    )
    if speed.disturbed:
        how += f"; busy: {speed.disturbed}"
    return [Figure(what, 1 / speed.ratio.median, "", MODEL_GOAL, True, how)]


def _matmul(tutorial: Any | None) -> Figure:
    a, b = normal(1024, 1024), normal(1024, 1024, seed=1)
    ours: Callable[[], Any] = lambda: matmul(a, b, tile=(128, 256, 64))  # noqa: E731
    source = "a kernel built like Triton's tutorial 03 with its first tile (128 x 256 x 64)"
    if tutorial is not None:
        c = torch.empty(1024, 1024)

        def ours() -> Any:
            return launching.tutorial_matmul(tutorial, a, b, c)

        source = "Triton's tutorial 03 as it stands, tuned by its own configurations"
    found = interleaved({"ours": ours, "eager": lambda: torch.mm(a, b)}, TimingBudget(seconds=6.0))
    ratio = found.ratios["eager"]
    how = (
        f"{source}: {found.times['ours'].median * 1e3:.2f} ms, quartiles of the ratio {ratio.low:.2f} to "
        f"{ratio.high:.2f}, {torch.get_num_threads()} threads"
    )
    if found.disturbed:
        how += f"; busy: {found.disturbed}"
    return Figure("f32 matmul 1024: torch.mm's time / ours", ratio.median, "", MATMUL_GOAL, False, how)


# ---- packaging -------------------------------------------------------------------------------------


def _wheel() -> Figure:
    what = "our wheel"
    root = Path(__file__).parents[3]
    if not (root / "pyproject.toml").is_file():
        return Figure(what, None, "MB", WHEEL_GOAL_MB, True, "measured from a checkout only")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, str(root)]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(folder).glob("anychip-*.whl"))
        if done.returncode or not wheels:
            return Figure(
                what, None, "MB", WHEEL_GOAL_MB, True, "pip wheel failed: " + done.stderr.strip()[-200:]
            )
        return Figure(
            what, wheels[0].stat().st_size / 1e6, "MB", WHEEL_GOAL_MB, True, "pip wheel --no-deps ."
        )


_IMPORT = """
import sys, time
start = time.perf_counter()
import anychip
seconds = time.perf_counter() - start
assert "torch" not in sys.modules
print(seconds)
"""


def _import() -> Figure:
    times = []
    for _ in range(IMPORTS):
        done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True)
        times.append(float(done.stdout))
        time.sleep(0.05)
    return Figure(
        "import anychip, without torch",
        statistics.median(times),
        "s",
        IMPORT_GOAL_S,
        True,
        f"median of {IMPORTS} new processes",
    )
