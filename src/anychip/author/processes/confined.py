"""The judge's end of its processes. A confined process stands still except while it answers a message, and
the clock runs from before it goes on until it stands still again: what it does at any other time it cannot
do, and what it does is timed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..arena import Arena, shared_memory
from ..errors import JudgeError, ProcessEnded
from ..messages import Channel
from .nursery import CONTROL_BYTES

NURSERY = "anychip.author.processes.nursery"
START_SECONDS = 300.0
STOP_SECONDS = 10.0
PRINTED = 2000
"""Characters of what a process printed that are shown."""


class Answer(NamedTuple):
    """What a process answered, the seconds until it stood still again, and those of them that its threads had
    a processor for (0 where the kernel does not tell)."""

    message: dict[str, Any]
    seconds: float
    processor: float


class Nursery:
    """The process that forks the others. To be closed, or used as a context. `library`: import the operator
    library there, for tasks that are operators of it."""

    def __init__(self, *, library: bool = False) -> None:
        if not sys.platform.startswith("linux"):
            raise JudgeError(
                "the judge confines processes by means of Linux's; there are none on this system."
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.folder = Path(tempfile.mkdtemp(prefix="anychip-judge-"))
        self.folder.chmod(0o711)
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("ANYCHIP_", "TRITON_", "LD_"))
        }
        environment |= {
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "TRITON_DEFAULT_BACKEND": "cpu",
            "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
            "TRITON_CACHE_DIR": str(self.folder / "nursery"),
            "ANYCHIP_CACHE_DIR": str(self.folder / "nursery"),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", NURSERY, str(theirs.fileno()), *(["library"] if library else [])],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=environment,
            cwd=self.folder,
        )
        theirs.close()
        self._control = ours
        self._control.settimeout(START_SECONDS)
        self._count = 0
        if not self._control.recv(CONTROL_BYTES):
            raise JudgeError("the judge's process ended before it began; its error is above.")

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, and remove what was written."""
        self._control.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(
        self, role: str, arena_bytes: int, *, threads: int = 1, readable: str = "", cache: Path | None = None
    ) -> Confined:
        """A new confined process: "candidate", "peer" or "witness". `readable`: a file or folder that it may
        read, `cache`: where compiled kernels are kept, in place of a folder of its own."""
        self._count += 1
        workspace = self.folder / f"{role}{self._count}"
        kept = cache or workspace / "cache"
        for folder in (workspace, kept):
            folder.mkdir(exist_ok=True, parents=True)
            folder.chmod(0o777)
        memory = shared_memory(arena_bytes)
        ours, theirs = socket.socketpair()
        request = {
            "role": role,
            "arena": arena_bytes,
            "threads": threads,
            "readable": readable,
            "workspace": str(workspace),
            "cache": str(kept),
        }
        socket.send_fds(self._control, [json.dumps(request).encode()], [theirs.fileno(), memory])
        theirs.close()
        reply = json.loads(self._control.recv(CONTROL_BYTES) or b"{}")
        if "pid" not in reply:
            raise JudgeError("the judge could not start a process.")
        arena = Arena(memory, arena_bytes)
        os.close(memory)
        return Confined(role, reply["pid"], Channel(ours), arena, workspace)


class Confined:
    """A confined process. To be closed, or used as a context. `held`: by which means it is confined, and
    which of them this machine does not have."""

    def __init__(self, role: str, process: int, channel: Channel, arena: Arena, workspace: Path):
        self.role = role
        self.arena = arena
        self.workspace = workspace
        self._process = process
        self._channel = channel
        try:
            self.held: Mapping[str, str] = channel.receive(START_SECONDS)["held"]
        except ProcessEnded:
            raise JudgeError(f"a process of the judge ended before it began:\n{self.printed()}") from None
        self._stop()

    def __enter__(self) -> Confined:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def ask(self, message: Mapping[str, Any], seconds: float) -> Answer:
        """The answer to a message. Raises ProcessEnded when there is none within `seconds`: the process is
        ended then."""
        try:
            self._channel.send(message)
            used = _processor_seconds(self._process)
            start = time.perf_counter()
            os.kill(self._process, signal.SIGCONT)
            answer = self._channel.receive(seconds)
            self._stop()
            elapsed = time.perf_counter() - start
            return Answer(answer, elapsed, _processor_seconds(self._process) - used)
        except ProcessLookupError:
            raise ProcessEnded("the process ended") from None
        except ProcessEnded:
            self.close()
            raise

    def _stop(self) -> None:
        """Have every thread of the process stand still."""
        try:
            os.kill(self._process, signal.SIGSTOP)
        except ProcessLookupError:
            raise ProcessEnded("the process ended") from None
        end = time.monotonic() + STOP_SECONDS
        while not _stands_still(self._process):
            if time.monotonic() > end:
                raise ProcessEnded("the process does not stand still")

    def printed(self) -> str:
        """The end of what the process has printed."""
        try:
            return (self.workspace / "output").read_text(errors="replace")[-PRINTED:]
        except OSError:
            return ""

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGKILL)
        self._channel.connection.close()


def _processor_seconds(process: int) -> float:
    """Seconds that a process's threads have run, by the scheduler's own count; 0 where it is not told."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/schedstat", "rb") as file:
                total += int(file.read().split()[0])
    except (OSError, IndexError, ValueError):
        return 0.0
    return total * 1e-9


def _stands_still(process: int) -> bool:
    """Whether all threads of a process are stopped. Raises ProcessEnded when it is no more."""
    folder = f"/proc/{process}/task"
    try:
        threads = os.listdir(folder)
        for thread in threads:
            with open(f"{folder}/{thread}/stat", "rb") as file:
                state = file.read().rpartition(b")")[2].split()[0]
            if state in (b"Z", b"X"):
                raise ProcessEnded("the process ended")
            if state not in (b"T", b"t"):
                return False
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessEnded("the process ended") from None
    return True
