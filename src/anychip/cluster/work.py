"""Collectives under way. Flows in: functions that do one collective each. Flows out: PyTorch's `Work`,
which is waited for, or a future that PyTorch's own code (DDP's reducer, functional collectives) reads.

A group has one thread that does its collectives in the order in which they were called, so that packing,
copies from and to devices, and combining run beside the program."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch._C._distributed_c10d import Work

from .errors import RankLost

Task = Callable[[], None]
Blame = Callable[[str, Exception | None], RankLost]


class Pending(Work):
    """A collective that the group's thread does. `results` is what the future holds."""

    def __init__(self, name: str, results: Sequence[torch.Tensor], seconds: float, blame: Blame):
        super().__init__()
        self._name = name
        self._seconds = seconds
        self._blame = blame
        self._done = threading.Event()
        self._error: Exception | None = None
        self._results = list(results)
        devices: Any = sorted({tensor.device for tensor in results if tensor.is_cuda}, key=str)
        self._ended: torch.futures.Future[Any] = torch.futures.Future(devices=devices)
        # An error that Python sets by `set_exception` is a value to those who wait in C++, such as DDP's
        # reducer, which take it for tensors. One that a callback raises is an error to all.
        self._future = self._ended.then(self._outcome)

    def finish(self, error: Exception | None = None) -> None:
        """Called once, by the thread that did it."""
        self._error = error
        self._done.set()
        self._ended.set_result(None)

    def _outcome(self, _: torch.futures.Future[Any]) -> list[torch.Tensor]:
        if self._error is not None:
            raise self._error
        return self._results

    def wait(self, timeout: timedelta = timedelta(0)) -> bool:
        """Block until the results are written. Raises RankLost where a rank is gone, or after the
        time-out."""
        seconds = timeout.total_seconds() if timeout.total_seconds() > 0 else self._seconds
        if not self._done.wait(seconds):
            raise self._blame(self._name, None)
        if self._error is not None:
            raise self._error
        return True

    def is_completed(self) -> bool:
        """Whether `wait` would return at once."""
        return self._done.is_set()

    def get_future(self) -> torch.futures.Future[Any]:
        """A future of the list of results."""
        return self._future

    def result(self) -> list[torch.Tensor]:
        """The tensors that were written."""
        return self._results


class Received(Work):
    """A message between two ranks, which gloo has under way: what is left to do (writing it where it belongs)
    is done when it is waited for."""

    def __init__(self, name: str, works: Sequence[Any], then: Task, blame: Blame):
        super().__init__()
        self._name = name
        self._works = works
        self._then: Task | None = then
        self._blame = blame

    def wait(self, timeout: timedelta = timedelta(0)) -> bool:
        """Block until the message is through. Raises RankLost where the other rank is gone."""
        try:
            for work in self._works:
                work.wait(*([timeout] if timeout.total_seconds() > 0 else []))
        except RuntimeError as error:
            raise self._blame(self._name, error) from error
        then, self._then = self._then, None
        if then is not None:
            then()
        return True

    def is_completed(self) -> bool:
        """Whether the message is through and written."""
        return self._then is None

    def source_rank(self) -> int:
        """The rank in the group that a message of any source came from."""
        return self._works[0]._source_rank()

    _source_rank = source_rank


class Queue:
    """The thread of a group, started with its first collective."""

    def __init__(self, name: str, blame: Blame):
        self._name = name
        self._blame = blame
        self._tasks: queue.SimpleQueue[tuple[Pending, Task] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, work: Pending, task: Task) -> Pending:
        """Have `task` done after those before it, and `work` finished with it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._tasks.put((work, task))
        return work

    def close(self, seconds: float) -> None:
        """End the thread after what was submitted, or leave it after `seconds`."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join(seconds)

    def _run(self) -> None:
        with torch.no_grad():
            while (submitted := self._tasks.get()) is not None:
                work, task = submitted
                try:
                    task()
                except RuntimeError as error:
                    work.finish(self._blame(work._name, error))
                except Exception as error:
                    work.finish(error)
                else:
                    work.finish()
                del submitted, work, task
