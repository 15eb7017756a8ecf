"""The server's state machine on WebSockets, with a thread that computes.

Flows in: a function from stacked tensors to actions, the terms, an address. Flows out: a server that runs
until it is told to end. A thread computes batches, so that connections are answered meanwhile, but for those
that are known to be quick."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from ..packages import require
from .addresses import LOOPBACK, require_safe
from .frames import Array
from .handshake import Terms
from .scheduler import stacked
from .serving import ServerMachine, ServeSettings, Work

_log = logging.getLogger(__name__)

Answer = Callable[[dict[str, Array]], Array]
"""From tensors with a batch axis to actions [batch, actions, values]."""

LOOK = 0.01
"""Seconds between two looks at the time of all peers."""

AT_ONCE = 1_000_000
"""Nanoseconds: a batch that is known to take less is computed on the connections' own thread, which costs
them less than handing it to another thread and back."""

GOODBYE = 1.0
"""Seconds that a dropped peer has to read why."""


class Server:
    """`port` 0 takes a free one, which `port` tells once the server runs. Raises LinkError for a host that
    others can reach without token and TLS."""

    def __init__(
        self,
        answer: Answer,
        terms: Terms,
        settings: ServeSettings,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        plain: bool = False,
    ):
        require("anychip link serve", ("websockets",))
        require_safe(host, settings.token, tls is not None, plain=plain)
        self.machine = ServerMachine(terms, settings)
        self.host, self.port = host, port
        self._answer, self._tls = answer, tls
        self._numbers = count(1)
        self._senders: dict[int, asyncio.Event] = {}
        self._asked = asyncio.Event()
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="anychip link")

    def warm_up(self, example: Callable[[int], dict[str, Array]]) -> dict[int, int]:
        """Compute batches of growing sizes, and note how long they take: nanoseconds by size."""
        size, times = 1, {}
        while True:
            tensors = example(size)
            self._answer(tensors)
            for _ in range(3):
                started = time.monotonic_ns()
                self._answer(tensors)
                times[size] = time.monotonic_ns() - started
                self.machine.scheduler.times.measured(size, times[size])
            if size >= self.machine.settings.largest_batch:
                return times
            size = min(size * 2, self.machine.settings.largest_batch)

    async def run(self, ready: Callable[[], Any] | None = None) -> None:
        """Serve until cancelled; `ready` is called once connections are taken."""
        from websockets.asyncio.server import serve

        settings = self.machine.settings
        async with serve(
            self._converse, self.host, self.port, ssl=self._tls, ping_interval=None, close_timeout=GOODBYE,
            open_timeout=settings.handshake * 1e-9, compression=None, max_size=settings.largest_frame,
            logger=_QUIET, server_header=None,
        ) as server:  # fmt: skip
            self.port = next(iter(server.sockets)).getsockname()[1]
            if ready is not None:
                ready()
            await self._keep()

    async def _keep(self) -> None:
        """Compute and watch until cancelled; then say goodbye."""
        tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._watch())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            self.machine.stop("the server ends")
            self._wake()
            await asyncio.sleep(0.02)
            self._compute.shutdown(wait=False, cancel_futures=True)

    async def _converse(self, connection: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        number = next(self._numbers)
        self._senders[number] = asyncio.Event()
        self.machine.opened(number, time.monotonic_ns())
        sender = asyncio.create_task(self._send(number, connection))
        try:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    frame = await connection.recv()
                    self.machine.received(number, frame, time.monotonic_ns())
                    self._asked.set()
                    self._wake()
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            del self._senders[number]
            self.machine.closed(number)

    async def _send(self, number: int, connection: Any) -> None:
        """Send what there is for a peer; throw the connection away once it is dropped and told why."""
        from websockets.exceptions import ConnectionClosed

        spoken = self._senders[number]
        with contextlib.suppress(ConnectionClosed, OSError, TimeoutError):
            while True:
                peer = self.machine.peers.get(number)
                ends = peer is None or bool(peer.dropped)  # looked at before the last frames are taken
                made = self.machine.outgoing(number)
                if made:
                    async with asyncio.timeout(self.machine.settings.dead_after * 1e-9):
                        for frame in made:
                            await connection.send(frame)
                if ends:
                    break
                await spoken.wait()
                spoken.clear()
            # A connection that is torn down at once takes the last frame with it.
            async with asyncio.timeout(GOODBYE):
                await connection.close()
        connection.transport.abort()

    async def _work(self) -> None:
        """Compute one batch after the other."""
        loop = asyncio.get_running_loop()
        while True:
            work = self.machine.next_work(time.monotonic_ns())
            self._wake()
            if work is None:
                await self._asked.wait()
                self._asked.clear()
                continue
            try:
                if 0 < self.machine.scheduler.times.expected(len(work.requests)) < AT_ONCE:
                    actions = self._computed(work)
                else:
                    actions = await loop.run_in_executor(self._compute, self._computed, work)
                self.machine.finished(work, actions, time.monotonic_ns())
            except Exception as error:
                _log.exception("a batch of %d could not be computed", len(work.requests))
                self.machine.failed(work, f"the policy failed: {type(error).__name__}")
            self._wake()

    def _computed(self, work: Work) -> Array:
        return self._answer(stacked(work.requests))

    async def _watch(self) -> None:
        """Look at the time of all peers."""
        while True:
            self.machine.to_close(time.monotonic_ns())
            self._wake()
            await asyncio.sleep(LOOK)

    def _wake(self) -> None:
        for number in self.machine.speaking():
            sender = self._senders.get(int(str(number)))
            if sender is not None:
                sender.set()


_QUIET = logging.getLogger("anychip.link.websockets")
_QUIET.setLevel(logging.CRITICAL)
