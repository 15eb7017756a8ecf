"""numba and Anychip in one process. Both compile through llvmlite, so they share LLVM's global state: code
generators that were initialised, settings from command lines, the lock of llvmlite. Each has a JIT and
threads of its own.

Each order of steps (`numba_steps`, `kernel_steps`) runs in a process of its own with empty caches.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="numba is not installed: `make test-numba-0.65.1`"
)

NUMBA = ("numba.serial", "numba.parallel", "numba.cached")
OURS = ("anychip.kernels", "anychip.operators", "anychip.other_chips")
ORDERS = {"numba first": (*NUMBA, *OURS, *NUMBA, *OURS), "Anychip first": (*OURS, *NUMBA, *OURS, *NUMBA)}


def run(steps: tuple[str, ...], caches: Path, layer: str = "workqueue") -> str:
    """What a process that did the steps printed, with numba's threading layer `layer`."""
    folders = ("NUMBA_CACHE_DIR", "TRITON_CACHE_DIR", "ANYCHIP_CACHE_DIR")
    environment = {name: str(caches / name.lower()) for name in folders}
    done = subprocess.run(
        [sys.executable, "-m", "tests.installation.numba_neighbours", *steps],
        cwd=ROOT,
        env={**os.environ, **environment, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    return done.stdout


@pytest.mark.parametrize("layer", ["workqueue", "omp"])
@pytest.mark.parametrize("order", ORDERS)
def test_results_are_right_in_both_orders(order: str, layer: str, tmp_path: Path) -> None:
    run(ORDERS[order], tmp_path, layer)


@pytest.mark.parametrize("order", ORDERS)
def test_both_work_in_a_forked_child_and_in_its_parent(order: str, tmp_path: Path) -> None:
    """With the threading layer that numba allows in a child."""
    half = ORDERS[order][: len(NUMBA + OURS)]
    run((*half, "fork", *half), tmp_path)


def test_both_compile_in_threads_at_once(tmp_path: Path) -> None:
    run(("numba.serial", "anychip.kernels", "anychip.other_chips", *["threads"] * 3), tmp_path)


def test_both_caches_serve_the_next_process(tmp_path: Path) -> None:
    steps = ("numba.cached", "anychip.kernels", "numba.cached", "numba.cache_hits")
    assert run(steps, tmp_path) == "0 hits\n"
    kept = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert run(steps, tmp_path) == "1 hits\n"
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == kept, "nothing was compiled again"


@pytest.mark.parametrize(("last", "before"), [("numba.code", OURS), ("anychip.code", NUMBA)])
def test_the_code_that_one_makes_is_the_same_beside_the_other(
    last: str, before: tuple[str, ...], tmp_path: Path
) -> None:
    """No setting of LLVM's that one makes changes what the other compiles."""
    assert run((*before, last), tmp_path / "beside") == run((last,), tmp_path / "alone")
