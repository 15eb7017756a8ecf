"""The client's side of the worker process: starts it, asks it, outlives it.

One worker serves all requests of this process, one at a time. When it dies or takes too long, the
kernel that it worked on gets a record with the error, and the next request starts a new worker.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, overload

from ..targets import Target
from .records import ForeignKernel, LibraryRecord, LibraryRequest, Record, Request
from .routes import resolve

_log = logging.getLogger(__name__)

_AnyRecord = TypeVar("_AnyRecord", bound=Record | LibraryRecord)

TIME_LIMIT = 300.0
"""Seconds that one kernel may take before its worker is killed."""


def compile_for(
    chip_or_target: str,
    kernels: Sequence[ForeignKernel],
    *,
    on_record: Callable[[Record], None] | None = None,
    time_limit: float = TIME_LIMIT,
    assembly: bool = True,
) -> list[Record]:
    """Compile `kernels` for a chip ("nvidia-h100"), a GPU architecture ("sm_90", "gfx942") or one of
    our targets ("cortex-a76"), in the worker process; one record per kernel, in their order.

    `on_record` is called after each kernel (for progress bars); without `assembly` records of our targets
    have no assembly text, which takes as long as the code. A kernel that cannot be compiled, or
    that ends the worker, yields a record with `error` set. Raises `UnknownTarget` for an unknown name.
    """
    target = resolve(chip_or_target)
    records = []
    for kernel in kernels:
        record = _worker.ask(Request(kernel, chip_or_target, target, assembly), time_limit)
        if on_record is not None:
            on_record(record)
        records.append(record)
    return records


def compile_library(
    name: str, modules: Sequence[str], target: Target, *, time_limit: float = TIME_LIMIT
) -> LibraryRecord:
    """One object file of LLVM IR modules, made in the worker process."""
    return _worker.ask(LibraryRequest(name, tuple(modules), target), time_limit)


class WorkerProcess:
    """A worker and the file that catches what it and its compilers print.

    `command` starts a program that answers pickled requests as `worker.py` does.
    """

    def __init__(self, command: Sequence[str] = ()) -> None:
        self._command = tuple(command) or (sys.executable, "-m", f"{__package__}.worker")
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115

    @property
    def process_id(self) -> int | None:
        """The running worker's process id, None when there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @overload
    def ask(self, request: Request, time_limit: float) -> Record: ...

    @overload
    def ask(self, request: LibraryRequest, time_limit: float) -> LibraryRecord: ...

    def ask(self, request: Request | LibraryRequest, time_limit: float) -> Record | LibraryRecord:
        """The worker's record, or one that says how the worker ended."""
        with self._lock:
            process = self._running()
            self._messages.seek(0)
            self._messages.truncate()
            expired = threading.Event()

            def expire() -> None:
                expired.set()
                process.kill()

            timer = threading.Timer(time_limit, expire)
            timer.daemon = True
            timer.start()
            try:
                return self._with_diagnostics(self._exchange(process, request))
            except (EOFError, OSError, pickle.UnpicklingError):
                code = self._end(process)
                reason = f"took longer than {time_limit:g} s" if expired.is_set() else _ending(code)
                _log.warning("the worker process ended at %s: %s", request.subject, reason)
                return self._with_diagnostics(request.failed(f"the compiler {reason} at {request.subject}"))
            except BaseException:
                # Interrupted half-way: an answer left in the pipe would go to the next request.
                self._end(process)
                raise
            finally:
                timer.cancel()

    def close(self) -> None:
        """End the worker; the next request starts another."""
        with self._lock:
            if self._process is not None:
                self._end(self._process)

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Kill the worker unless it has ended; its exit status."""
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process = None
        return code

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process_id is None:
            environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
            environment.pop("TRITON_INTERPRET", None)
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                env=environment,
            )
        assert self._process is not None
        return self._process

    @staticmethod
    def _exchange(process: subprocess.Popen[bytes], request: Request | LibraryRequest) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        pickle.dump(request, process.stdin)
        process.stdin.flush()
        return pickle.load(process.stdout)

    def _with_diagnostics(self, record: _AnyRecord) -> _AnyRecord:
        """A failed record with the compiler's own words added, where it printed any."""
        if record.ok:
            return record
        self._messages.seek(0)
        printed = self._messages.read().decode(errors="replace").splitlines()
        words = [line.strip() for line in printed if "error:" in line.lower()]
        new = [line for line in dict.fromkeys(words) if line not in record.error][:5]
        return replace(record, error="\n  ".join([record.error, *new])) if new else record


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


_worker = WorkerProcess()
atexit.register(lambda: _worker.close())


def _start_afresh() -> None:
    """A forked child must not talk on its parent's pipes."""
    global _worker
    _worker = WorkerProcess()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
