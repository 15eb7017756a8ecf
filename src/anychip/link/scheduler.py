"""Whose observation is computed next, and with which others: earliest deadline first, in batches that respect
the deadlines of all that are in them.

Flows in: requests with deadlines (ns, the server's clock) and measured times of batches. Flows out: batches,
and requests that nobody will answer, with the reason. Each robot has one request at most: a newer one takes
the place of an older one, so that no robot can fill the queue. Where not all can be served in time, those
that were served least of late come first, since the earliest deadline alone would starve the same robots
every time."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .frames import Array, name_of

MEASURED = 16
"""Times that are remembered for each size of batch."""

PROBE_EVERY = 50_000_000
"""Nanoseconds after which a hopeless request is computed all the same where nothing else was: a machine that
was slow once would be held for slow ever after."""


@dataclass(frozen=True, slots=True)
class Request:
    """An observation that waits. `owner`: whose connection; `arrived` and `deadline` by the server's
    clock."""

    owner: Hashable
    sequence: int
    tick: int
    observed_at: int
    expires_at: int
    arrived: int
    deadline: int
    tensors: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that will not be answered, and why."""

    request: Request
    reason: str


class BatchTimes:
    """How long batches take, by their number of requests: a high quantile of what was measured of late, but
    for times of a machine that is more than twice as quick again. Sizes that were not measured yet are taken
    from the nearest: a smaller batch is not slower than a larger one, a larger one not slower than in
    proportion."""

    def __init__(self, largest: int, quantile: float = 0.9):
        self.largest, self._quantile = largest, quantile
        self._measured: dict[int, deque[int]] = {}
        self._known: dict[int, int] = {}

    def measured(self, size: int, nanoseconds: int) -> None:
        """Note what a batch took."""
        times = self._measured.setdefault(size, deque(maxlen=MEASURED))
        if nanoseconds * 2 < self._known.get(size, 0):
            times.clear()
        times.append(nanoseconds)
        ordered = sorted(times)
        self._known[size] = ordered[min(int(len(ordered) * self._quantile), len(ordered) - 1)]

    def expected(self, size: int) -> int:
        """Nanoseconds that a batch of `size` is expected to take; 0 where nothing was measured."""
        if size in self._known:
            return self._known[size]
        above = [known for known in self._known if known > size]
        below = [known for known in self._known if known < size]
        guesses = []
        if above:
            guesses.append(self._known[min(above)])
        if below:
            nearest = max(below)
            guesses.append(self._known[nearest] * size // nearest)
        return min(guesses, default=0)


class Scheduler:
    """Requests that wait. `largest_batch`: requests that are computed together at most."""

    def __init__(self, largest_batch: int):
        self.times = BatchTimes(largest_batch)
        self._waiting: dict[Hashable, Request] = {}
        self._served: dict[Hashable, float] = {}
        self._computed = -PROBE_EVERY

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, request: Request) -> Unanswered | None:
        """Add a request; the one whose place it takes, if there was one."""
        earlier = self._waiting.get(request.owner)
        self._waiting[request.owner] = request
        self._served.setdefault(request.owner, self._least())
        return Unanswered(earlier, "a newer observation came") if earlier is not None else None

    def forget(self, owner: Hashable) -> None:
        """An owner is gone, and what it asked need not be computed."""
        self._waiting.pop(owner, None)
        self._served.pop(owner, None)

    def next_batch(self, now: int) -> tuple[list[Request], list[Unanswered]]:
        """The requests to compute now, together; empty where none waits. Requests that could not be in time
        even alone are given up."""
        alone = self.times.expected(1)
        lost = [
            Unanswered(request, "it would be too late")
            for request in self._waiting.values()
            if now + alone > request.deadline
        ]
        if lost and len(lost) == len(self._waiting) and now - self._computed >= PROBE_EVERY:
            lost.sort(key=lambda each: each.request.deadline)
            if lost[-1].request.deadline > now:
                lost.pop()
        for each in lost:
            del self._waiting[each.request.owner]
        if not self._waiting:
            return [], lost
        self._computed = now
        ordered = sorted(self._waiting.values(), key=lambda request: request.deadline)
        if not self._all_in_time(ordered, now):
            ordered.sort(key=lambda request: (self._served[request.owner], request.deadline))
        batch = self._batch(ordered, now)
        for request in batch:
            del self._waiting[request.owner]
            self._served[request.owner] += 1
        return batch, lost

    def _batch(self, ordered: list[Request], now: int) -> list[Request]:
        """As many of the first as are all in time together."""
        best = 1
        earliest = ordered[0].deadline
        for size in range(2, min(len(ordered), self.times.largest) + 1):
            earliest = min(earliest, ordered[size - 1].deadline)
            if now + self.times.expected(size) <= earliest:
                best = size
        return ordered[:best]

    def _all_in_time(self, ordered: list[Request], now: int) -> bool:
        """Whether batch after batch would meet every deadline."""
        done, first = now, 0
        while first < len(ordered):
            size = min(self.times.largest, len(ordered) - first)
            done += self.times.expected(size)
            if done > ordered[first].deadline:
                return False
            first += size
        return True

    def _least(self) -> float:
        """What a newcomer counts as served: as much as who was served least, not nothing, or it would come
        before all others for long."""
        return min(self._served.values(), default=0.0)


def stacked(batch: list[Request]) -> dict[str, Array]:
    """The tensors of a batch, along a new first axis. All requests have the same names, types and shapes."""
    return {name: np.stack([request.tensors[name] for request in batch]) for name in batch[0].tensors}


Signature = tuple[tuple[str, str, tuple[int, ...]], ...]


def signature(tensors: Mapping[str, Any]) -> Signature:
    """Names, element types and shapes, which requests of a batch share."""
    return tuple(sorted((name, name_of(array.dtype), tuple(array.shape)) for name, array in tensors.items()))
