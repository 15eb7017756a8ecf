"""torchrun starts a job again after a rank was killed: the ranks find each other, not the dead ones', and the
losses are those of a job that nothing befell."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from torch._C._distributed_c10d import HashStore

from anychip.cluster.arrival import start_of
from anychip.cluster.errors import ClusterError
from tools.cluster import job
from tools.cluster.faults import losses
from tools.cluster.training import INTERVAL

STEPS = 8


def started(folder: Path, *options: str) -> dict[int, str]:
    """Losses by step of a job of two ranks, started again twice at most."""
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "2"]
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, *run, "-m", "tools.cluster.training", str(folder), str(STEPS), *options],
        cwd=job.ROOT,
        env={**os.environ, "PYTHONPATH": f"{job.ROOT}:{job.ROOT / 'src'}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return losses(folder, 2)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """The losses of a job that nothing befalls."""
    return started(tmp_path_factory.mktemp("restart") / "undisturbed")


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--asynchronous",)], ids=["in step", "asynchronous"])
def test_a_job_that_torchrun_starts_again_has_the_losses_it_would_have_had(
    tmp_path: Path, options: tuple[str, ...], expected: dict[int, str]
) -> None:
    assert len(expected) == STEPS
    disturbed = tmp_path / "disturbed"
    assert started(disturbed, "--fault", "kill", "1", "4", *options) == expected
    assert (disturbed / "befallen").exists()
    done = (disturbed / "losses-0.txt").read_text().count("\n")
    assert 0 <= done - STEPS <= INTERVAL * (1 + len(options))


def met(store: HashStore, ranks: list[int], size: int) -> dict[int, str]:
    """The names that ranks agree upon, each in a thread of its own."""
    found: dict[int, str] = {}

    def come(rank: int) -> None:
        found[rank] = start_of(store, rank, size, 20.0)

    threads = [threading.Thread(target=come, args=(rank,)) for rank in ranks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_each_start_has_a_name_of_its_own_in_one_store() -> None:
    store = HashStore()
    names = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        found = met(store, order, 3)
        assert set(found) == {0, 1, 2}
        assert len(set(found.values())) == 1
        names.append(found[0])
    assert len(set(names)) == 3


def test_a_rank_that_came_before_and_is_dead_is_not_waited_for() -> None:
    store = HashStore()
    store.set("came/1", "dead")
    assert len(set(met(store, [0, 1], 2).values())) == 1


def test_a_rank_that_does_not_come_is_named() -> None:
    with pytest.raises(ClusterError, match="rank 1 did not come"):
        start_of(HashStore(), 0, 2, 0.1)
    with pytest.raises(ClusterError, match="rank 0 did not call"):
        start_of(HashStore(), 1, 2, 0.1)
