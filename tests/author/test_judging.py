"""Honest kernels are accepted, and what is asked wrongly is told from what is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from anychip.author.errors import CandidateError, TaskError
from anychip.author.judgement import Terms
from anychip.author.judging import judge
from anychip.author.processes.confined import Nursery
from anychip.author.tasks import find

KERNELS = Path(__file__).parent / "kernels"
HONEST = KERNELS / "honest.py"


@pytest.mark.parametrize(
    ("function", "task", "dtype"),
    [
        ("softmax", "softmax", torch.float32),
        ("softmax", "softmax", torch.bfloat16),
        ("softmax", str(KERNELS / "reference_task.py"), torch.float32),
        ("add", "add", torch.float32),
        ("silu", "silu", torch.float16),
        ("silu", "silu", torch.float32),
        ("ModelNew", str(KERNELS / "model_task.py"), torch.float32),
    ],
)
def test_honest_kernels_are_accepted(
    nursery: Nursery, terms: Terms, function: str, task: str, dtype: torch.dtype
) -> None:
    verdict = judge(nursery, find(task), HONEST, function, dataclasses.replace(terms, dtype=dtype))
    assert verdict.accepted, verdict.line
    assert verdict.times is not None
    assert verdict.times.low <= verdict.times.speed <= verdict.times.high
    assert any(function[:3].lower() in name or "linear" in name for name in verdict.kernels)
    gradients = next(check for check in verdict.checks if check.name == "right gradients")
    assert gradients.outcome == ("passed" if function == "silu" else "not made")


def test_operators_of_the_library_are_honest(nursery: Nursery, terms: Terms, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from anychip.ops.normalization import softmax as own\n\n\n"
        "def softmax(x, dim):\n    return own.softmax(x, dim, False)\n"
    )
    verdict = judge(nursery, find("softmax"), file, "softmax", terms)
    assert verdict.accepted, verdict.line


def test_a_missing_function_is_refused(nursery: Nursery, terms: Terms) -> None:
    verdict = judge(nursery, find("softmax"), HONEST, "softmin", terms)
    assert verdict.fault is not None
    assert verdict.fault.name == "loaded"
    assert "softmin" in verdict.fault.detail


def test_wrong_use(nursery: Nursery, terms: Terms, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="softmax"):
        find("sofmax")
    with pytest.raises(CandidateError, match=r"nowhere\.py"):
        judge(nursery, find("softmax"), tmp_path / "nowhere.py", "softmax", terms)
    neither = tmp_path / "task.py"
    neither.write_text("x = 1\n")
    with pytest.raises(TaskError, match="neither"):
        find(str(neither))


def test_the_roof_refuses_what_is_too_quick(nursery: Nursery, terms: Terms) -> None:
    from anychip.bench.roofs import Roofs

    slow = Roofs(1, {1 << 15: 1.0, 1 << 20: 1.0}, {"f32": 1.0})
    verdict = judge(nursery, find("softmax"), HONEST, "softmax", dataclasses.replace(terms, roofs=slow))
    assert verdict.fault is not None
    assert verdict.fault.name == "not under the roof"


ABANDONED = """
import os, signal
from anychip.author.processes.confined import Nursery

peer = Nursery().start("peer", 1 << 20)
print(peer._process, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_outlives_a_judge_that_is_killed() -> None:
    """A process that stands still would, if it waited for its judge to say something."""
    done = subprocess.run([sys.executable, "-c", ABANDONED], capture_output=True, text=True, timeout=300)
    process = int(done.stdout)
    end = time.monotonic() + 60
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < end, "it is still there"
        time.sleep(0.05)


def test_the_machine_confines(nursery: Nursery, terms: Terms) -> None:
    """What the machine that tests run on offers is in force."""
    verdict = judge(nursery, find("softmax"), HONEST, "softmin", terms)
    assert verdict.held["no new privileges"] == "holds"
    assert verdict.held["no processes, network or other processes' memory"] == "holds"
