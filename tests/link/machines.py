"""Both state machines, joined by hand: what one sends, the other gets when a test says so."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

from anychip.link.edge import EdgeMachine, EdgeSettings
from anychip.link.handshake import Terms
from anychip.link.ladder import Command, Limits
from anychip.link.scheduler import stacked
from anychip.link.serving import ServerMachine, ServeSettings
from anychip.link.stop import JerkLimitedStop

MILLISECOND = 1_000_000
PERIOD = 20 * MILLISECOND
TERMS = Terms("a" * 64, "b" * 64, 50.0)
TOKEN = b"sixteen bytes at least"
LIMITS = Limits(160 * MILLISECOND, 60 * MILLISECOND, local=0, hold=60 * MILLISECOND, settle=1)
SETTINGS: dict[str, Any] = {
    "robot": "r1", "chunk": 4, "values": 2, "token": TOKEN, "dead_after": 200 * MILLISECOND,
    "handshake": 300 * MILLISECOND,
}  # fmt: skip
SERVE: dict[str, Any] = {
    "expects": (("state", "float64", (2,)),), "token": TOKEN, "dead_after": 500 * MILLISECOND,
    "handshake": 300 * MILLISECOND,
}  # fmt: skip


def server(terms: Terms = TERMS, **changes: Any) -> ServerMachine:
    return ServerMachine(terms, ServeSettings(**{**SERVE, **changes}), draw=Random(1).randbytes)


class Pair:
    """A robot and a server. `now` is the robot's clock; the server's shows `ahead` more."""

    def __init__(
        self,
        terms: Terms = TERMS,
        limits: Limits = LIMITS,
        local: Any = None,
        ahead: int = 10**15,
        **changes: Any,
    ):
        self.now, self.ahead, self.ticks, self.connection = 10**12, ahead, 0, 0
        self.edge = EdgeMachine(
            terms, EdgeSettings(**{**SETTINGS, **changes}), limits, JerkLimitedStop(1e4, 1e3),
            clock_start=self.now, local=local, random=Random(2), draw=Random(3).randbytes,
        )  # fmt: skip
        self.server = server()

    def connect(self) -> None:
        assert self.edge.wants_connection(self.now)
        self.connection += 1
        self.server.opened(self.connection, self.now + self.ahead)
        self.edge.opened(self.now)

    def exchange(self, rounds: int = 4) -> None:
        """Carry frames both ways, and compute what was asked."""
        for _ in range(rounds):
            for frame in self.server.outgoing(self.connection):
                self.edge.received(frame, self.now)
            for frame in self.edge.outgoing():
                self.server.received(self.connection, frame, self.now + self.ahead)
            self.compute()

    def compute(self) -> None:
        work = self.server.next_work(self.now + self.ahead)
        if work is not None:
            seen = stacked(work.requests)["state"]
            made = np.repeat(seen[:, None, :], 4, axis=1) + np.arange(4)[None, :, None]
            self.server.finished(work, made.astype(np.float32), self.now + self.ahead)

    def tick(self, exchange: bool = True, wait: int = PERIOD) -> Command:
        """A tick, the frames that follow it, and the time until the next one."""
        state = np.array([float(self.ticks), 0.0])
        command = self.edge.tick(self.ticks, self.now, {"state": state}, np.zeros(2), state)
        if exchange:
            self.exchange()
        self.ticks += 1
        self.now += wait
        return command

    def running(self) -> Pair:
        """Connected, and under way."""
        self.connect()
        self.exchange()
        for _ in range(4):
            self.tick()
        return self
