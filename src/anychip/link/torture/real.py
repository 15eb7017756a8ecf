"""The torture over real connections, by the real clock: robots and a server in one asyncio process, every
robot through a proxy of its own that has the faults. The judge and the faults are those of the simulation,
but for clocks that step, which a process cannot do to itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from random import Random

import numpy as np

from ..edge import EdgeMachine, EdgeSettings
from ..frames import Array
from ..server import Server
from ..serving import ServeSettings
from ..stop import JerkLimitedStop
from ..transport import EdgeTransport
from .faults import MILLISECOND, SECOND, Fault, Kind, drawn
from .judge import VALUES, Judge
from .proxy import Proxy
from .world import CHUNK, EXPECTS, MAX_AGE, TERMS, TOKEN, answered, limits_of, stand, trouble


class RealWorld:
    """`ticks` control ticks of `robots` together in real time, under the faults of a seed."""

    def __init__(self, seed: int, robots: int, ticks: int):
        self._ticks, self._seed = ticks, seed
        self._period = round(SECOND / TERMS.hz)
        duration = int(ticks / robots / TERMS.hz * SECOND)
        self.faults = [fault for fault in drawn(seed, robots, duration) if fault.kind is not Kind.CLOCK_STEP]
        self.judge = Judge(MAX_AGE, self._period, [limits_of(robot).stop_limit for robot in range(robots)])
        self.machines: list[EdgeMachine] = []
        self.proxies: list[Proxy] = []
        self.server_counts: Counter[str] = Counter()
        self._slow = 0.0
        self._server: asyncio.Task[None] | None = None
        self._served: Server | None = None
        self._robots = robots
        self._port = 0

    async def run(self) -> None:
        """Let everything happen, in real time."""
        tasks: list[asyncio.Task[None]] = []
        await self._start_server()
        for number in range(self._robots):
            proxy = Proxy(f"ws://127.0.0.1:{self._port}", self._seed * 1000 + number)
            ready = asyncio.Event()
            tasks.append(asyncio.create_task(proxy.run(ready.set)))
            await ready.wait()
            self.proxies.append(proxy)
            local = limits_of(number).local
            machine = EdgeMachine(
                TERMS,
                EdgeSettings(f"robot {number}", CHUNK, VALUES, token=TOKEN, handshake=400 * MILLISECOND,
                             connect_longest=500 * MILLISECOND),
                limits_of(number), JerkLimitedStop(1e6, 1e4), clock_start=time.monotonic_ns(),
                local=stand if local else None, random=Random(number),
            )  # fmt: skip
            self.machines.append(machine)
            transport = EdgeTransport(machine, f"ws://127.0.0.1:{proxy.port}")
            tasks.append(asyncio.create_task(transport.run()))
            tasks.append(asyncio.create_task(self._control(number, machine, transport)))
        tasks.append(asyncio.create_task(self._strike()))
        try:
            while self.judge.counts["ticks"] < self._ticks:
                await asyncio.sleep(0.02)
                for task in tasks:
                    if task.done() and task.exception():
                        task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end_server()

    async def _control(self, number: int, machine: EdgeMachine, transport: EdgeTransport) -> None:
        """The control loop of a robot. Robots begin spread over a period."""
        start = time.monotonic_ns() + number * self._period // self._robots
        tick = 0
        while True:
            await asyncio.sleep(max(start + tick * self._period - time.monotonic_ns(), 0) * 1e-9)
            now = time.monotonic_ns()
            tick = max(tick, (now - start) // self._period)
            self.judge.observed(number, tick, now)
            seen = np.array([number, tick], np.float64)
            command = machine.tick(tick, now, {"state": seen}, np.zeros(VALUES), seen)
            transport.wake()
            carried_out = time.monotonic_ns()
            command = machine.confirm(command, carried_out, np.zeros(VALUES), seen)
            self.judge.executed(number, command, carried_out)
            tick += 1

    async def _strike(self) -> None:
        """The faults, each at its time."""
        start = time.monotonic_ns()
        moments = [(fault.start, True, fault) for fault in self.faults]
        moments += [(fault.end, False, fault) for fault in self.faults]
        for at, begins, fault in sorted(moments, key=lambda moment: moment[0]):
            await asyncio.sleep(max(start + at - time.monotonic_ns(), 0) * 1e-9)
            if fault.kind is Kind.KILLED:
                await (self._end_server() if begins else self._start_server())
            elif fault.kind in (Kind.SLOW, Kind.OVERLOAD):
                self._slow = 0.05 if begins else 0.0
            else:
                self._trouble(fault, begins)

    def _trouble(self, fault: Fault, begins: bool) -> None:
        proxy = self.proxies[fault.robot]
        if not begins:
            proxy.up.calm()
            proxy.down.calm()
            self.judge.mended(fault.robot)
            return
        trouble(fault, proxy.up, proxy.down)
        if fault.kind in (Kind.CUT, Kind.HALF_OPEN):
            self.judge.cut(fault.robot, time.monotonic_ns())
        if fault.kind is Kind.CUT:
            proxy.cut()

    async def _start_server(self) -> None:
        if self._server is not None:
            return
        server = Server(self._answer, TERMS, ServeSettings(EXPECTS, TOKEN), port=self._port)
        ready = asyncio.Event()
        self._server, self._served = asyncio.create_task(server.run(ready.set)), server
        await ready.wait()
        self._port = server.port

    async def _end_server(self) -> None:
        if self._server is not None and self._served is not None:
            self._server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._server
            self.server_counts.update(self._served.machine.counts)
            self._server = None

    def _answer(self, tensors: dict[str, Array]) -> Array:
        time.sleep(self._slow)
        return answered(tensors["state"])
