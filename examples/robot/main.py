"""An arm that moves under a policy served from another network namespace, through a network that gets bad.

Run as root it makes a namespace for the server and a pair of `veth` with a limit of bandwidth (`tbf`);
otherwise all of it runs over loopback, and the output says so. Delay, loss and reordering come from a proxy
in user space, since not every kernel has `netem`. Writes `robot.png` (trajectory, ages of actions, ladder)
and `robot.mcap` (for Foxglove and ROS tools) into the folder given, and checks that no action was executed
past its expiry.

    python examples/robot/main.py [--output FOLDER] [--seconds 14] [--loopback]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import arm as scene
import numpy as np

from anychip.link import Client, EdgeSettings, Limits, Rung, control
from anychip.link.logs import Recorder
from anychip.link.torture.proxy import Proxy

NAMESPACE, OUTSIDE, INSIDE = "anychip-cloud", "10.213.77.1", "10.213.77.2"
MILLISECOND = 1_000_000
PORT = 18765

WEATHER: list[tuple[float, str, Callable[[Proxy], None]]] = [
    (0.20, "60 ms away", lambda proxy: _set(proxy, delay=30 * MILLISECOND, jitter=20 * MILLISECOND)),
    (0.35, "20 % lost", lambda proxy: _set(proxy, loss=0.2)),
    (0.50, "reordered", lambda proxy: _set(proxy, reorder=True, jitter=100 * MILLISECOND)),
    (0.62, "half-open", lambda proxy: _set(proxy, open=False)),
    (0.80, "calm", lambda proxy: _set(proxy)),
]
"""When (as a share of the run), what it is called, and what it does."""


def _set(proxy: Proxy, **changes: float | bool) -> None:
    for path in (proxy.up, proxy.down):
        path.calm()
        for name, value in changes.items():
            setattr(path, name, value)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def namespace(wanted: bool) -> Iterator[tuple[list[str], str]]:
    """What to put before a command to run it in the server's namespace, and its address there."""
    if not wanted or os.geteuid() != 0:
        yield [], "127.0.0.1"
        return
    _ip("netns", "add", NAMESPACE)
    try:
        _ip("link", "add", "anychip0", "type", "veth", "peer", "name", "anychip1", "netns", NAMESPACE)
        _ip("address", "add", f"{OUTSIDE}/30", "dev", "anychip0")
        _ip("link", "set", "anychip0", "up")
        inside = ["netns", "exec", NAMESPACE, "ip"]
        _ip(*inside, "address", "add", f"{INSIDE}/30", "dev", "anychip1")
        _ip(*inside, "link", "set", "anychip1", "up")
        limit = ["root", "tbf", "rate", "20mbit", "burst", "32kbit", "latency", "50ms"]
        subprocess.run(["tc", "qdisc", "add", "dev", "anychip0", *limit], check=True)
        yield ["ip", "netns", "exec", NAMESPACE], INSIDE
    finally:
        _ip("netns", "del", NAMESPACE)


@contextlib.contextmanager
def serving(before: list[str], host: str, token: Path) -> Iterator[None]:
    """The policy, served in a process of its own."""
    policy = f"{Path(__file__).parent}/arm.py:policy"
    address = ["--host", host, "--port", str(PORT), "--token-file", str(token), "--plain"]
    command = [*before, sys.executable, "-m", "anychip", "link", "serve", policy, "--batch", "1", *address]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        assert server.stderr is not None
        told = []
        for line in server.stderr:
            told.append(line)
            if "serving" in line:
                break
        else:
            raise SystemExit("the server did not start:\n" + "".join(told))
        try:
            yield
        finally:
            server.terminate()


@contextlib.contextmanager
def between(target: str, seconds: float) -> Iterator[tuple[Proxy, Callable[[], None]]]:
    """The proxy on a thread of its own, and what starts its weather."""
    proxy = Proxy(target)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    task = loop.create_task(proxy.run(ready.set))

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()

    def begin() -> None:
        for share, _, change in WEATHER:
            loop.call_soon_threadsafe(lambda s=share, c=change: loop.call_later(s * seconds, c, proxy))

    try:
        yield proxy, begin
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def picture(arm: scene.Arm, file: Path, seconds: float) -> None:
    """Joints over time, ages of the actions that were executed, and the ladder."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    commands = [command for command, _ in arm.history]
    times = np.array([command.tick for command in commands]) / scene.HZ
    figure, (joints, ages, ladder) = pyplot.subplots(3, 1, sharex=True, figsize=(10, 8), layout="constrained")
    joints.plot(times, [measured for _, measured in arm.history], linewidth=1)
    joints.set_ylabel("joints (rad)")
    executed = [(t, command.age / MILLISECOND) for t, command in zip(times, commands) if command.sequence]
    ages.plot(*zip(*executed), ".", markersize=3)
    ages.axhline(300, color="black", linewidth=0.8, linestyle="--")
    ages.set_ylabel("age of actions (ms)")
    ladder.step(times, [command.rung for command in commands], where="post")
    ladder.set_yticks(list(Rung), [rung.name.lower() for rung in Rung])
    ladder.invert_yaxis()
    ladder.set_xlabel("seconds")
    for axis in (joints, ages, ladder):
        for share, name, _ in WEATHER:
            axis.axvline(share * seconds, color="grey", linewidth=0.6)
            if axis is joints:
                axis.text(share * seconds, axis.get_ylim()[1], f" {name}", fontsize=8, va="bottom")
    figure.savefig(file, dpi=110)


def main() -> None:
    """Run the scene."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("."))
    parser.add_argument("--seconds", type=float, default=14.0)
    parser.add_argument("--loopback", action="store_true", help="make no network namespace")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    body, found = scene.robot(), scene.policy()
    arm = body.apply.__self__  # type: ignore[attr-defined]
    limits = Limits(300 * MILLISECOND, 150 * MILLISECOND, 300 * MILLISECOND, 100 * MILLISECOND, restart=True)
    with tempfile.TemporaryDirectory() as folder, namespace(not options.loopback) as (before, host):
        token = Path(folder) / "token"
        token.write_text(secrets.token_hex(32))
        settings = EdgeSettings("ur5", found.chunk, found.values, token=token.read_bytes())
        log = (options.output / "robot.mcap").open("wb")
        with (
            log,
            serving(before, host, token),
            between(f"ws://{host}:{PORT}", options.seconds) as (proxy, begin),
        ):
            recorder = Recorder(log, [arm.model.joint(k).name for k in range(scene.JOINTS)])
            url = f"ws://127.0.0.1:{proxy.port}"
            with Client(url, found.terms(scene.HZ), settings, limits, body.stop, local=body.local) as client:
                while not client.joined:
                    time.sleep(0.01)
                begin()
                kept = control.run(
                    body, client, found, ticks=int(options.seconds * scene.HZ),
                    each=lambda command: recorder.command(command, time.monotonic_ns()),
                )  # fmt: skip
                recorder.steps(client.steps)
                recorder.finish()
                counts = client.counts
                steps = client.steps
    picture(arm, options.output / "robot.png", options.seconds)
    print(f"the server ran {'in the namespace ' + NAMESPACE if before else 'on this machine, over loopback'}")
    for step in steps:
        print(f"  {step.tick / scene.HZ:6.2f} s  {step.before.name:>9} -> {step.after.name:<9} {step.cause}")
    executed = [command for command, _ in arm.history if command.sequence]
    late = [command for command in executed if not 0 <= command.age < limits.max_age]
    twice = len(executed) - len({(command.sequence, command.index) for command in executed})
    print(f"{kept.ticks} ticks, {len(executed)} actions executed, {len(late)} past expiry, {twice} twice; "
          f"{counts.get('half-open found', 0)} half-open connections found; error of the period p99 "
          f"{kept.error(0.99) / MILLISECOND:.1f} ms")  # fmt: skip
    if late or twice or not executed:
        raise SystemExit("a promise was broken")


if __name__ == "__main__":
    main()
