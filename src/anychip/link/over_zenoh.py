"""The same machines on zenoh (`eclipse-zenoh`), for robots and servers that meet in one network of it.

A robot picks a random name for each of its connections and publishes frames under `PREFIX/up/NAME`; the
server answers under `PREFIX/down/NAME`. An empty frame opens a connection, another one closes it. Subscribers
of one session can stall one another, so each machine has a session to itself, and its callback does nothing
but hand the frame to the loop. Frames that find a connection's queue full are lost, as on a radio link."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ..packages import require
from .server import Server
from .transport import EdgeTransport

PREFIX = "anychip/link"
MAX_WAITING = 64
"""Frames of a connection that may wait for the loop."""


def session(*, listen: str = "", connect: str = "") -> Any:
    """A session that looks for nobody by itself: it listens at, or connects to, an endpoint such as
    tcp/127.0.0.1:7447."""
    require("links over zenoh", ("zenoh",))
    import zenoh

    settings: dict[str, Any] = {
        "mode": "peer",
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "listen/endpoints": [listen] if listen else [],
        "connect/endpoints": [connect] if connect else [],
    }
    config = zenoh.Config()
    for name, value in settings.items():
        config.insert_json5(name, json.dumps(value))
    try:
        return zenoh.open(config)
    except zenoh.ZError as error:
        raise OSError(str(error)) from None


class Connection:
    """One connection, with the methods of a WebSocket that the transports use."""

    def __init__(self, publish: Callable[[bytes], Any], close: Callable[[], Any]):
        self._publish, self._close = publish, close
        self._frames: asyncio.Queue[bytes] = asyncio.Queue(MAX_WAITING)
        self.transport = self

    def came(self, frame: bytes) -> None:
        """A frame of the other side; the empty one ends the connection."""
        if not frame:
            while not self._frames.empty():
                self._frames.get_nowait()
        with contextlib.suppress(asyncio.QueueFull):
            self._frames.put_nowait(frame)

    async def recv(self) -> bytes:
        """The next frame. Raises ConnectionClosed."""
        from websockets.exceptions import ConnectionClosedError

        frame = await self._frames.get()
        if not frame:
            raise ConnectionClosedError(None, None)
        return frame

    async def send(self, frame: bytes) -> None:
        """Publish a frame."""
        self._publish(frame)

    async def close(self) -> None:
        """Nothing waits to be sent."""

    def abort(self) -> None:
        """End the connection, and tell the other side if it can be told."""
        self._close()
        self._publish(b"")


class ZenohTransport(EdgeTransport):
    """The robot's side; the address is zenoh://HOST:PORT."""

    _session: Any = None

    async def _open(self, limit: float) -> Connection:
        if self._session is None:
            parts = urlsplit(self._url)
            self._session = await asyncio.to_thread(session, connect=f"tcp/{parts.hostname}:{parts.port}")
        loop, own, name = asyncio.get_running_loop(), self._session, secrets.token_hex(8)

        def came(sample: Any) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(connection.came, sample.payload.to_bytes())

        connection = Connection(
            lambda frame: own.put(f"{PREFIX}/up/{name}", frame), lambda: subscriber.undeclare()
        )
        subscriber = own.declare_subscriber(f"{PREFIX}/down/{name}", came)
        own.put(f"{PREFIX}/up/{name}", b"")
        return connection

    async def run(self) -> None:
        """Keep connected until cancelled."""
        try:
            await super().run()
        finally:
            if self._session is not None:
                self._session.close()


class ZenohServer(Server):
    """The server's side. It has no TLS of its own: see `addresses.require_safe`."""

    async def run(self, ready: Callable[[], Any] | None = None) -> None:
        """Serve until cancelled; `ready` is called once frames are taken."""
        if not self.port:
            with socket.create_server((self.host, 0)) as free:
                self.port = free.getsockname()[1]
        own = await asyncio.to_thread(session, listen=f"tcp/{self.host}:{self.port}")
        loop = asyncio.get_running_loop()
        known: dict[str, Connection] = {}
        tasks: set[asyncio.Task[None]] = set()

        def arrived(name: str, frame: bytes) -> None:
            if name in known:
                known[name].came(frame)
            elif not frame:
                known[name] = Connection(
                    lambda frame: own.put(f"{PREFIX}/down/{name}", frame), lambda: known.pop(name, None)
                )
                task = asyncio.create_task(self._converse(known[name]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                task.add_done_callback(lambda _: known.pop(name, None))

        def came(sample: Any) -> None:
            name = str(sample.key_expr).rpartition("/")[2]
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(arrived, name, sample.payload.to_bytes())

        subscriber = own.declare_subscriber(f"{PREFIX}/up/*", came)
        try:
            if ready is not None:
                ready()
            await self._keep()
        finally:
            subscriber.undeclare()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            own.close()
