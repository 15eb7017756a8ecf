"""A server that listens until it is told to end, and then answers what it has begun. Flows in: a model that
is served, an address. Flows out: a process's life."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn

from ..errors import ServeError
from ..loading import Served
from .application import application
from .guard import Bounds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 takes a free one. At the end, answers under way get `drain_seconds`."""

    host: str = "127.0.0.1"
    port: int = 8000
    drain_seconds: float = 30.0


class Server(uvicorn.Server):
    """Ends by SIGINT and SIGTERM: no new connections, what was begun is answered, a second ctrl-C does not
    wait. Then the process goes on, so its exit status is its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In place of uvicorn's, which raises the signal again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def listening(address: Address) -> socket.socket:
    """A socket that takes connections. Raises ServeError where there is none to be had."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=2048)
    except OSError as error:
        raise ServeError(
            f"{address.host}:{address.port} cannot be listened at: {error}.",
            "Choose another address or port.",
        ) from error


def server_of(served: Served, bounds: Bounds, drain_seconds: float) -> Server:
    """A server that is not running yet."""
    return Server(
        uvicorn.Config(
            application(served, bounds),
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(drain_seconds)),
        )
    )


def serve(served: Served, bounds: Bounds, address: Address, ready: Callable[[str], None]) -> None:
    """Answer until a signal comes; `ready` is told the URL once connections are taken. The engine is closed
    afterwards."""
    with listening(address) as opened:
        host = f"[{address.host}]" if ":" in address.host else address.host
        ready(f"http://{host}:{opened.getsockname()[1]}")
        try:
            server_of(served, bounds, address.drain_seconds).run(sockets=[opened])
        finally:
            _log.debug("the server ended; closing the engine")
            served.engine.close()
