"""A simulated world on a virtual clock: robots, a server, and networks between them, all by the same state
machines that real connections use. Events happen in order of their times; nothing waits. One seed gives one
run."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import count
from random import Random

import numpy as np

from ..edge import EdgeMachine, EdgeSettings
from ..frames import Array
from ..handshake import Terms
from ..ladder import Command, Limits
from ..scheduler import stacked
from ..serving import ServerMachine, ServeSettings, Work
from ..stop import JerkLimitedStop
from .faults import MILLISECOND, SECOND, Fault, Kind, drawn
from .judge import VALUES, Judge
from .path import Path

CHUNK = 12
"""Actions of a chunk: they reach 80 ms beyond the largest age, so that an expiry is what ends them."""
TERMS = Terms(policy="a" * 64, statistics="b" * 64, hz=50.0)
TOKEN = b"a token for simulations"
EXPECTS = (("state", "float64", (2,)),)
MAX_AGE = 160 * MILLISECOND
_TIMER = 20 * MILLISECOND
_LARGEST_BATCH = 64
_CONNECT_TIMEOUT = 300 * MILLISECOND


def limits_of(robot: int) -> Limits:
    """Robots of odd numbers have a policy of their own."""
    local = 80 * MILLISECOND if robot % 2 else 0
    return Limits(MAX_AGE, fresh=60 * MILLISECOND, local=local, hold=60 * MILLISECOND, restart=True)


@dataclass(slots=True)
class Robot:
    """A robot and its network. `clock` is what its monotonic clock shows more than the true time;
    `connection` the number of its present or attempted connection, 0 without one."""

    number: int
    machine: EdgeMachine
    up: Path
    down: Path
    clock: int
    connection: int = 0
    base: int = 0


class World:
    """A run: `ticks` control ticks of `robots` together, under the faults of a seed, or `faults` if given."""

    def __init__(self, seed: int, robots: int, ticks: int, faults: list[Fault] | None = None):
        self._ticks = ticks
        duration = int(ticks / robots / TERMS.hz * SECOND)
        self._random = Random(f"world {seed}")
        self._now = 0
        self._order = count()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._connections = count(1)
        self._period = round(SECOND / TERMS.hz)
        self.faults = drawn(seed, robots, duration) if faults is None else faults
        self.judge = Judge(MAX_AGE, self._period, [limits_of(robot).stop_limit for robot in range(robots)])
        self.robots = [self._robot(number) for number in range(robots)]
        self._owners: dict[int, Robot] = {}
        self._server: ServerMachine | None = None
        self._server_clock = 0
        self._busy: Work | None = None
        self._slow, self._each = 1.0, 40_000
        self.server_counts: Counter[str] = Counter()

    def run(self) -> None:
        """Let everything happen."""
        self._start_server()
        for robot in self.robots:
            self._at(self._random.randrange(self._period), lambda robot=robot: self._begin(robot))
        for fault in self.faults:
            self._at(fault.start, lambda fault=fault: self._strike(fault))
            self._at(fault.end, lambda fault=fault: self._mend(fault))
        while self.judge.counts["ticks"] < self._ticks:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        self._note_server()

    # --- robots ----------------------------------------------------------------------------------------
    def _robot(self, number: int) -> Robot:
        random = Random(self._random.random())
        clock = random.randrange(1000 * SECOND)
        settings = EdgeSettings(
            f"robot {number}", CHUNK, VALUES, token=TOKEN, dead_after=250 * MILLISECOND,
            handshake=400 * MILLISECOND, connect_longest=500 * MILLISECOND,
        )  # fmt: skip
        limits = limits_of(number)
        machine = EdgeMachine(
            TERMS, settings, limits, JerkLimitedStop(1e6, 1e4), clock_start=clock,
            local=stand if limits.local else None, random=random, draw=random.randbytes,
        )  # fmt: skip
        return Robot(number, machine, Path(random), Path(random), clock)

    def _begin(self, robot: Robot) -> None:
        robot.base = self._now
        self._tick(robot)

    def _tick(self, robot: Robot) -> None:
        """A control tick, which comes late by a little, and now and then by several periods."""
        tick = (self._now - robot.base) // self._period
        self.judge.observed(robot.number, tick, self._now)
        seen = np.array([robot.number, tick], np.float64)
        command = robot.machine.tick(
            tick, self._clock(robot), {"state": seen}, np.zeros(VALUES), observation=seen
        )
        if self._random.random() < 0.01:  # kept from running between the decision and what follows from it
            kept = self._now + self._random.randrange(2 * self._period)
            self._at(kept, lambda: self._carry_out(robot, command, seen))
        else:
            self._carry_out(robot, command, seen)

    def _carry_out(self, robot: Robot, command: Command, seen: Array) -> None:
        command = robot.machine.confirm(command, self._clock(robot), np.zeros(VALUES), seen)
        self.judge.executed(robot.number, command, self._now)
        self._pump(robot)
        late = int(abs(self._random.gauss(0, 100_000)))
        if self._random.random() < 0.0005:
            late += self._random.randrange(5 * self._period)
        tick = (self._now - robot.base) // self._period
        following = robot.base + (tick + 1) * self._period + late
        self._at(following, lambda: self._tick(robot))

    def _clock(self, robot: Robot) -> int:
        return self._now + robot.clock

    def _pump(self, robot: Robot) -> None:
        """Do what the robot's machine wants of its network."""
        machine, now = robot.machine, self._clock(robot)
        if robot.connection and machine.check(now):
            self._hang_up(robot)
            machine.failed(now, machine.why_apart)
        if machine.wants_connection(now):
            self._connect(robot)
        for frame in machine.outgoing():
            at = robot.up.arrival(self._now)
            if at is not None:
                self._at(at, lambda frame=frame, to=robot.connection: self._to_server(robot, to, frame))

    def _connect(self, robot: Robot) -> None:
        """An attempt: open after a round trip, refused where no server listens, silent where the cable is
        cut."""
        number = robot.connection = next(self._connections)
        there = robot.up.arrival(self._now)
        back = None if there is None else robot.down.arrival(there)
        if there is None or back is None:
            self._at(self._now + _CONNECT_TIMEOUT, lambda: self._fail(robot, number, "no answer"))
            return

        def arrive() -> None:
            if self._server is None:
                self._at(back, lambda: self._fail(robot, number, "nobody listens"))
                return
            self._owners[number] = robot
            self._server.opened(number, self._server_now())
            self._at(back, opened)
            self._serve()

        def opened() -> None:
            if robot.connection == number and robot.down.open:
                robot.machine.opened(self._clock(robot))
                self._pump(robot)

        self._at(there, arrive)

    def _fail(self, robot: Robot, number: int, cause: str) -> None:
        if robot.connection == number:
            robot.connection = 0
            robot.machine.failed(self._clock(robot), cause)
            self._pump(robot)

    def _hang_up(self, robot: Robot) -> None:
        """The robot throws its connection away; the server learns of it if the way is open."""
        number, robot.connection = robot.connection, 0
        at = robot.up.arrival(self._now)
        if at is not None:
            self._at(at, lambda: self._server_lost(number))

    def _to_robot(self, robot: Robot, number: int, frame: bytes) -> None:
        if robot.connection == number and robot.down.open:
            robot.machine.received(frame, self._clock(robot))
            self._pump(robot)

    # --- the server ------------------------------------------------------------------------------------
    def _server_now(self) -> int:
        return self._now + self._server_clock

    def _start_server(self) -> None:
        """A server anew, whose clock began at another time."""
        self._server_clock = self._random.randrange(1000 * SECOND)
        settings = ServeSettings(EXPECTS, TOKEN, _LARGEST_BATCH, dead_after=SECOND, handshake=SECOND // 2)
        self._server = ServerMachine(TERMS, settings, draw=self._random.randbytes)
        self._busy = None
        for size in (1, 8, _LARGEST_BATCH):
            self._server.scheduler.times.measured(size, self._cost(size))
        self._timer(self._server)

    def _timer(self, server: ServerMachine) -> None:
        if server is not self._server:
            return
        for number in server.to_close(self._server_now()):
            self._server_hangs_up(int(str(number)))
        self._serve()
        self._at(self._now + _TIMER, lambda: self._timer(server))

    def _to_server(self, robot: Robot, number: int, frame: bytes) -> None:
        if self._server is not None and robot.up.open:
            self._server.received(number, frame, self._server_now())
            self._serve()

    def _serve(self) -> None:
        """Compute if there is something to compute, and send what there is to send."""
        server = self._server
        if server is None:
            return
        if self._busy is None:
            work = self._busy = server.next_work(self._server_now())
            if work is not None:
                self._at(self._now + self._cost(len(work.requests)), lambda: self._finish(server, work))
        for number in server.speaking():
            self._send(server, number)

    def _send(self, server: ServerMachine, number: Hashable) -> None:
        connection = int(str(number))
        robot = self._owners.get(connection)
        for frame in server.outgoing(number):
            at = None if robot is None else robot.down.arrival(self._now)
            if robot is not None and at is not None:
                self._at(at, lambda frame=frame: self._to_robot(robot, connection, frame))

    def _finish(self, server: ServerMachine, work: Work) -> None:
        if server is self._server:
            server.finished(work, answered(stacked(work.requests)["state"]), self._server_now())
            self._busy = None
            self._serve()

    def _cost(self, size: int) -> int:
        """Nanoseconds of a batch: half for being one, the rest for what is in it."""
        return int((500_000 + self._each * size) * self._slow)

    def _server_lost(self, number: int) -> None:
        if self._server is not None:
            self._server.closed(number)
        self._owners.pop(number, None)

    def _server_hangs_up(self, number: int) -> None:
        server, robot = self._server, self._owners.get(number)
        assert server is not None
        self._send(server, number)
        self._server_lost(number)
        if robot is not None:
            self._close_towards(robot, number)

    def _close_towards(self, robot: Robot, number: int) -> None:
        at = robot.down.arrival(self._now)
        if at is not None:
            self._at(at, lambda: self._fail(robot, number, "the server closed the connection"))

    def _note_server(self) -> None:
        if self._server is not None:
            self.server_counts.update(self._server.counts)

    # --- faults ----------------------------------------------------------------------------------------
    def _strike(self, fault: Fault) -> None:
        match fault.kind:
            case Kind.KILLED:
                self._kill()
            case Kind.SLOW:
                self._slow = fault.amount
            case Kind.OVERLOAD:
                self._each = 3 * MILLISECOND
            case Kind.CLOCK_STEP:
                self.robots[fault.robot].clock += int(fault.amount)
            case _:
                self._trouble(self.robots[fault.robot], fault)

    def _trouble(self, robot: Robot, fault: Fault) -> None:
        trouble(fault, robot.up, robot.down)
        if fault.kind in (Kind.CUT, Kind.HALF_OPEN):
            self.judge.cut(robot.number, self._now)
        if fault.kind is Kind.CUT and robot.connection:
            # A cable that is pulled out of the robot's own socket is noticed by its system at once.
            self._fail(robot, robot.connection, "the cable is cut")

    def _mend(self, fault: Fault) -> None:
        if fault.kind is Kind.KILLED:
            if self._server is None:
                self._start_server()
        elif fault.kind is Kind.SLOW:
            self._slow = 1.0
        elif fault.kind is Kind.OVERLOAD:
            self._each = 40_000
        elif fault.kind is not Kind.CLOCK_STEP:
            robot = self.robots[fault.robot]
            robot.up.calm()
            robot.down.calm()
            self.judge.mended(fault.robot)

    def _kill(self) -> None:
        """The process ends: what it knew is gone, and robots are told so where the way is open."""
        self._note_server()
        self._server, self._busy = None, None
        owners, self._owners = self._owners, {}
        for number, robot in owners.items():
            self._close_towards(robot, number)

    def _at(self, time: int, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(time, self._now), next(self._order), happen))


def stand(observation: Array) -> Array:
    """The policy of robots that have one: go home."""
    return np.zeros(VALUES)


def trouble(fault: Fault, *paths: Path) -> None:
    """Have a fault of the network strike these paths."""
    for path in paths:
        match fault.kind:
            case Kind.DELAY:
                path.delay = int(fault.amount) // 2
            case Kind.JITTER:
                path.jitter = int(fault.amount)
            case Kind.LOSS:
                path.loss = fault.amount
            case Kind.REORDERING:
                path.reorder, path.jitter = True, int(fault.amount)
            case _:
                path.open = False


def answered(seen: Array) -> Array:
    """The simulated policy: actions that say whose they are, what they answer, and which of the chunk."""
    made = np.empty((len(seen), CHUNK, VALUES))
    made[:, :, :2] = seen[:, None, :]
    made[:, :, 2] = np.arange(CHUNK)
    return made
