"""The count of launches by kernel, which tests and reports read."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol


class LaunchCounts(Counter[str]):
    """Launches by kernel. Calls that native code serves are counted there, and added whenever somebody reads:
    `sources` are called for that, and add what is new by `add`."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[Callable[[], None]] = []

    def add(self, name: str, number: int = 1) -> None:
        """Count launches of a kernel."""
        dict.__setitem__(self, name, dict.get(self, name, 0) + number)

    def settle(self) -> None:
        """Add what was counted elsewhere."""
        for source in self.sources:
            source()

    def __getitem__(self, name: str) -> int:
        self.settle()
        return dict.get(self, name, 0)

    def __iter__(self) -> Iterator[str]:
        self.settle()
        return super().__iter__()

    def keys(self) -> Any:
        """The kernels' names."""
        self.settle()
        return super().keys()

    def values(self) -> Any:
        """Their launches."""
        self.settle()
        return super().values()

    def items(self) -> Any:
        """Names and launches."""
        self.settle()
        return super().items()

    def copy(self) -> Counter[str]:
        """The counts as they are now; nothing is added to these."""
        self.settle()
        return Counter(dict(super().items()))


class CallRecording(Protocol):
    """Whoever watches a call of this thread's (see `pytorch.eager.recording`)."""

    def served(self, totals: Any) -> None:
        """An overload was served, and counted in `totals`."""

    def counted(self, counter: Counter[str], name: str) -> None:
        """A launch was counted by `name`, for an operator in `counter`, too."""

    def refuse(self, reason: str) -> None:
        """Something was done that cannot be done again by launches alone."""


launch_counts = LaunchCounts()
"""Launches since the start, by kernel name; `flat_kernel[tanh]` where a machinery runs a function."""


class Attribution(threading.local):
    """The operator that this thread's launches are also counted for: `counter` gets them. `seconds` is the
    time spent in operators so far, which tells an operator's own time from that of operators inside.
    `recording` watches the call that runs, if one is recorded."""

    counter: Counter[str] | None = None
    seconds: float = 0.0
    recording: CallRecording | None = None


attribution = Attribution()


def count_launch(name: str) -> None:
    """Count a launch of this thread's."""
    launch_counts.add(name)
    counter = attribution.counter
    if counter is not None:
        counter[name] += 1
        if attribution.recording is not None:
            attribution.recording.counted(counter, name)
