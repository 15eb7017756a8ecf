"""PyTorch's own profiler beside ours, and ranges that the program names.

Flows in: whatever runs while `PyTorchEvents` is open. Flows out: spans of PyTorch's operators (by its
profiler, if asked for) and of `torch.profiler.record_function`. PyTorch has one profiler in a process:
where the program starts its own, ours lets go before and takes up afterwards, so that the program's is as
complete as without us, and what ours had seen by then is kept."""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

from torch._C._autograd import _profiler_enabled
from torch.autograd import profiler as autograd_profiler


class Span(NamedTuple):
    """A name, begin and end in nanoseconds of the monotonic clock, and the thread (0: not known)."""

    name: str
    begin: int
    end: int
    thread: int


class PyTorchEvents:
    """Listens from `start` to `stop`. `ranges` are the program's own, `spans` PyTorch's operators."""

    def __init__(self, *, operators: bool) -> None:
        self._wanted = operators
        self._own: Any = None
        self._outer: Any = None
        self._offset = 0
        self.ranges: list[Span] = []
        self.spans: list[Span] = []
        self.left_to_program = 0
        """How often the program started a profiler of its own."""

    def start(self) -> None:
        """Begin; where PyTorch's profiler runs already, it is the other's, and only ranges are noted."""
        _listeners.append(self)
        _install()
        if self._wanted and not _profiler_enabled():
            self._begin()

    def stop(self) -> None:
        """End."""
        _listeners.remove(self)
        self._end()

    def _begin(self) -> None:
        own = autograd_profiler.profile(use_cpu=True)
        own._prepare_trace()
        self._offset = time.time_ns() - time.monotonic_ns()
        own._start_trace()
        self._own = own

    def _end(self) -> None:
        own, self._own = self._own, None
        if own is None:
            return
        own.__exit__(None, None, None)
        for event in own.kineto_results.events():
            begin = event.start_ns() - self._offset
            thread = event.device_resource_id()
            self.spans.append(Span(event.name(), begin, begin + event.duration_ns(), thread))

    def program_begins(self, other: Any) -> None:
        """The program's profiler is about to start."""
        if other is not self._own and self._own is not None:
            self._outer = other
            self.left_to_program += 1
            self._end()

    def program_ends(self, other: Any) -> None:
        """It has stopped."""
        if other is self._outer:
            self._outer = None
            self._begin()


_listeners: list[PyTorchEvents] = []
_lock = threading.Lock()
_installed = False


def _install() -> None:
    """Have PyTorch's classes tell us, once for the process; without listeners a range costs one
    comparison."""
    global _installed
    with _lock:
        if _installed:
            return
        _installed = True
    profile: Any = autograd_profiler.profile
    record: Any = autograd_profiler.record_function
    prepare, leave = profile._prepare_trace, profile.__exit__
    enter_range, leave_range = record.__enter__, record.__exit__

    def begins(self: Any) -> Any:
        for listener in tuple(_listeners):
            listener.program_begins(self)
        return prepare(self)

    def ends(self: Any, *reason: Any) -> Any:
        result = leave(self, *reason)
        for listener in tuple(_listeners):
            listener.program_ends(self)
        return result

    def range_begins(self: Any) -> Any:
        if _listeners:
            self._anychip_begin = time.monotonic_ns()
        return enter_range(self)

    def range_ends(self: Any, *reason: Any) -> Any:
        result = leave_range(self, *reason)
        begin = getattr(self, "_anychip_begin", 0)
        if _listeners and begin:
            span = Span(self.name, begin, time.monotonic_ns(), threading.get_ident())
            for listener in tuple(_listeners):
                listener.ranges.append(span)
        return result

    profile._prepare_trace = begins
    profile.__exit__ = ends
    record.__enter__ = range_begins
    record.__exit__ = range_ends
