"""Worker processes that do one item after another. Flows in: items, and how long there is. Flows out: a
result for each item that was finished; a worker that dies, or takes too long, costs its item and is replaced:
an access beyond a tensor spoils a GPU's context for the whole process."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .record import Item

Result = dict[str, Any]

STARTING_SECONDS = 300.0
"""Until a process has imported what it needs, and says so; its first item's time begins then."""

ENDING = 3
"""The status of a worker that has reported a result and may not go on."""


class Worker:
    """One process; `ask` gives it an item."""

    def __init__(self, command: Sequence[str]):
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.closed = False

    def ask(self, item: Item, limit: float) -> Result | None:
        """What became of an item in at most `limit` seconds; None where the run ended meanwhile."""
        process, is_new = self._started()
        if process is None:
            return None
        line = json.dumps(item) + "\n"
        late = False
        if is_new:
            _, late = _answer(process, "", STARTING_SECONDS)
        started = time.perf_counter()
        answer, late = ("", late) if late else _answer(process, line, limit)
        seconds = round(time.perf_counter() - started, 3)
        if answer.endswith("\n"):
            return {**item._asdict(), **json.loads(answer), "seconds": seconds}
        self.end()
        if self.closed:
            return None
        return {**item._asdict(), "verdict": "timed out" if late else "died", "seconds": seconds}

    def _started(self) -> tuple[subprocess.Popen[str] | None, bool]:
        """The process, made where there is none, and whether it is new; None once the worker is closed."""
        with self._lock:
            if self.closed:
                return None, False
            is_new = self._process is None or self._process.poll() is not None
            if is_new:
                _end(self._process)
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                )
            return self._process, is_new

    def end(self) -> None:
        """End the process, if there is one, and wait for that."""
        with self._lock:
            process, self._process = self._process, None
        _end(process)

    def close(self) -> None:
        """End the process for good, whatever it does."""
        with self._lock:
            self.closed = True
            if self._process is not None:
                self._process.kill()


def _answer(process: subprocess.Popen[str], line: str, limit: float) -> tuple[str, bool]:
    """What a process answers to a line (to none: that it is ready), and whether it was ended for taking more
    than `limit` seconds."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(limit, stop)
    timer.start()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line)
        process.stdin.flush()
        return process.stdout.readline(), late.is_set()
    except OSError:
        return "", late.is_set()
    finally:
        timer.cancel()


def _end(process: subprocess.Popen[str] | None) -> None:
    if process is None:
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # What was not yet sent has nowhere to go.
                continue


def work(
    items: Iterable[Item],
    workers: int,
    until: float,
    limit: float,
    command: Sequence[str],
    done: Callable[[Result], None],
) -> int:
    """Have `workers` processes, started by `command`, do the items until `until` (by `time.monotonic`), none
    longer than `limit` seconds, and hand every result to `done`. Returns how many items were left."""
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)
    if waiting.empty() or time.monotonic() >= until:
        return waiting.qsize()
    crew = [Worker(command) for _ in range(min(workers, waiting.qsize()))]
    cut: list[Item] = []

    def serve(worker: Worker) -> None:
        while not worker.closed:
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                break
            result = worker.ask(item, limit)
            if result is None:
                cut.append(item)
                break
            done(result)
        worker.end()

    threads = [threading.Thread(target=serve, args=(worker,), daemon=True) for worker in crew]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    for worker in crew:
        worker.close()
    for thread in threads:
        thread.join()
    return waiting.qsize() + len(cut)
