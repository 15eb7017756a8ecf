"""Faults in a job of two ranks: every survivor ends in time, says who is to blame, and the job goes on with
the losses that it would have had, dropout and order of data included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tools.cluster import job, namespaces
from tools.cluster.faults import LIMIT, RECORD
from tools.cluster.training import INTERVAL


def injected(*faults: tuple[str, int, int], ranks: int = 2) -> list[dict[str, Any]]:
    arguments = [str(value) for fault in faults for value in fault]
    environment = {**os.environ, "PYTHONPATH": f"{job.ROOT}:{job.ROOT / 'src'}"}
    ended = subprocess.run(
        [sys.executable, "-m", "tools.cluster.faults", "run", str(ranks), *arguments],
        cwd=job.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=(LIMIT + 120) * len(faults) + 120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["steps"] == 10
    return told["outcomes"]


def require(outcome: dict[str, Any]) -> None:
    """That a fault did what it may: no survivor waits, somebody names the rank, no loss is wrong."""
    assert outcome["is_ended"], outcome
    assert outcome["seconds"] < LIMIT, outcome
    assert outcome["is_named"], outcome
    assert outcome["is_same"], outcome
    assert 0 <= outcome["recomputed"] <= INTERVAL, outcome


def test_a_rank_that_is_killed_in_a_step() -> None:
    (outcome,) = injected(("kill", 1, 4))
    require(outcome)
    assert "rank 1 (chip-1" in outcome["message"]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("kind", ["kill", "stop", "slow", "straggler"])
def test_what_befalls_a_rank(kind: str, rank: int) -> None:
    (outcome,) = injected((kind, rank, 5))
    require(outcome)


@pytest.mark.slow
def test_sums_of_three_ranks_do_not_depend_on_buckets() -> None:
    """DDP's first step after the restart has other buckets than the same step of the undisturbed job."""
    (outcome,) = injected(("kill", 2, 3), ranks=3)
    require(outcome)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is mounted, which only root may")
def test_a_disk_that_is_full() -> None:
    (outcome,) = injected(("full", 1, 4))
    require(outcome)


@pytest.mark.slow
def test_a_host_that_is_cut_off() -> None:
    if reason := namespaces.why_not():
        pytest.skip(reason)
    (outcome,) = injected(("cut", 1, 4))
    require(outcome)


def test_the_record_has_no_hang_and_no_wrong_loss() -> None:
    if not RECORD.is_file():
        pytest.skip("no record yet: python -m tools.cluster.faults record 50")
    for outcome in json.loads(RECORD.read_text())["outcomes"]:
        assert outcome["is_ended"], outcome
        assert outcome["is_same"], outcome
