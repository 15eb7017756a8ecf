"""Checkpoints of one process: what DCP would change silently is refused, what is half written is not
taken."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch._C._distributed_c10d import TCPStore

from anychip.cluster import CheckpointError
from anychip.cluster.checkpoint import Checkpoints
from anychip.cluster.shards import Shards
from tools.cluster import job


@pytest.fixture(scope="module", autouse=True)
def alone() -> Iterator[None]:
    store = TCPStore("127.0.0.1", job.free_port(), 1, True)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Tied(torch.nn.Module):
    """An embedding and a head, of one weight or of two."""

    def __init__(self, is_tied: bool, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 3, dtype=dtype)
        self.head = torch.nn.Linear(3, 5, bias=False, dtype=dtype)
        if is_tied:
            self.head.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(x))


def checkpoints(
    folder: Path, model: torch.nn.Module, data: Shards | None = None, is_async: bool = False
) -> Checkpoints:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.arange(5)).sum().backward()
    optimizer.step()
    return Checkpoints(folder, model, optimizer, data, every=2, keep=2, is_async=is_async)


def test_weights_place_and_random_states_come_back(tmp_path: Path) -> None:
    data = Shards(12, 4, [1.0], 0)
    model = Tied(is_tied=True)
    saving = checkpoints(tmp_path, model, data)
    next(iter(data))
    saving.after(0)
    assert saving.restore() == 0
    saving.after(1)
    weights = model.head.weight.detach().clone()
    drawn = torch.rand(3), random.random(), next(iter(data))
    with torch.no_grad():
        model.head.weight.zero_()
    assert saving.restore() == 2
    assert torch.equal(model.head.weight, weights)
    assert model.head.weight is model.embedding.weight
    again = torch.rand(3), random.random(), next(iter(data))
    assert torch.equal(drawn[0], again[0])
    assert drawn[1:] == again[1:]


def test_only_the_newest_whole_ones_are_kept(tmp_path: Path) -> None:
    saving = checkpoints(tmp_path, Tied(is_tied=False))
    for step in range(8):
        saving.after(step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000006", "step-00000008"]
    (tmp_path / "step-00000008").rename(tmp_path / "step-00000008.partial")
    assert saving.restore() == 6
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000006"]


def test_a_cast_is_refused(tmp_path: Path) -> None:
    checkpoints(tmp_path, Tied(is_tied=False)).after(1)
    with pytest.raises(CheckpointError, match=r"saved as torch.float32 and is torch.bfloat16"):
        checkpoints(tmp_path, Tied(is_tied=False, dtype=torch.bfloat16)).restore()


def test_weights_that_are_shared_no_more_are_refused(tmp_path: Path) -> None:
    checkpoints(tmp_path, Tied(is_tied=True)).after(1)
    with pytest.raises(CheckpointError, match="shared when saved"):
        checkpoints(tmp_path, Tied(is_tied=False)).restore()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    saving = checkpoints(tmp_path / "file", Tied(is_tied=False))
    with pytest.raises(CheckpointError, match=r"after step 1 was not written. rank 0: \w+Error"):
        saving.after(1)


def test_a_checkpoint_written_while_steps_go_on_has_the_weights_of_its_step(tmp_path: Path) -> None:
    model = Tied(is_tied=True)
    saving = checkpoints(tmp_path, model, is_async=True)
    saving.after(1)
    weights = model.head.weight.detach().clone()
    with torch.no_grad():
        model.head.weight.zero_()
    saving.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]
    assert saving.restore() == 2
    assert torch.equal(model.head.weight, weights)
    for step in range(2, 8):
        saving.after(step)
    saving.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000006", "step-00000008"]


def test_a_checkpoint_that_could_not_be_written_is_told_of_later(tmp_path: Path) -> None:
    saving = checkpoints(tmp_path, Tied(is_tied=False), is_async=True)
    (tmp_path / "step-00000002.partial" / ".metadata" / "in the way").mkdir(parents=True)
    saving.after(1)
    with pytest.raises(CheckpointError, match=r"after step 1 was not written. rank 0: \w+Error"):
        saving.after(3)
    assert list(tmp_path.iterdir()) == []
    saving.after(3)
    saving.finish()
    assert saving.restore() == 4
