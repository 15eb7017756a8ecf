"""The robot's side for programs: a thread keeps the connection, and the control loop calls `step` at its
period.

    with Client("ws://127.0.0.1:8765", terms, settings, limits, stop) as client:
        while True:
            command = client.step(observe(), position())
            apply(client.confirm(command, position()))
            sleep until the next period
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..packages import require
from . import loop
from .addresses import host_of, require_safe
from .edge import EdgeMachine, EdgeSettings
from .frames import Array
from .handshake import Terms
from .ladder import Command, Limits, LocalPolicy, Step
from .over_zenoh import ZenohTransport
from .stop import StopMotion
from .transport import EdgeTransport

_log = logging.getLogger(__name__)


class Client:
    """A robot that is linked to a server at `url`. `on_thread`: called first on the thread that keeps the
    connection, such as to give it a priority. Raises LinkError for an address that is not safe to use: see
    `addresses.require_safe`, which `plain` is for."""

    def __init__(
        self,
        url: str,
        terms: Terms,
        settings: EdgeSettings,
        limits: Limits,
        stop: StopMotion,
        *,
        local: LocalPolicy | None = None,
        tls: ssl.SSLContext | None = None,
        plain: bool = False,
        on_thread: Callable[[], Any] | None = None,
    ):
        require("link.Client", ("websockets",))
        host, encrypted = host_of(url)
        require_safe(host, settings.token, encrypted, plain=plain)
        self._lock = threading.Lock()
        self._first = 0
        start = time.monotonic_ns()
        self.machine = EdgeMachine(terms, settings, limits, stop, clock_start=start, local=local)
        transport = ZenohTransport if url.startswith("zenoh:") else EdgeTransport
        self._transport = transport(self.machine, url, tls=tls, lock=self._lock)
        self._on_thread = on_thread
        self._told = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._keep, name="anychip link", daemon=True)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def step(
        self,
        tensors: Mapping[str, Array] | None,
        measured: Array,
        observation: Any = None,
        *,
        tick: int | None = None,
    ) -> Command:
        """One control tick: send `tensors` (None: nothing to send now), and the command to carry out.
        `measured`: the robot's position; `observation`: what the policy on the robot takes. `tick` is the
        number of the period; by default the clock tells it, from the first call on, so that a call that comes
        late leaves a gap, and a second one in the same period gets no action."""
        if tick is None:
            now = time.monotonic_ns()
            self._first = self._first or now
            tick = round((now - self._first) / self.machine.period)
        with self._lock:
            command = self.machine.tick(tick, time.monotonic_ns(), tensors, measured, observation)
            steps = list(self.machine.ladder.steps)
        self._transport.wake()
        self._tell(steps)
        return command

    def confirm(self, command: Command, measured: Array, observation: Any = None) -> Command:
        """Call this right before a command is carried out, with nothing in between: the command, or what
        takes its place if its action has expired since `step`, as a process may be kept from running at any
        place."""
        with self._lock:
            return self.machine.confirm(command, time.monotonic_ns(), measured, observation)

    def restart(self) -> None:
        """After a stop: fresh actions may move the robot again."""
        with self._lock:
            self.machine.restart()

    @property
    def steps(self) -> list[Step]:
        """The last changes of rung, oldest first, each with its cause."""
        with self._lock:
            return list(self.machine.ladder.steps)

    @property
    def counts(self) -> dict[str, int]:
        """What has happened so far, by name."""
        with self._lock:
            return dict(self.machine.counts)

    @property
    def joined(self) -> bool:
        """Whether the server and this robot have agreed, and the connection lives."""
        with self._lock:
            return self.machine.why_apart == ""

    @property
    def why_apart(self) -> str:
        """Why there is no connection; empty where there is one."""
        with self._lock:
            return self.machine.why_apart

    def close(self) -> None:
        """End the connection. Commands are still given after it, from the ladder."""
        running, task = self._loop, self._task
        if running is not None and task is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                running.call_soon_threadsafe(task.cancel)
            self._thread.join(5)

    def _tell(self, steps: list[Step]) -> None:
        """Log the changes of rung that were not told yet."""
        new = [step for step in steps if step.at > self._told]
        for step in new:
            _log.warning(
                "tick %d: %s -> %s: %s",
                step.tick,
                step.before.name.lower(),
                step.after.name.lower(),
                step.cause,
            )
            self._told = step.at

    def _keep(self) -> None:
        if self._on_thread is not None:
            self._on_thread()

        async def keep() -> None:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            with contextlib.suppress(asyncio.CancelledError):
                await self._transport.run()

        loop.run(keep())
