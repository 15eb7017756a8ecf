"""A training job as a child process: plain Python, or torchrun with a number of processes. Flows in: a
script, and what its ranks shall run on. Flows out: steps as ranks write them, and a record at the end."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..environment import POLICY, TRAIN, TRAIN_CHIPS
from .errors import TrainingError

POLL = 0.1
"""Seconds between looks at what ranks wrote."""
GRACE = 10.0
"""Seconds that a job has to end by itself after it was asked to."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a job is started. `processes` is 0 where the script starts its own; `chips` are targets, one for
    each rank in turn ("" for the machine's own); `patience` is in seconds without a step."""

    program: tuple[str, ...]
    processes: int = 0
    policy: str = "strict"
    threads: int = 0
    chips: tuple[str, ...] = ()
    patience: float = 600.0

    def command(self) -> list[str]:
        """What is run."""
        if not self.processes:
            return [sys.executable, *self.program]
        run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(self.processes)]
        return [sys.executable, *run, *self.program]

    def environment(self, folder: str, given: Mapping[str, str]) -> dict[str, str]:
        """The variables of the job; its ranks write into `folder`."""
        made = {**given, TRAIN: folder, POLICY: self.policy}
        if self.policy == "pytorch":
            del made[POLICY]
        if any(self.chips):
            made[TRAIN_CHIPS] = ",".join(self.chips)
        threads = self.threads or max(1, (os.cpu_count() or 1) // max(1, self.processes))
        if self.threads or "OMP_NUM_THREADS" not in made:
            made["OMP_NUM_THREADS"] = str(threads)
        return made


@dataclass(frozen=True, slots=True)
class Step:
    """A step as rank `rank` wrote it. `tokens` is 0 where the script does not say; `seconds` counts from the
    rank's start, `memory` is its peak in bytes."""

    rank: int
    step: int
    loss: float | None
    tokens: int
    seconds: float
    memory: int


@dataclass
class Watched:
    """A job that was run to its end: what rank 0 wrote of each step, the peak of each rank, and what the
    script wrote to standard output."""

    command: list[str]
    steps: list[Step] = field(default_factory=list)
    memory: dict[int, int] = field(default_factory=dict)
    written: str = ""

    def add(self, step: Step) -> None:
        """Take a step."""
        self.memory[step.rank] = max(step.memory, self.memory.get(step.rank, 0))
        if step.rank == 0:
            self.steps.append(step)

    def tokens_per_second(self) -> float | None:
        """Of the middle step after the first; None where the script does not say its tokens."""
        pairs = zip(self.steps, self.steps[1:])
        rates = [b.tokens / (b.seconds - a.seconds) for a, b in pairs if b.tokens and b.seconds > a.seconds]
        return statistics.median(rates) if rates else None

    def record(self) -> dict[str, Any]:
        """The job as plain data."""
        steps = [
            {k: v for k, v in asdict(step).items() if k not in ("rank", "memory")} for step in self.steps
        ]
        return {
            "command": self.command,
            "steps": steps,
            "losses": [step.loss for step in self.steps],
            "tokens_per_second": self.tokens_per_second(),
            "memory": [self.memory[rank] for rank in sorted(self.memory)],
            "output": self.written,
        }


def run(start: Start, watched: Watched) -> Iterator[Step]:
    """Run a job, giving each step once it is written, and fill `watched`. Raises TrainingError where the job
    fails or makes no step for `patience` seconds; whoever leaves early ends it."""
    with (
        tempfile.TemporaryDirectory(prefix="anychip-train-") as folder,
        tempfile.TemporaryFile("w+") as output,
    ):
        job = subprocess.Popen(
            start.command(),
            env=start.environment(folder, os.environ),
            stdout=output,
            start_new_session=True,
        )
        read: dict[Path, int] = {}
        last = time.monotonic()
        try:
            while True:
                status = job.poll()
                for step in _written(Path(folder), read):
                    last = time.monotonic()
                    watched.add(step)
                    yield step
                if status is not None:
                    break
                if time.monotonic() - last > start.patience:
                    raise TrainingError(_still(watched, start.patience), "Give it longer by --patience.")
                time.sleep(POLL)
        finally:
            _end(job)
        output.seek(0)
        watched.written = output.read()
        if job.returncode:
            reached = len(watched.steps)
            raise TrainingError(
                f"the job ended with status {job.returncode} after {reached} steps of rank 0.",
                "What its ranks wrote is above; `torchrun` names the first one that failed.",
            )


def _still(watched: Watched, patience: float) -> str:
    """Which rank got least far."""
    if not watched.memory:
        return f"no rank has made a step in {patience:.0f} s."
    return (
        f"no step for {patience:.0f} s; rank 0 made {len(watched.steps)}, {len(watched.memory)} ranks wrote."
    )


def _written(folder: Path, read: dict[Path, int]) -> Iterator[Step]:
    """Whole lines that ranks have written since the last look."""
    for file in sorted(folder.glob("*.jsonl")):
        with file.open(encoding="utf-8") as text:
            text.seek(read.get(file, 0))
            lines = text.read()
        whole = lines[: lines.rfind("\n") + 1]
        read[file] = read.get(file, 0) + len(whole.encode())
        for line in whole.splitlines():
            yield Step(rank=int(file.stem), **json.loads(line))


def _end(job: subprocess.Popen[bytes]) -> None:
    """Let the job and all its processes end, by force if need be."""
    if job.poll() is None:
        os.killpg(job.pid, signal.SIGTERM)
        try:
            job.wait(GRACE)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
