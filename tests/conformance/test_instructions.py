"""Instructions of an operator's kernels on an emulated chip, and what has none."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.compiler.foreign.routes import resolve
from anychip.conformance.errors import ConformanceError
from anychip.conformance.instructions import instructions
from anychip.conformance.trials import Sampling


def test_a_gpu_is_refused() -> None:
    with pytest.raises(ConformanceError, match="this is a GPU"):
        instructions(resolve("sm_90"), ["exp"], Sampling((torch.float32,), 1))


@pytest.mark.slow
def test_an_operator_has_instructions_and_no_times() -> None:
    pytest.importorskip("ziglang")
    if not shutil.which("qemu-aarch64-static") and not shutil.which("qemu-aarch64"):
        pytest.skip("QEMU is not installed")
    arguments = ["profile", "--chip", "cortex-a76", "--ops", "exp", "--json"]
    done = CliRunner().invoke(application, arguments, catch_exceptions=False)
    rows = json.loads(done.stdout)
    assert rows
    assert all(row["instructions"] > 10 for row in rows)
    assert set(rows[0]) == {"operator", "dtype", "inputs", "kernel", "launches", "instructions"}
