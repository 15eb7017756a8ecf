"""Which kernels ran, and how often.

Every launch increments a number in the launched function's record, so counting costs nothing.
`record()` listens to single launches, e.g. for tests and for capture of a `Program`.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch: the kernel's name, its grid, and the arguments as they were passed
    (constexprs included)."""

    kernel: str
    grid: tuple[int, int, int]
    arguments: tuple[Any, ...]


_lock = threading.RLock()
_retired: Counter[str] = Counter()
_living: dict[int, tuple[str, Any]] = {}
_recorders: list[list[Launch]] = []


def watch(function: Any, name: str, record: Any) -> None:
    """Count the launches of `function` under `name` for as long as it lives and after.
    `record` has the field `launches`."""
    key = id(record)
    with _lock:
        _living[key] = (name, record)
    weakref.finalize(function, _retire, key)


def _retire(key: int) -> None:
    with _lock:
        name, record = _living.pop(key)
        _retired[name] += record.launches


def by_kernel() -> dict[str, int]:
    """Launches of each kernel since the process began, by the kernel's name."""
    with _lock:
        total = Counter(_retired)
        for name, record in _living.values():
            total[name] += record.launches
    return {name: number for name, number in total.items() if number}


def count(kernel: str | None = None) -> int:
    """Launches since the process began, of one kernel or of all."""
    numbers = by_kernel()
    return sum(numbers.values()) if kernel is None else numbers.get(kernel, 0)


@contextmanager
def record() -> Iterator[list[Launch]]:
    """Collect the launches made by any thread while the context is open, in order."""
    from . import native

    collected: list[Launch] = []
    with _lock:
        _recorders.append(collected)
    native.state().divert(+1)
    try:
        yield collected
    finally:
        native.state().divert(-1)
        with _lock:
            _recorders[:] = [recorder for recorder in _recorders if recorder is not collected]


def notify(launch: Launch) -> None:
    """Tell the open recorders of a launch."""
    for recorder in tuple(_recorders):
        recorder.append(launch)


def is_recording() -> bool:
    """Whether any recorder is open."""
    return bool(_recorders)
