"""A proxy for WebSockets with faults: frames come late, get lost, overtake each other, or vanish with the
connection.

Loss and reordering are of whole frames, as a robot sees them on radio links below its protocol; kernels
without `netem` cannot make them. The faults are those of the simulation (`path.Path`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from random import Random
from typing import Any

from .path import Path


class Proxy:
    """Takes connections at `port` and passes them on to `target` (ws://...). `up` and `down` may be changed
    at any time."""

    def __init__(self, target: str, seed: int = 0, *, host: str = "127.0.0.1", port: int = 0):
        random = Random(f"proxy {seed}")
        self.target, self.host, self.port = target, host, port
        self.up, self.down = Path(random, delay=0), Path(random, delay=0)
        self._open: set[Any] = set()

    async def run(self, ready: Callable[[], Any] | None = None) -> None:
        """Pass frames on until cancelled."""
        from websockets.asyncio.server import serve

        async with serve(
            self._converse, self.host, self.port, ping_interval=None, compression=None, close_timeout=0.1,
            max_size=None, logger=_QUIET,
        ) as server:  # fmt: skip
            self.port = next(iter(server.sockets)).getsockname()[1]
            if ready is not None:
                ready()
            await asyncio.get_running_loop().create_future()

    def cut(self) -> None:
        """Tear all connections down, as a system does when its own cable is pulled out."""
        for connection in list(self._open):
            connection.transport.abort()

    async def _converse(self, connection: Any) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        if not (self.up.open and self.down.open):
            await asyncio.sleep(1)
            connection.transport.abort()
            return
        self._open.add(connection)
        try:
            async with connect(
                self.target,
                ping_interval=None,
                compression=None,
                close_timeout=0.1,
                max_size=None,
                proxy=None,
            ) as onward:
                tasks = [
                    asyncio.create_task(_pass_on(connection, onward, self.up)),
                    asyncio.create_task(_pass_on(onward, connection, self.down)),
                ]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                onward.transport.abort()
        except (OSError, WebSocketException):
            pass
        finally:
            self._open.discard(connection)
            connection.transport.abort()


async def _pass_on(source: Any, sink: Any, path: Path) -> None:
    """Frames of `source` to `sink`, each at the time that the path says."""
    from websockets.exceptions import ConnectionClosed

    waiting: set[asyncio.Task[None]] = set()
    with contextlib.suppress(ConnectionClosed):
        while True:
            frame = await source.recv()
            at = path.arrival(time.monotonic_ns())
            if at is not None:
                task = asyncio.create_task(_deliver(frame, sink, path, at))
                waiting.add(task)
                task.add_done_callback(waiting.discard)


async def _deliver(frame: bytes, sink: Any, path: Path, at: int) -> None:
    from websockets.exceptions import ConnectionClosed

    await asyncio.sleep(max(at - time.monotonic_ns(), 0) * 1e-9)
    if path.open:
        with contextlib.suppress(ConnectionClosed):
            await sink.send(frame)


_QUIET = logging.getLogger("anychip.link.proxy")
_QUIET.setLevel(logging.CRITICAL)
