"""Batches cut unequally, with the loss of the equal cut. Flows in: how many samples there are, the global
batch, each rank's speed. Flows out: which samples a rank takes, in an order that does not depend on the
cut, and the weight of its loss.

Trainers average gradients over ranks, each with the mean loss of its own samples. Where rank r has n_r of N
samples, its loss times n_r * ranks / N makes that average the gradient of the mean over all N."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist

from .errors import CutError


def sizes_of(total: int, speeds: Sequence[float]) -> list[int]:
    """`total` samples cut in proportion to speeds, each rank at least one: the cut whose slowest rank ends
    first.

    Samples are given one by one to the rank that would end first with one more; this greedy choice is
    optimal, since times grow with each sample. Raises CutError for fewer samples than ranks, or a speed of
    0."""
    if total < len(speeds) or min(speeds) <= 0:
        raise CutError(
            f"a batch of {total} samples for {len(speeds)} ranks of speeds {list(speeds)}.",
            "Each rank takes one sample at least, and its speed must be above 0.",
        )
    sizes = [1] * len(speeds)
    for _ in range(total - len(speeds)):
        first = min(range(len(speeds)), key=lambda rank: ((sizes[rank] + 1) / speeds[rank], rank))
        sizes[first] += 1
    return sizes


class Shards:
    """A rank's samples of each global batch: iterating gives a list of indices for each step of the epoch,
    from the step on that was loaded. What does not fill a batch at the end of an epoch is left out, on
    every rank.

    `samples` in the data set are shuffled by `seed` and epoch alone; batch k is the same set in the same
    order however it is cut. `state_dict` and `load_state_dict` keep the place, for checkpoints."""

    def __init__(self, samples: int, global_batch: int, speeds: Sequence[float], rank: int, seed: int = 0):
        if global_batch > samples:
            raise CutError(
                f"a batch of {global_batch} of {samples} samples.", "Take a batch that the data fill once."
            )
        self.sizes = sizes_of(global_batch, speeds)
        self.global_batch = global_batch
        self.batches = samples // global_batch
        self._samples = samples
        self._rank = rank
        self._seed = seed
        self._first = sum(self.sizes[:rank])
        self.epoch = 0
        self.step = 0
        self._order: tuple[int, torch.Tensor] | None = None

    def batch(self, step: int) -> list[int]:
        """The whole batch `step` of this epoch."""
        if self._order is None or self._order[0] != self.epoch:
            generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self.epoch)
            self._order = self.epoch, torch.randperm(self._samples, generator=generator)
        begin = step * self.global_batch
        return self._order[1][begin : begin + self.global_batch].tolist()

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.step, self.batches):
            taken = self.batch(step)[self._first : self._first + self.sizes[self._rank]]
            last = step + 1 == self.batches
            self.epoch, self.step = (self.epoch + 1, 0) if last else (self.epoch, step + 1)
            yield taken

    def __len__(self) -> int:
        return self.batches

    @property
    def weight(self) -> float:
        """What the mean loss of this rank's samples is multiplied by before `backward`."""
        return self.sizes[self._rank] * len(self.sizes) / self.global_batch

    def weigh(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss to call `backward` on, where the trainer averages gradients over ranks."""
        return loss * self.weight

    def state_dict(self) -> dict[str, Any]:
        """The place in the data: where the next batch comes from."""
        return {
            "epoch": self.epoch, "step": self.step, "seed": self._seed, "samples": self._samples,
            "global_batch": self.global_batch,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a place, in another cut too. Raises CutError where the data or the batch are others."""
        mine = self.state_dict()
        for name in ("seed", "samples", "global_batch"):
            if state[name] != mine[name]:
                raise CutError(
                    f"the checkpoint's data had {name} {state[name]}, this job's have {mine[name]}.",
                    "Go on with the same data, seed and global batch: the loss would be another.",
                )
        self.epoch, self.step = state["epoch"], state["step"]


def weighted(loss: torch.Tensor, count: int, group: dist.ProcessGroup | None = None) -> torch.Tensor:
    """The loss to call `backward` on where ranks' means are over counts that only each knows, such as
    tokens that are not padding: `loss` is the mean over this rank's `count`. A collective."""
    total = torch.tensor(count, dtype=torch.int64)
    dist.all_reduce(total, group=group)
    if not total.item():
        return loss * 0.0
    return loss * (count * dist.get_world_size(group) / total.item())
