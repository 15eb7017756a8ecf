"""Every cut of `examples/training/pretrain.py` under the strict policy has the losses and the outputs of one
process with eager PyTorch's kernels. All runs are forked from one process of their own, within a time-out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.training.parity import CHEAP, ROWS

ROOT = Path(__file__).parents[2]
STEPS, FEW = 3, 2
ULP = 64
"""By how much losses may differ, in units in the last place of f32: sums in another order. Logits, of which
there are many and which steps of AdamW drive apart, may differ by 16 times as much."""


def parity(*rows: str, timeout: float, steps: int = STEPS) -> dict[str, Any]:
    """What was found in rows, by name."""
    command = ["tools.training.parity", "run", "--json", "--steps", str(steps), "--rows", *rows]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr
    return {row["row"]: row for row in json.loads(done.stdout)["rows"]}


def assert_equal_losses(row: dict[str, Any], steps: int = STEPS) -> None:
    """The run learns, as the reference does; nothing fell through."""
    assert len(row["losses"]) == steps
    assert row["losses"][-1] < row["losses"][0]
    assert row["loss_ulp"] <= ULP
    assert row["logit_ulp"] <= 16 * ULP
    assert row["divergence"] < 1e-9
    assert row["fallen"] == []


def test_cuts_have_the_losses_of_one_process() -> None:
    found = parity(*CHEAP, timeout=900, steps=FEW)
    assert set(found) == set(CHEAP)
    for row in found.values():
        assert_equal_losses(row, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ROWS if name not in CHEAP and "bfloat16" not in name])
def test_a_cut_has_the_losses_of_one_process(name: str) -> None:
    assert_equal_losses(parity(name, timeout=1200)[name])


@pytest.mark.slow
def test_a_cut_in_lower_precision_has_the_losses_of_one_process() -> None:
    row = parity("bfloat16-ddp", timeout=1200)["bfloat16-ddp"]
    assert row["losses"] == pytest.approx(row["reference"], rel=5e-3)
