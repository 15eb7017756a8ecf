"""The buffers that native code writes events into, shared by all profilers of the process.

While a sink is open, a buffer of three is in the runtime's state. A thread that wakes a few times a second
puts the next one there and copies the bytes of the last to every sink. A profiler that starts inside
another takes nothing away from it: each gets what was written while it was open."""

from __future__ import annotations

import ctypes
import os
import threading
import time

from ..pytorch.eager import sites
from ..runtime import launches, native
from ..runtime.native.structures import EVENTS
from .sampling import OWN_THREADS

WORDS = 1 << 19
"""64-bit words of a buffer, 4 MiB: some 25,000 launches between two visits."""
PERIOD = 0.25
"""Seconds between visits."""
PATIENCE = 1.0
"""Seconds that are waited for threads which are about to finish an event."""


class _Buffer:
    """One buffer; `take` gives its bytes and empties it."""

    def __init__(self) -> None:
        self._words = (ctypes.c_uint64 * WORDS)()
        self.head = EVENTS.ctypes(words=ctypes.addressof(self._words), capacity=WORDS)
        self.address = ctypes.addressof(self.head)

    def take(self) -> tuple[bytes, int]:
        """What was written since the last time, and how many events found no room. Nobody may begin to write
        meanwhile; who has begun is waited for."""
        limit = time.monotonic() + PATIENCE
        while self.head.written < self.head.used and time.monotonic() < limit:
            time.sleep(0.0001)
        size, lost = 8 * min(self.head.used, WORDS), self.head.lost
        data = ctypes.string_at(self._words, size)
        ctypes.memset(self._words, 0, size)
        self.head.used = self.head.written = self.head.lost = 0
        return data, lost


class Sink:
    """What one profiler gets: the bytes of events, and the names behind the addresses in them. Events beyond
    `limit` bytes are lost, and counted: the first part of a long program is kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self.chunks: list[bytes] = []
        self.lost_events = 0
        self.lost_bytes = 0
        self.kernels: dict[int, tuple[str, int]] = {}
        self.overloads: dict[int, str] = {}

    def add(self, data: bytes, lost: int) -> None:
        """Take the events of one visit."""
        self.lost_events += lost
        if self._held + len(data) > self._limit:
            self.lost_bytes += len(data)
            return
        self._held += len(data)
        if data:
            self.chunks.append(data)


class Source:
    """The one who visits the buffers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sinks: list[Sink] = []
        self._buffers: list[_Buffer] = []
        self._current = 0
        self._known = (-1, -1)
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()

    def open(self, sink: Sink) -> None:
        """Events go to `sink`, too, from now on."""
        with self._lock:
            self._visit(keep=True)
            self._sinks.append(sink)
            self._known = (-1, -1)
            if len(self._sinks) == 1:
                self._begin()

    def close(self, sink: Sink) -> None:
        """The last events go to `sink`."""
        with self._lock:
            self._visit(keep=len(self._sinks) > 1)
            self._sinks.remove(sink)
            last = not self._sinks
            thread = self._thread
            if last:
                self._thread = None
                self._wake.set()
        if last and thread is not None:
            thread.join()

    def after_fork(self) -> None:
        """A child has none of its parent's threads, and is in none of its profiles."""
        if self._sinks:
            native.state().state.events = None
        self._lock = threading.Lock()
        self._sinks, self._buffers, self._thread = [], [], None

    def _begin(self) -> None:
        if not self._buffers:
            self._buffers = [_Buffer() for _ in range(3)]
        native.state().state.events = self._buffers[self._current].address
        self._wake = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._wake,), name="anychip-profile", daemon=True
        )
        self._thread.start()

    def _run(self, stop: threading.Event) -> None:
        OWN_THREADS.add(threading.get_ident())
        while not stop.wait(PERIOD):
            with self._lock:
                if stop.is_set():
                    break
                self._visit(keep=True)
        OWN_THREADS.discard(threading.get_ident())

    def _visit(self, keep: bool) -> None:
        """Hand on what was written. A thread that has read the address of a buffer just before it was
        taken out may still write there: a buffer comes back two visits later."""
        if not self._sinks:
            return
        state = native.state().state
        filled = self._buffers[self._current]
        self._current = (self._current + 1) % len(self._buffers)
        state.events = self._buffers[self._current].address if keep else None
        data, lost = filled.take()
        for sink in self._sinks:
            sink.add(data, lost)
        self._learn()

    def _learn(self) -> None:
        """Ask for the names of what can be launched now; later their memory may be another's."""
        world = sites.world()
        changes = launches.changes(), world.records_made if world is not None else 0
        if changes == self._known:
            return
        self._known = changes
        overloads = world.record_names() if world is not None else {}
        kernels = launches.living()
        for sink in self._sinks:
            sink.kernels.update(kernels)
            sink.overloads.update(overloads)


source = Source()
"""The process's."""

os.register_at_fork(after_in_child=source.after_fork)
