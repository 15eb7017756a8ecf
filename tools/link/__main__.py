"""Measure what the link promises beside safety: time above the policy's own, deadlines and fairness under
load, the period under load, and what hostile peers cost.

    python -m tools.link [latency] [load] [period] [hostile] [--seconds 20] [--frames 100000]

Prints one line of JSON for each. A busy machine gives other numbers than an idle one: say which it was.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import multiprocessing
import resource
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from anychip.link import (
    Client,
    EdgeMachine,
    EdgeSettings,
    JerkLimitedStop,
    Limits,
    Policy,
    Robot,
    Server,
    ServeSettings,
    Stage,
    control,
    frames,
)
from anychip.link.loop import new_loop, run
from anychip.link.transport import EdgeTransport

MILLISECOND, SECOND = 1_000_000, 1_000_000_000
FRAME_BYTES, ANSWER_BYTES = 10_100, 300
TOKEN = b"a token for measurements"
LIMITS = Limits(2 * SECOND, SECOND, 0, SECOND, restart=True, settle=1)


def policy(size: int = 64, layers: bool = True) -> Policy:
    """Three layers (64-256-256-7) and chunks of 8; without them, constants."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256), torch.nn.ReLU(),
        torch.nn.Linear(256, 7),
    )  # fmt: skip

    def act(tensors: Any) -> Any:
        state = tensors["state"]
        values = network(state[:, :64]) if layers else state[:, :7]
        return {"actions": values[:, None, :].repeat(1, 8, 1)}

    return Policy((Stage("act", act),), {"state": ("float32", (size,))}, 8, 7)


@contextmanager
def serving(found: Policy, hz: float, batch: int) -> Iterator[Server]:
    """A server in this process, on a thread of its own."""
    settings = ServeSettings(found.expects(0), TOKEN, batch)
    server = Server(lambda tensors: found.answer(tensors, 0), found.terms(hz), settings)
    server.warm_up(found.example)
    loop = new_loop()
    ready = threading.Event()
    task = loop.create_task(server.run(ready.set))

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def _serve(found: Policy, hz: float, batch: int, port: Any, ended: Any) -> None:
    with serving(found, hz, batch) as server:
        port.value = server.port
        ended.wait()
        robots = server.machine.robots.values()
        asked = [each.asked for each in robots]
        shares = [each.in_time / max(each.asked, 1) for each in robots]
        told = {
            "robots": len(asked),
            "answered_in_time": sum(each.in_time for each in robots) / max(sum(asked), 1),
            "worst_robot": min(shares, default=0),
            "counts": dict(server.machine.counts),
        }
        print(json.dumps({"server": told}), flush=True)


@contextmanager
def apart(found: Policy, hz: float, batch: int) -> Iterator[int]:
    """A server in a process of its own; its port."""
    context = multiprocessing.get_context("fork")
    port, ended = context.Value("i", 0), context.Event()
    process = context.Process(target=_serve, args=(found, hz, batch, port, ended))
    process.start()
    while not port.value:
        time.sleep(0.01)
    try:
        yield port.value
    finally:
        ended.set()
        process.join()


def latency(seconds: float) -> dict[str, Any]:
    """Milliseconds from an observation of 10 kB to its answer, less queue and computation at the server."""
    found = policy(2500, layers=False)
    settings = EdgeSettings("r", 8, 7, token=TOKEN)
    state = np.zeros(2500, np.float32)
    above, whole = [], []
    with apart(found, 50, 1) as port:
        url = f"ws://127.0.0.1:{port}"
        with Client(url, found.terms(50), settings, LIMITS, JerkLimitedStop(1e3, 1e2)) as client:
            until = time.monotonic() + seconds
            seen = 0
            while time.monotonic() < until:
                client.step({"state": state}, np.zeros(7))
                time.sleep(0.02)
                if client.counts.get("answers used", 0) > seen:
                    seen = client.counts["answers used"]
                    total, queued, computed = client.machine.round_trips[-1]
                    above.append((total - queued - computed) / MILLISECOND)
                    whole.append(total / MILLISECOND)
    return {
        "answers": len(above),
        "median_ms": statistics.median(above),
        "p99_ms": float(np.quantile(above, 0.99)),
        "whole_median_ms": statistics.median(whole),
        "bare_median_ms": bare(seconds / 4),
    }


def _answer_bare(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while connection.recv(FRAME_BYTES, socket.MSG_WAITALL):
            connection.sendall(bytes(ANSWER_BYTES))


def bare(seconds: float) -> float:
    """Median milliseconds from sending as many bytes over a plain socket, at the same period, until another
    process has answered: what the machine takes, whatever is done with them."""
    times = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        context = multiprocessing.get_context("fork")
        process = context.Process(target=_answer_bare, args=(listener,))
        process.start()
        with socket.create_connection(listener.getsockname()) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(0.02)
                begun = time.monotonic_ns()
                connection.sendall(bytes(FRAME_BYTES))
                connection.recv(ANSWER_BYTES, socket.MSG_WAITALL)
                times.append((time.monotonic_ns() - begun) / MILLISECOND)
        process.join()
    return statistics.median(times)


async def _robots(port: int, found: Policy, count: int, hz: float, seconds: float) -> dict[str, Any]:
    machines: list[EdgeMachine] = []
    in_time: list[list[bool]] = [[] for _ in range(count)]
    period = 1 / hz
    deadline = 80 * MILLISECOND

    async def robot(number: int) -> None:
        settings = EdgeSettings(
            f"robot {number}", 8, 7, token=TOKEN, answer_within=deadline, dead_after=2 * SECOND
        )
        machine = EdgeMachine(
            found.terms(hz), settings, LIMITS, JerkLimitedStop(1e3, 1e2), clock_start=time.monotonic_ns()
        )
        machines.append(machine)
        transport = EdgeTransport(machine, f"ws://127.0.0.1:{port}")
        task = asyncio.create_task(transport.run())
        while machine.counts["joined"] == 0:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1 + number * period / count)
        state = np.zeros(64, np.float32)
        start = time.monotonic()
        for tick in range(int(seconds * hz)):
            await asyncio.sleep(max(start + tick * period - time.monotonic(), 0))
            machine.round_trips.clear()
            machine.tick(tick, time.monotonic_ns(), {"state": state}, np.zeros(7))
            transport.wake()
            await asyncio.sleep(0.9 * period)
            if tick >= hz:
                in_time[number].append(any(total <= deadline for total, _, _ in machine.round_trips))
        task.cancel()

    await asyncio.gather(*(robot(number) for number in range(count)))
    shares = [sum(own) / len(own) for own in in_time]
    return {"robots": count, "observations": sum(map(len, in_time)), "met": float(np.mean(shares)),
            "fairness": min(shares) / max(shares)}  # fmt: skip


def load(seconds: float) -> dict[str, Any]:
    """64 robots at 20 Hz in one process, their server in another: the share of observations whose answer was
    used within 80 ms, and the worst robot's share beside the best one's."""
    found = policy()
    with apart(found, 20, 64) as port:
        return run(_robots(port, found, 64, 20.0, seconds))


def _busy(ended: Any) -> None:
    while not ended.is_set():
        sum(range(10_000))


def period(seconds: float) -> dict[str, Any]:
    """Errors of a period of 20 ms with two processes that take all they get, with SCHED_FIFO and without."""
    return {"fifo": _period(seconds, True), "plain": _period(seconds, False)}


def _period(seconds: float, real_time: bool) -> dict[str, Any]:
    found = policy(layers=False)
    context = multiprocessing.get_context("fork")
    ended = context.Event()
    busy = [context.Process(target=_busy, args=(ended,)) for _ in range(2)]
    state = {"state": np.zeros(64, np.float32)}
    robot = Robot("r", lambda: state, lambda: np.zeros(7), lambda command: None, JerkLimitedStop(1e3, 1e2))
    settings = EdgeSettings("r", 8, 7, token=TOKEN)
    own: dict[str, Any] = {}
    with apart(found, 50, 1) as port:
        for process in busy:
            process.start()
        url = f"ws://127.0.0.1:{port}"
        priority = (lambda: control.take_priority(1)) if real_time else None
        with Client(url, found.terms(50), settings, LIMITS, robot.stop, on_thread=priority) as client:

            def run() -> None:
                kept = control.run(robot, client, found, ticks=int(seconds * 50), real_time=real_time)
                errors = {f"p{share}_ms": kept.error(share / 100) / MILLISECOND for share in (50, 99)}
                own.update(granted=kept.real_time, ticks=kept.ticks, **errors)

            thread = threading.Thread(target=run)  # its priority ends with it
            thread.start()
            thread.join()
        ended.set()
        for process in busy:
            process.join()
    return own


def hostile(count: int) -> dict[str, Any]:
    """Malformed and oversized frames, wrong proofs and replayed hellos to the server's state machine, each by
    a peer of its own: how many were accepted, and memory after a tenth and after all."""
    from anychip.link import ServerMachine, Terms
    from anychip.link.handshake import hello

    random = Random(1)
    terms = Terms("a" * 64, "b" * 64, 50.0)
    server = ServerMachine(terms, ServeSettings((("state", "float32", (2,)),), TOKEN))
    server.opened(0, 0)
    challenge = frames.decode(server.outgoing(0)[0])
    assert isinstance(challenge, frames.Challenge)
    recorded = frames.encode(hello(terms, "r", TOKEN, challenge.nonce, bytes(16)))
    server.received(0, recorded, 0)
    assert server.peers[0].joined
    observation = frames.encode(frames.Observation(1, 1, 1, 2, 3, {"state": np.zeros(2, np.float32)}))
    memory, accepted = [], 0
    for number in range(1, count + 1):
        server.opened(number, number)
        server.outgoing(number)
        kind = number % 5
        if kind == 0:
            frame = random.randbytes(random.randrange(300))
        elif kind == 1:
            frame = bytearray(observation)
            frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
            frame = bytes(frame)
        elif kind == 2:
            frame = bytes(random.choice((5000, 2 << 20)))
        elif kind == 3:
            frame = frames.encode(hello(terms, "r", b"another token, wrong", random.randbytes(16), bytes(16)))
        else:
            frame = recorded
        server.received(number, frame, number)
        accepted += server.peers[number].joined
        server.outgoing(number)
        server.closed(number)
        if number in (count // 10, count):
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            memory.append(pages * resource.getpagesize() / (1 << 20))
    return {"frames": count, "accepted": accepted, "resident_mb": memory, "grown_mb": memory[1] - memory[0],
            "others_served": server.peers[0].joined and not server.peers[0].dropped}  # fmt: skip


MEASURES = {"latency": latency, "load": load, "period": period, "hostile": hostile}


def main() -> None:
    """Measure what is named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=[*MEASURES, []])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--frames", type=int, default=100_000)
    options = parser.parse_args()
    for name in options.what or MEASURES:
        given = options.frames if name == "hostile" else options.seconds
        print(json.dumps({name: MEASURES[name](given)}), flush=True)


if __name__ == "__main__":
    main()
