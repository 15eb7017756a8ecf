"""Clocks for Triton's benchmarking: what `do_bench` and the autotuner ask of a device.

Launches on the CPU are over when they return, so an event is the time at which it was recorded.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Any

CACHE_BYTES = 64 * 1024 * 1024
"""What is overwritten between runs of a benchmark to empty the processor's caches."""


def benchmark(*arguments: Any, **options: Any) -> Any:
    """Triton's `do_bench`, whose launches are trials: nobody records them."""
    from triton.testing import do_bench

    from ..runtime import launches

    with launches.unheard():
        return do_bench(*arguments, **options)


class Event:
    """A point in time. `elapsed_time` is in milliseconds, as `torch.cuda.Event`'s."""

    def __init__(self, enable_timing: bool = True, **options: Any):
        self.nanoseconds: int | None = None

    def record(self, stream: Any = None) -> None:
        self.nanoseconds = time.perf_counter_ns()

    def synchronize(self) -> None:
        """Launches are over when they return."""

    def wait(self, stream: Any = None) -> None:
        """Launches are over when they return."""

    def query(self) -> bool:
        return True

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this event to `end`. Raises RuntimeError when one was not recorded."""
        if self.nanoseconds is None or end.nanoseconds is None:
            raise RuntimeError("both events must be recorded before their distance is asked for")
        return (end.nanoseconds - self.nanoseconds) / 1e6


class DeviceInterface:
    """The subset of `torch.cuda` that Triton's tools use, for the CPU."""

    Event = Event

    @staticmethod
    def synchronize(device: Any = None) -> None:
        """Launches are over when they return."""

    @staticmethod
    def current_device() -> int:
        return -1

    @staticmethod
    def current_stream(device: Any = None) -> int:
        return 0

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    @contextmanager
    def device(index: Any):
        yield
