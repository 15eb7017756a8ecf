"""Which ranks live, and what each is at. Flows in: beats that every rank writes into the job's store. Flows
out: when a collective does not end, the ranks that it is put down to, with chip, host and step.

A beat is written a few times in a time-out by a thread of its own, over a connection of its own: a rank
that computes for long, or waits, still beats; one that was killed, stopped or cut off does not. gloo itself
notices a closed connection at once, but names an address, not a rank."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

from torch._C._distributed_c10d import Store

from . import members
from .errors import RankLost
from .members import Member

BEATS_IN_A_TIMEOUT = 8
SLOWEST_BEAT, QUICKEST_BEAT = 2.0, 0.1
"""Seconds between two beats, at most and at least."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a rank is at. `done` counts the collectives of the whole job's group that it has ended;
    `waiting` names the one that it is in, "" while it computes; `has_left`: it ended its group as a program
    should."""

    count: int = 0
    step: int = -1
    done: int = 0
    waiting: str = ""
    has_left: bool = False
    error: str = ""


class Liveness:
    """The beats of this process, and a view of the others'."""

    def __init__(self, store: Store, rank: int, size: int, seconds: float):
        self.rank = rank
        self.size = size
        self.interval = min(max(seconds / BEATS_IN_A_TIMEOUT, QUICKEST_BEAT), SLOWEST_BEAT)
        connections: Any = store
        self._store, self._asking = connections.clone(), connections.clone()
        for connection in (self._store, self._asking):
            connection.set_timeout(timedelta(seconds=max(self.interval * 2, 1.0)))
        self._beat = Beat()
        self._changed = threading.Lock()
        self._end = threading.Event()
        self._news = threading.Event()
        self._written = threading.Event()
        self.members: dict[int, Member] = {}
        self.waited = 0.0
        """Seconds that this rank has spent in collectives."""
        self._entered = 0.0
        self._write()
        self._thread = threading.Thread(target=self._run, name="anychip.cluster beats", daemon=True)
        self._thread.start()

    # ---- of this rank ------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """The training step that this rank says it is in; -1 before the first."""
        return self._beat.step

    def at(self, step: int) -> None:
        """Say that this rank is in step `step`."""
        with self._changed:
            self._beat = replace(self._beat, step=step)
        self._news.set()

    def enters(self, collective: str) -> None:
        """Say that this rank is in a collective."""
        self._entered = time.perf_counter()
        with self._changed:
            self._beat = replace(self._beat, waiting=collective)

    def leaves(self) -> None:
        """Say that the collective has ended."""
        self.waited += time.perf_counter() - self._entered
        with self._changed:
            self._beat = replace(self._beat, waiting="", done=self._beat.done + 1)

    def fails(self, error: str) -> None:
        """Say why this rank gives up, so that others can name the cause and not the effect."""
        with self._changed:
            if not self._beat.error:
                self._beat = replace(self._beat, error=error)
        self._written.clear()
        self._news.set()
        self._written.wait(self.interval)

    def close(self) -> None:
        """The last beat, which says that this rank left by itself."""
        if not self._end.is_set():
            with self._changed:
                self._beat = replace(self._beat, has_left=True)
            self._end.set()
            self._news.set()
            self._thread.join(self.interval * 2)

    def _run(self) -> None:
        while True:
            is_last = self._end.is_set()
            self._try_to_write()
            self._written.set()
            if is_last:
                return
            self._news.wait(self.interval)
            self._news.clear()

    def _try_to_write(self) -> None:
        try:
            self._write()
        except RuntimeError:
            return  # the store is gone or cut off: a collective that needs it will say so

    def _write(self) -> None:
        with self._changed:
            self._beat = replace(self._beat, count=self._beat.count + 1)
            text = json.dumps(asdict(self._beat))
        self._store.set(f"beat/{self.rank}", text)

    # ---- of the others -----------------------------------------------------------------------------

    def know(self, rank: int) -> Member:
        """Who a rank is."""
        if rank not in self.members:
            self.members[rank] = members.read(self._asking, rank)
        return self.members[rank]

    def beats(self) -> dict[int, Beat]:
        """The last beat of each rank that has ever beaten. Raises RuntimeError where the store is gone."""
        found: dict[int, Beat] = {}
        errors: list[RuntimeError] = []

        def ask() -> None:
            try:
                for rank in range(self.size):
                    if self._asking.check([f"beat/{rank}"]):
                        found[rank] = Beat(**json.loads(self._asking.get(f"beat/{rank}")))
            except RuntimeError as error:
                errors.append(error)

        # A question to a host that is cut off has no answer and no error for minutes, whatever the time-out.
        asking = threading.Thread(target=ask, name="anychip.cluster asks", daemon=True)
        asking.start()
        asking.join(max(self.interval * 2, 1.0))
        if errors or asking.is_alive():
            raise RuntimeError("the store does not answer") from (errors[0] if errors else None)
        return found

    def lost(self, collective: str, ranks: Sequence[int], error: Exception | None) -> RankLost:
        """Why a collective between `ranks` did not end, as an error to raise. Takes up to three beats."""
        others = [rank for rank in ranks if rank != self.rank]
        where = f"{collective} in step {self.step}" if self.step >= 0 else collective
        me = self.members.get(self.rank)
        head = f"{me or f'rank {self.rank}'}: {where} did not end"
        cause = str(error).splitlines()[0].split(". ")[0] if error else "the time-out passed"
        try:
            first = self.beats()
            time.sleep(self.interval * 3)
            second = self.beats()
        except RuntimeError:
            told = f"{head}: the job's store does not answer, which {self._holder()} holds ({cause})."
            self.fails(told)
            by_rank = () if _AGENT_STORE in os.environ else (0,)
            return RankLost(told, "Its process is gone, or its host is cut off from this one.", by_rank)
        gone = [rank for rank in others if _is_gone(first.get(rank), second.get(rank))]
        failed = [rank for rank in others if rank in second and second[rank].error and rank not in gone]
        behind = [
            rank
            for rank in others
            if rank in second and not second[rank].waiting and rank not in gone and rank not in failed
        ]
        for said, found in (
            ("gives no sign of life", gone),
            ("computes, and did not come to it", behind),
            ("gave up", failed),
        ):
            if found:
                told = "; ".join(self._of(rank, second.get(rank), said) for rank in found)
                message = f"{head}: {told} ({cause})."
                self.fails(message)
                return RankLost(message, _ADVICE[said], tuple(found))
        self.fails(f"{head} ({cause}).")
        return RankLost(f"{head} ({cause}); every rank lives and waits.", _ADVICE["waits"])

    def _holder(self) -> str:
        """Whose process has the store: torchrun's agent, or rank 0."""
        if _AGENT_STORE in os.environ:
            return f"torchrun's agent on {os.environ.get('MASTER_ADDR', 'the first host')}"
        return str(self.members.get(0, "rank 0"))

    def _of(self, rank: int, beat: Beat | None, said: str) -> str:
        try:
            who = str(self.know(rank))
        except RuntimeError:
            who = f"rank {rank}"
        if beat is None:
            return f"{who} {said}"
        at = f", last in step {beat.step}" if beat.step >= 0 else ""
        why = f": {beat.error}" if said == "gave up" else ""
        return f"{who} {said}{at}{why}"


_AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"
"""Set by torchrun where its own process has the store."""

_ADVICE = {
    "gives no sign of life": "It was killed or stopped, or its host is cut off: see its log. "
    "Started again, the job goes on from its last checkpoint.",
    "computes, and did not come to it": "It is slower than the time-out allows, or took another way "
    "through the program: init_process_group(timeout=...), anychip cluster plan.",
    "gave up": "Its own message says why.",
    "waits": "Do all ranks call the same collectives in the same order, with the same sizes?",
}


def _is_gone(first: Beat | None, second: Beat | None) -> bool:
    """Whether a rank did not beat in between."""
    if first is None or second is None:
        return second is None
    return not second.error and (second.has_left or second.count == first.count)
