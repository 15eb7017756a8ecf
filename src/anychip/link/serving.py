"""The server's side as a state machine: its peers, and the scheduler of what they ask.

Flows in: connections, frames, finished batches, the time (ns, the server's monotonic clock). Flows out:
frames for each peer, which peers to close, and batches to compute. It computes nothing itself. What a robot
asked before its connection was lost is never answered on another one."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from . import frames
from .errors import LinkError
from .frames import Actions, Array, Missed, Observation
from .handshake import Terms
from .peer import Peer
from .scheduler import Request, Scheduler, Signature, Unanswered, signature


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How the server behaves; times in nanoseconds, `largest_frame` in bytes. `most_strangers`: peers that
    have not proved anything yet, so that they cannot take the places of robots. `expects`: names, element
    types and shapes of an observation's arrays, sorted."""

    expects: Signature
    token: bytes = b""
    largest_batch: int = 64
    largest_frame: int = 1 << 20
    most_peers: int = 1024
    most_strangers: int = 256
    dead_after: int = 1_000_000_000
    handshake: int = 2_000_000_000

    def __post_init__(self) -> None:
        if min(self.largest_batch, self.most_peers, self.most_strangers, self.dead_after, self.handshake) < 1:
            raise LinkError("numbers and times of a server must be positive")
        if not frames.MAX_HELLO_BYTES <= self.largest_frame <= frames.MAX_FRAME_BYTES:
            raise LinkError(
                f"frames of at most {self.largest_frame} bytes cannot be served",
                f"Choose from {frames.MAX_HELLO_BYTES} to {frames.MAX_FRAME_BYTES}.",
            )


@dataclass(frozen=True, slots=True)
class Work:
    """A batch to compute, and when it was handed out."""

    requests: list[Request]
    started: int


@dataclass(slots=True)
class Served:
    """What a robot has got so far: observations that came, answers sent before their deadline and after
    it."""

    asked: int = 0
    in_time: int = 0
    late: int = 0


@dataclass(slots=True)
class ServerMachine:
    """The server's side. `draw(n)`: random bytes for challenges."""

    terms: Terms
    settings: ServeSettings
    draw: Callable[[int], bytes] = os.urandom
    peers: dict[Hashable, Peer] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    dropped: deque[str] = field(default_factory=lambda: deque(maxlen=64))
    robots: dict[str, Served] = field(default_factory=dict)
    scheduler: Scheduler = field(init=False)
    _speaking: set[Hashable] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.settings.largest_batch)

    def opened(self, connection: Hashable, now: int) -> None:
        """Somebody has connected; `connection` is any name for it that was not used before."""
        peer = Peer(
            self.terms, self.settings.token, now, dead_after=self.settings.dead_after,
            handshake=self.settings.handshake, largest_frame=self.settings.largest_frame, draw=self.draw,
        )  # fmt: skip
        self.peers[connection] = peer
        self._speaking.add(connection)
        strangers = sum(not other.joined for other in self.peers.values())
        if len(self.peers) > self.settings.most_peers or strangers > self.settings.most_strangers:
            peer.drop("too many peers are connected already")

    def received(self, connection: Hashable, frame: object, now: int) -> None:
        """A frame has come from a peer."""
        peer = self.peers.get(connection)
        if peer is None:
            return
        was_joined = peer.joined
        observation = peer.received(frame, now)
        if peer.joined and not was_joined:
            self._replace(connection, peer)
        self._speaking.add(connection)
        if observation is not None:
            self._asked(connection, peer, observation, now)

    def closed(self, connection: Hashable) -> None:
        """A connection is gone."""
        peer = self.peers.pop(connection, None)
        self.scheduler.forget(connection)
        self._speaking.discard(connection)
        if peer is not None and peer.dropped:
            self.counts["dropped"] += 1
            self.dropped.append(f"{peer.robot or 'a stranger'}: {peer.dropped}")

    def to_close(self, now: int) -> list[Hashable]:
        """Connections to close once what `outgoing` has for them is sent; say `closed` when they are."""
        closing = [connection for connection, peer in self.peers.items() if peer.check(now)]
        self._speaking.update(self.peers)
        return closing

    def speaking(self) -> set[Hashable]:
        """Connections that may have frames to send or may have to be closed, since this was asked last."""
        found, self._speaking = self._speaking, set()
        return found

    def outgoing(self, connection: Hashable) -> list[bytes]:
        """Frames to send to a peer now, in order."""
        peer = self.peers.get(connection)
        return peer.outgoing() if peer is not None else []

    def next_work(self, now: int) -> Work | None:
        """The batch to compute now."""
        batch, lost = self.scheduler.next_batch(now)
        for each in lost:
            self._missed(each)
        return Work(batch, now) if batch else None

    def finished(self, work: Work, actions: Array, now: int) -> None:
        """A batch is computed: [requests, actions, values]. Answers go to those that are still there."""
        took = now - work.started
        self.scheduler.times.measured(len(work.requests), took)
        for request, own in zip(work.requests, actions, strict=True):
            peer = self.peers.get(request.owner)
            if peer is None or not peer.joined:
                self.counts["answers for nobody"] += 1
                continue
            self._speaking.add(request.owner)
            served = self.robots.setdefault(peer.robot, Served())
            if now <= request.deadline:
                served.in_time += 1
            else:
                served.late += 1
            peer.send(
                Actions(
                    request.sequence,
                    request.tick,
                    request.observed_at,
                    request.expires_at,
                    work.started - request.arrived,
                    took,
                    own,
                )
            )

    def failed(self, work: Work, reason: str) -> None:
        """A batch could not be computed."""
        for request in work.requests:
            self._missed(Unanswered(request, reason))

    def stop(self, reason: str) -> None:
        """Tell every peer that the server ends."""
        for peer in self.peers.values():
            peer.drop(reason)
        self._speaking.update(self.peers)

    def _replace(self, connection: Hashable, peer: Peer) -> None:
        """A robot has one connection: the newest, since an older one may be half-open."""
        self.counts["joined"] += 1
        for other, known in self.peers.items():
            if other != connection and known.joined and known.robot == peer.robot and not known.dropped:
                self._speaking.add(other)
                known.drop("the robot has connected anew")
                self.scheduler.forget(other)

    def _asked(self, connection: Hashable, peer: Peer, observation: Observation, now: int) -> None:
        given = signature(observation.tensors)
        if given != self.settings.expects:
            peer.drop(f"an observation of {given} came, not of {self.settings.expects}"[:500])
            return
        self.robots.setdefault(peer.robot, Served()).asked += 1
        earlier = self.scheduler.submit(
            Request(
                connection,
                observation.sequence,
                observation.tick,
                observation.observed_at,
                observation.expires_at,
                now,
                now + observation.slack,
                observation.tensors,
            )
        )
        if earlier is not None:
            self._missed(earlier)

    def _missed(self, unanswered: Unanswered) -> None:
        self.counts[f"missed: {unanswered.reason}"] += 1
        peer = self.peers.get(unanswered.request.owner)
        if peer is not None:
            self._speaking.add(unanswered.request.owner)
            peer.send(Missed(unanswered.request.sequence, unanswered.reason))
