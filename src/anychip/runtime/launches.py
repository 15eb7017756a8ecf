"""Which kernels ran, and how often.

Every launch increments a number in the launched function's record, so counting costs nothing.
`listen` tells of single launches before they run: `record` collects them, capture of a Program
makes a list to replay.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch: the kernel's name, its grid, and the arguments as they were passed
    (constexprs included).

    `function` is the address of the loaded function's record, `slots` what its arguments were packed
    into, `pointers` the slots that hold addresses, each with the object that the address came from.
    `origin` is what the launcher was made from, for those who need the kernel's source.
    """

    kernel: str
    grid: tuple[int, int, int]
    arguments: tuple[Any, ...]
    function: int = 0
    slots: tuple[int, ...] = ()
    pointers: tuple[tuple[int, Any], ...] = ()
    origin: Any = None


Listener = Callable[[Launch], None]


_lock = threading.RLock()
_retired: Counter[str] = Counter()
_living: dict[int, tuple[str, Any]] = {}
_listeners: list[Listener] = []
_thread = threading.local()
_changes = 0


def watch(function: Any, name: str, record: Any) -> None:
    """Count the launches of `function` under `name` for as long as it lives and after.
    `record` has the field `launches`."""
    global _changes
    key = id(record)
    with _lock:
        _changes += 1
        _living[key] = (name, record)
    weakref.finalize(function, _retire, key)


def _retire(key: int) -> None:
    with _lock:
        name, record = _living.pop(key)
        _retired[name] += record.launches


def changes() -> int:
    """How many functions were watched so far: `living` gives what it gave, while this stays the same."""
    return _changes


def living() -> dict[int, tuple[str, int]]:
    """The functions that can be launched now: address of the record -> name, address of the code."""
    with _lock:
        return {ctypes.addressof(record): (name, record.entry) for name, record in _living.values()}


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
def listen(listener: Listener) -> Iterator[None]:
    """Call `listener` for every launch that any thread makes while the context is open: on that thread,
    before the kernel runs. What it raises comes out of the launch."""
    from . import native

    with _lock:
        _listeners.append(listener)
    native.state().divert(+1)
    try:
        yield
    finally:
        native.state().divert(-1)
        with _lock:
            _listeners[:] = [other for other in _listeners if other is not listener]


@contextmanager
def record() -> Iterator[list[Launch]]:
    """Collect the launches made by any thread while the context is open, in order."""
    collected: list[Launch] = []

    def collect(launch: Launch) -> None:
        collected.append(launch)

    with listen(collect):
        yield collected


@contextmanager
def unheard() -> Iterator[None]:
    """Launches of this thread in the block are trials (an autotuner's): no listener is told."""
    before = getattr(_thread, "unheard", False)
    _thread.unheard = True
    try:
        yield
    finally:
        _thread.unheard = before


def notify(launch: Launch) -> None:
    """Tell the listeners of a launch that is about to run."""
    for listener in tuple(_listeners):
        listener(launch)


def is_recording() -> bool:
    """Whether anybody listens to this thread's launches."""
    return bool(_listeners) and not getattr(_thread, "unheard", False)
