"""A program on several ranks of this machine, as processes that cannot outlive their time. Flows in: a
module, how many ranks, a limit in seconds. Flows out: how each rank ended, and what it wrote."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a rank ended: `status` is the exit status, negative for a signal, None where it was stopped at the
    limit; `seconds` from the job's start until it was seen to have ended."""

    rank: int
    status: int | None
    output: str
    errors: str
    seconds: float


class Job:
    """Ranks that run. Leaving the block ends those that are left."""

    def __init__(
        self,
        arguments: Sequence[str],
        ranks: int,
        environment: Mapping[str, str] | None = None,
        of_rank: Mapping[int, Mapping[str, str]] | None = None,
        prefixes: Mapping[int, Sequence[str]] | None = None,
        address: str = "127.0.0.1",
    ):
        self._started = time.monotonic()
        self._folder = tempfile.TemporaryDirectory(prefix="anychip-job-")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ended: dict[int, Ended] = {}
        port = str(free_port())
        for rank in range(ranks):
            surroundings = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join(
                    [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
                ),
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": address,
                "MASTER_PORT": port,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(ranks),
                **(environment or {}),
                **((of_rank or {}).get(rank, {})),
            }
            with open(self._file(rank, "out"), "wb") as out, open(self._file(rank, "err"), "wb") as errors:
                self._processes.append(
                    subprocess.Popen(
                        [*(prefixes or {}).get(rank, ()), sys.executable, *arguments],
                        cwd=ROOT,
                        env=surroundings,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=errors,
                        start_new_session=True,
                    )
                )

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._folder.cleanup()

    def signal(self, rank: int, number: signal.Signals) -> None:
        """Send a signal to a rank."""
        self._processes[rank].send_signal(number)

    def wait(self, seconds: float, but: Sequence[int] = ()) -> list[Ended]:
        """How the ranks ended, in rank order, `but` those named; what runs after `seconds` is killed."""
        limit = time.monotonic() + seconds
        wanted = [rank for rank in range(len(self._processes)) if rank not in but]
        while time.monotonic() < limit and not all(self._look(rank) for rank in wanted):
            time.sleep(0.02)
        for rank in wanted:
            if not self._look(rank):
                os.killpg(self._processes[rank].pid, signal.SIGKILL)
                self._processes[rank].wait()
                self._ended[rank] = self._end(rank, None)
        return [self._ended[rank] for rank in wanted]

    def _look(self, rank: int) -> bool:
        if rank not in self._ended and (status := self._processes[rank].poll()) is not None:
            self._ended[rank] = self._end(rank, status)
        return rank in self._ended

    def _end(self, rank: int, status: int | None) -> Ended:
        output, errors = (self._file(rank, kind).read_text(errors="replace") for kind in ("out", "err"))
        return Ended(rank, status, output, errors, time.monotonic() - self._started)

    def _file(self, rank: int, kind: str) -> Path:
        return Path(self._folder.name) / f"{rank}.{kind}"


def run(arguments: Sequence[str], ranks: int, seconds: float, **settings: Any) -> list[Ended]:
    """Start a job, wait for it, and say how it ended. Raises RuntimeError where a rank failed."""
    with Job(arguments, ranks, **settings) as job:
        ended = job.wait(seconds)
    if wrong := [each for each in ended if each.status != 0]:
        told = "\n".join(
            f"rank {each.rank} ended with {each.status}:\n{each.errors[-3000:]}" for each in wrong
        )
        raise RuntimeError(f"{' '.join(arguments)}: {told}")
    return ended


def free_port() -> int:
    """A TCP port that nothing listened on a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
