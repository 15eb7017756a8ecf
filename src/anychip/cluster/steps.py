"""The steps of a job: which one each rank is in, and who holds the others up. Flows in: the beginning and
end of steps. Flows out: the step that errors name, and the straggler with its share of the step.

In a step of synchronous training all ranks end together. One that is done early spends the rest in
collectives, where it waits; the rank that the others wait for spends least there."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from .errors import ClusterError
from .group import ChipGroup
from .members import Member

SLOWER = 1.25
"""A straggler computes longer than the median of the others by this factor at least."""
LEAST_SHARE = 0.05
"""And so does its delay: less of a step than this is nothing to name."""
REMEMBERED = 3
"""Exchanges of which the middle share counts: a rank that the system held up once is no straggler."""


@dataclass(frozen=True, slots=True)
class Straggler:
    """The rank that others wait for. `share` of a step is its own time; `others`: the median of theirs."""

    member: Member
    share: float
    others: float

    def __str__(self) -> str:
        return (
            f"{self.member} computes for {self.share:.0%} of a step, the others for {self.others:.0%}: "
            "they wait for it"
        )


class Steps:
    """The steps of a job, in a group whose back end is `anychip`. Every `every` steps the ranks exchange
    how long they computed and waited; `straggler` is then set, or None, by the last exchanges."""

    def __init__(self, group: dist.ProcessGroup | None = None, every: int = 10):
        found = group if group is not None else dist.group.WORLD
        if not isinstance(found, ChipGroup):
            raise ClusterError(
                f"steps of a group of {type(found).__name__}.", 'Make it by init_process_group("anychip").'
            )
        self._group = found
        self._every = every
        self._seconds = self._waited = 0.0
        self._counted = 0
        self._shares: deque[list[float]] = deque(maxlen=REMEMBERED)
        self.straggler: Straggler | None = None

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """The block is step `number`. The exchange at its end is a collective."""
        liveness = self._group.liveness
        liveness.at(number)
        began, waited = time.perf_counter(), liveness.waited
        yield
        self._seconds += time.perf_counter() - began
        self._waited += liveness.waited - waited
        self._counted += 1
        if self._counted == self._every:
            self._exchange()

    def _exchange(self) -> None:
        mine = torch.tensor([self._seconds, max(self._seconds - self._waited, 0.0)], dtype=torch.float64)
        rows = [torch.empty_like(mine) for _ in range(self._group.size())]
        dist.all_gather(rows, mine, group=self._group)
        self._seconds = self._waited = 0.0
        self._counted = 0
        longest = max(float(row[0]) for row in rows)
        self._shares.append([float(row[1]) / longest for row in rows])
        shares = [statistics.median_low(of_rank) for of_rank in zip(*self._shares)]
        self.straggler = None
        if len(shares) > 1:
            slowest = max(range(len(shares)), key=lambda rank: shares[rank])
            others = statistics.median(shares[:slowest] + shares[slowest + 1 :])
            if shares[slowest] > SLOWER * others and shares[slowest] - others > LEAST_SHARE:
                self.straggler = Straggler(self._group.members()[slowest], shares[slowest], others)
