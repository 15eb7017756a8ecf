"""Clocks for Triton's benchmarking: what `do_bench` and the autotuner ask of a device.

Launches on the CPU are over when they return, so an event is the time at which it was recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

CACHE_BYTES = 64 * 1024 * 1024
"""What is overwritten between runs of a benchmark to empty the processor's caches."""


TRIAL_SECONDS = 0.01
"""How long a configuration of an autotuned kernel is run for its timing; at least one run is timed."""
TRIAL_RUNS = 20
"""No more runs than these."""


def benchmark(kernel_call: Callable[[], Any], quantiles: Sequence[float] = (0.5,)) -> list[float]:
    """Milliseconds of a call, at each of `quantiles` of a few runs. What the autotuner compares
    configurations by: runs on a CPU differ little, so few tell. The first run, which compiles, is not
    counted; these launches are trials, and nobody records them."""
    from ..runtime import launches

    times: list[int] = []
    with launches.unheard():
        kernel_call()
        while len(times) < TRIAL_RUNS and sum(times) < TRIAL_SECONDS * 1e9:
            start = time.perf_counter_ns()
            kernel_call()
            times.append(time.perf_counter_ns() - start)
    times.sort()
    return [times[round(q * (len(times) - 1))] / 1e6 for q in quantiles]


class Event:
    """A point in time. `elapsed_time` is in milliseconds, as `torch.cuda.Event`'s."""

    def __init__(self, enable_timing: bool = True, **options: Any):
        self.nanoseconds: int | None = None

    def record(self, stream: Any = None) -> None:
        """Note the time."""
        self.nanoseconds = time.perf_counter_ns()

    def synchronize(self) -> None:
        """Launches are over when they return."""

    def wait(self, stream: Any = None) -> None:
        """Launches are over when they return."""

    def query(self) -> bool:
        """True: what was launched is over."""
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
        """-1, as for PyTorch's CPU."""
        return -1

    @staticmethod
    def current_stream(device: Any = None) -> int:
        """0: there are no streams."""
        return 0

    @staticmethod
    def is_available() -> bool:
        """True: a CPU is always there."""
        return True

    @staticmethod
    @contextmanager
    def device(index: Any):
        """A context in which nothing changes: there is one device."""
        yield
