"""Faults injected into a job of several ranks: killed, stopped, slow, held up, a full disk, a host cut off.
Flows in: which faults. Flows out: for each, how long the survivors took to end, whom they named, and
whether the job, started again, had the losses that it would have had.

`python -m tools.cluster.faults record 50` writes evidence/cluster/faults.json; `run RANKS KIND RANK STEP ...`
prints what came of one after the other as JSON. One process imports PyTorch, and ranks are forked from it,
so that a trial costs little processor time. A full disk needs the right to mount a tmpfs, a host cut off
that to make network namespaces."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch._dynamo  # noqa: F401  (the first step of an optimizer imports it: once here, not in every rank)

from anychip.evidence.record import commit

from . import job, namespaces
from .training import INTERVAL, TIMEOUT, Fault, train

STEPS = 10
RECORD = job.ROOT / "evidence" / "cluster" / "faults.json"
LIMIT = TIMEOUT * 1.5 + 10.0
"""Seconds in which every survivor must have ended, from the fault on: the group's own bound, and a margin
for a busy machine."""
SMALL_DISK, ROOMY_DISK = "45k", "4m"
KINDS = ("kill", "stop", "slow", "straggler", "full", "cut")
SAYS = {
    "kill": ("gives no sign of life", "does not answer"),
    "stop": ("gives no sign of life", "does not answer"),
    "slow": ("computes, and did not come",),
    "cut": ("gives no sign of life", "does not answer", "gave up"),
    "full": ("No space left", "Errno 28", "was not written"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a fault. `seconds` from the fault until the last survivor had ended; `is_named`: a
    survivor's message names the rank and what is wrong with it; `is_same`: the losses after the restart are
    those of an undisturbed run, bit by bit; `recomputed`: steps that were done twice."""

    kind: str
    rank: int
    step: int
    ranks: int
    seconds: float
    is_ended: bool
    is_named: bool
    is_same: bool
    recomputed: int
    message: str


class Forked:
    """A job whose ranks are forks of this process."""

    def __init__(
        self,
        folder: Path,
        ranks: int,
        fault: Fault,
        hosts: namespaces.Hosts | None = None,
        timeout: float = TIMEOUT,
    ):
        port = job.free_port()
        self.folder = folder
        self.processes: dict[int, int] = {}
        self.statuses: dict[int, int] = {}
        for rank in range(ranks):
            made = os.fork()
            if not made:
                _be_rank(folder, rank, ranks, port, fault, hosts, timeout)
            self.processes[rank] = made

    def wait(self, ranks: list[int], seconds: float) -> bool:
        """Whether all of these have ended by themselves in time."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for rank in ranks:
                if rank not in self.statuses:
                    ended, status = os.waitpid(self.processes[rank], os.WNOHANG)
                    if ended:
                        self.statuses[rank] = os.waitstatus_to_exitcode(status)
            if all(rank in self.statuses for rank in ranks):
                return True
            time.sleep(0.02)
        return False

    def end(self) -> None:
        """Kill what is left."""
        for rank, process in self.processes.items():
            if rank not in self.statuses:
                os.kill(process, signal.SIGKILL)
                self.statuses[rank] = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _be_rank(
    folder: Path,
    rank: int,
    ranks: int,
    port: int,
    fault: Fault,
    hosts: namespaces.Hosts | None,
    timeout: float,
) -> None:
    """A forked child's life: never returns."""
    status = 1
    try:
        errors = os.open(folder / f"errors-{rank}.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(errors, 2)
        os.dup2(errors, 1)
        signal.alarm(int(LIMIT * 4))
        address = "127.0.0.1"
        if hosts is not None:
            hosts.enter(rank)
            address = hosts.addresses[0]
            os.environ["GLOO_SOCKET_IFNAME"] = hosts.interfaces[rank]
        os.environ.update(
            MASTER_ADDR=address,
            MASTER_PORT=str(port),
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(ranks),
        )
        os.environ["ANYCHIP_CHIP"] = f"chip-{rank}"
        train(folder, STEPS, fault, timeout)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def losses(folder: Path, ranks: int) -> dict[int, str]:
    """Step -> its last loss, equal on all ranks."""
    found: list[dict[int, str]] = []
    for rank in range(ranks):
        lines = _text(folder / f"losses-{rank}.txt").split("\n")
        found.append({int(step): value for step, _, value in (line.partition(" ") for line in lines if line)})
    return found[0] if all(each == found[0] for each in found) else {}


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def undisturbed(ranks: int) -> dict[int, str]:
    """The losses of a job that nothing befalls."""
    with tempfile.TemporaryDirectory(prefix="anychip-faults-") as name:
        running = Forked(Path(name), ranks, Fault(), timeout=60.0)
        try:
            running.wait(list(range(ranks)), 120)
        finally:
            running.end()
        if any(running.statuses.values()):
            raise RuntimeError((Path(name) / "errors-0.txt").read_text())
        return losses(Path(name), ranks)


def inject(fault: Fault, ranks: int, expected: dict[int, str]) -> Outcome:
    """Let a fault befall a job, and start the job again."""
    with tempfile.TemporaryDirectory(prefix="anychip-faults-") as name:
        folder = Path(name)
        (folder / "checkpoints").mkdir()
        with contextlib.ExitStack() as stack:
            hosts = stack.enter_context(namespaces.two_hosts()) if fault.kind == "cut" else None
            roomier = (
                stack.enter_context(_small_disk(folder / "checkpoints")) if fault.kind == "full" else None
            )
            return _injected(folder, fault, ranks, expected, hosts, roomier)


def _injected(
    folder: Path,
    fault: Fault,
    ranks: int,
    expected: dict[int, str],
    hosts: namespaces.Hosts | None,
    roomier: Callable[[], None] | None,
) -> Outcome:
    running = Forked(folder, ranks, fault, hosts)
    everyone = list(range(ranks))
    survivors = (
        everyone if fault.kind in ("full", "straggler", "cut") else [r for r in everyone if r != fault.rank]
    )
    try:
        began = _befallen(folder, running, fault)
        if hosts is not None:
            hosts.cut()
            (folder / "cable is out").touch()
        is_ended = running.wait(survivors, LIMIT if fault.kind != "straggler" else 60.0)
        seconds = time.monotonic() - began
    finally:
        running.end()
    if fault.kind == "straggler":
        text = (folder / "straggler.txt").read_text() if (folder / "straggler.txt").exists() else ""
        same = losses(folder, ranks) == expected
        return Outcome(
            **asdict(fault), ranks=ranks, seconds=seconds, is_ended=is_ended,
            is_named=text.startswith(f"{fault.rank} "), is_same=same, recomputed=0, message=text,
        )  # fmt: skip
    texts = [_text(folder / f"errors-{rank}.txt") for rank in survivors]
    message = next((found for text in texts if (found := _named(text, fault))), "")
    is_named = bool(message)
    message = message or "; ".join(text.strip().splitlines()[-1] if text.strip() else "" for text in texts)
    done = max(_text(folder / f"losses-{r}.txt").count("\n") for r in everyone)
    if roomier is not None:
        roomier()
    again = Forked(folder, ranks, Fault(), timeout=60.0)
    try:
        again.wait(everyone, 120)
    finally:
        again.end()
    total = max(_text(folder / f"losses-{r}.txt").count("\n") for r in everyone)
    after = losses(folder, ranks)
    is_same = not any(again.statuses.values()) and after == expected
    return Outcome(
        **asdict(fault), ranks=ranks, seconds=seconds, is_ended=is_ended, is_named=is_named,
        is_same=is_same, recomputed=total - STEPS if total >= done else -1, message=message,
    )  # fmt: skip


def _befallen(folder: Path, running: Forked, fault: Fault) -> float:
    """Wait until the fault happens; when it did."""
    limit = time.monotonic() + 120
    while fault.kind in ("kill", "stop", "slow", "cut") and not (folder / "befallen").exists():
        if time.monotonic() > limit or running.wait(list(running.processes), 0.0):
            break
        time.sleep(0.02)
    return time.monotonic()


def _named(text: str, fault: Fault) -> str:
    """The line of an error that says which rank, which chip and what is wrong; "" where none does."""
    for line in text.splitlines():
        who = f"rank {fault.rank} (chip-{fault.rank}," in line
        if fault.kind in ("full", "cut"):
            who = "(chip-" in line
        if who and any(said in line for said in SAYS[fault.kind]) and "step" in line:
            return line.strip()
    return ""


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """A disk with room for no more than a checkpoint or two; what is given makes it larger."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "none", str(folder)], check=True)
    try:
        yield (
            lambda: (
                subprocess.run(["mount", "-o", f"remount,size={ROOMY_DISK}", str(folder)], check=True)
                and None
            )
        )
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def drawn(number: int, seed: int = 0) -> list[tuple[Fault, int]]:
    """So many faults of all kinds, each with how many ranks its job has."""
    draw = random.Random(seed)
    kinds = [kind for kind in KINDS if kind != "cut" or namespaces.why_not() == ""]
    made = []
    for index in range(number):
        kind = kinds[index % len(kinds)]
        ranks = 2 if kind == "cut" else draw.choice((2, 2, 3))
        rank = 1 if kind == "cut" else draw.randrange(ranks)
        made.append((Fault(kind, rank, draw.randrange(1, STEPS - 1)), ranks))
    return made


def record(number: int) -> None:
    """Inject so many faults, those that are recorded left out, and write what came of each as it comes."""
    expected: dict[int, dict[int, str]] = {}
    outcomes = json.loads(RECORD.read_text())["outcomes"] if RECORD.exists() else []
    for fault, ranks in drawn(number)[len(outcomes) :]:
        if ranks not in expected:
            expected[ranks] = undisturbed(ranks)
        found = inject(fault, ranks, expected[ranks])
        outcomes.append({**asdict(found), "commit": commit()})
        print(json.dumps(asdict(found)), flush=True)
        written = {
            "command": f"python -m tools.cluster.faults record {number}",
            "timeout": TIMEOUT,
            "limit": LIMIT,
            "interval": INTERVAL,
            "outcomes": outcomes,
        }
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        RECORD.write_text(json.dumps(written, indent=1) + "\n")


def main(arguments: list[str]) -> None:
    if arguments[0] == "record":
        record(int(arguments[1]))
        return
    ranks = int(arguments[1])
    expected = undisturbed(ranks)
    triples = [arguments[i : i + 3] for i in range(2, len(arguments), 3)]
    outcomes = [inject(Fault(kind, int(rank), int(step)), ranks, expected) for kind, rank, step in triples]
    print(json.dumps({"steps": len(expected), "outcomes": [asdict(each) for each in outcomes]}))


if __name__ == "__main__":
    main(sys.argv[1:])
