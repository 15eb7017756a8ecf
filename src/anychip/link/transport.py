"""The robot's state machine on a WebSocket: one task that connects, reads, writes, and begins again.

What websockets would do by itself is left out on purpose. Its pings find a dead peer after ping, pong and the
wait for a close, 50 s as it comes; its reconnecting iterator ends for good at some answers of a server, 403
and 429 among them; the code of a close is 1006 whenever the connection breaks, whatever was sent. Here the
machine times silence and attempts, and reasons travel as frames."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from .edge import EdgeMachine, Phase

LOOK = 0.005
"""Seconds between two looks at the time while nothing happens."""


class EdgeTransport:
    """`lock` guards the machine where its ticks come from another thread."""

    def __init__(
        self,
        machine: EdgeMachine,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        lock: AbstractContextManager[Any] | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ):
        self._machine, self._url, self._tls, self._clock = machine, url, tls, clock
        self._lock = lock or contextlib.nullcontext()
        self._spoken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """There may be frames to send; from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._spoken.set)

    async def run(self) -> None:
        """Keep connected until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            with self._lock:
                wanted = self._machine.wants_connection(self._clock())
            if wanted:
                await self._connect()
            else:
                await asyncio.sleep(LOOK)

    async def _open(self, limit: float) -> Any:
        """A new connection, within `limit` seconds."""
        from websockets.asyncio.client import connect

        return await connect(
            self._url, ssl=self._tls, ping_interval=None, close_timeout=0.05, open_timeout=limit,
            compression=None, max_size=self._machine.settings.largest_frame, proxy=None,
        )  # fmt: skip

    async def _connect(self) -> None:
        from websockets.exceptions import InvalidStatus, WebSocketException

        limit = self._machine.settings.handshake * 1e-9
        try:
            async with asyncio.timeout(limit):
                connection = await self._open(limit)
        except (OSError, TimeoutError, WebSocketException) as error:
            with self._lock:
                self._machine.failed(
                    self._clock(), f"no connection: {error}", refused=isinstance(error, InvalidStatus)
                )
            return
        with self._lock:
            self._machine.opened(self._clock())
        cause = "cancelled"
        try:
            cause = await self._converse(connection)
        finally:
            connection.transport.abort()
            with self._lock:
                if self._machine.phase is not Phase.APART:
                    self._machine.failed(self._clock(), cause)

    async def _converse(self, connection: Any) -> str:
        """Read and write until the connection is of no use; why it is not."""
        reader = asyncio.create_task(self._read(connection))
        writer = asyncio.create_task(self._write(connection))
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
        with self._lock:
            return self._machine.why_apart or "the connection was closed"

    async def _read(self, connection: Any) -> None:
        """Frames are taken as soon as they come, so that none waits behind another in the library's queue."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await connection.recv()
                with self._lock:
                    self._machine.received(frame, self._clock())
                self._spoken.set()

    async def _write(self, connection: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed, OSError):
            while True:
                with self._lock:
                    if self._machine.check(self._clock()):
                        return
                    made = self._machine.outgoing()
                for frame in made:
                    await connection.send(frame)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._spoken.wait()
                self._spoken.clear()
