"""Samples beside the events: where Python's threads are, and how much memory the process holds.

A thread looks at the frames of all others a hundred times a second, which costs some tens of microseconds
each; memory is asked of the system (Linux) a few times a second."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import NamedTuple

from ..runtime import native

PERIOD = 0.01
MEMORY_EVERY = 5
"""Samples of frames between two of memory."""
DEEPEST = 128
"""Frames of a stack that are kept, the innermost."""

OWN_THREADS: set[int] = set()
"""Threads of profilers, which are in no profile."""

Stack = tuple[tuple[CodeType, int], ...]
"""Code and line of each frame, outermost first."""


class MemorySample(NamedTuple):
    """At `nanoseconds` of the monotonic clock: bytes of the process in memory (0 where the system does not
    tell), and of the scratch memory of kernels."""

    nanoseconds: int
    resident: int
    scratch: int


class Sampler:
    """Samples until it is stopped. `stacks`: how often each was seen, by thread."""

    def __init__(self, *, frames: bool = True) -> None:
        self._frames = frames
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="anychip-samples", daemon=True)
        self.memory: list[MemorySample] = []
        self.samples: list[tuple[int, int, Stack]] = []
        self._known: dict[Stack, Stack] = {}

    def start(self) -> None:
        """Begin."""
        self.memory.append(_memory())
        self._thread.start()

    def stop(self) -> None:
        """End; the last sample of memory is taken."""
        self._stop.set()
        self._thread.join()
        self.memory.append(_memory())

    def _run(self) -> None:
        OWN_THREADS.add(threading.get_ident())
        number = 0
        while not self._stop.wait(PERIOD):
            number += 1
            if number % MEMORY_EVERY == 0:
                self.memory.append(_memory())
            if self._frames:
                now = time.monotonic_ns()
                for thread, frame in sys._current_frames().items():
                    if thread not in OWN_THREADS:
                        stack = _stack(frame)
                        self.samples.append((now, thread, self._known.setdefault(stack, stack)))
        OWN_THREADS.discard(threading.get_ident())

    def folded(self, kernel_at: dict[int, str] | None = None) -> Counter[tuple[str, ...]]:
        """Stacks in words, with how often each was seen; `kernel_at` names the kernel that ran at the
        sample of a number, which becomes the innermost frame."""
        counted: Counter[tuple[str, ...]] = Counter()
        names: dict[tuple[CodeType, int], str] = {}
        for number, (_, _, stack) in enumerate(self.samples):
            words = tuple(names.setdefault(frame, _words(*frame)) for frame in stack)
            kernel = (kernel_at or {}).get(number)
            counted[(*words, f"kernel {kernel}") if kernel else words] += 1
        return counted


def _stack(frame: FrameType | None) -> Stack:
    return tuple(reversed(list(_frames(frame))))


def _frames(frame: FrameType | None) -> Iterator[tuple[CodeType, int]]:
    for _ in range(DEEPEST):
        if frame is None:
            return
        yield frame.f_code, frame.f_lineno or 0
        frame = frame.f_back


def _words(code: CodeType, line: int) -> str:
    """A frame as people read it: function, file and line."""
    parts = code.co_filename.split(os.sep)
    return f"{code.co_qualname} ({os.sep.join(parts[-2:])}:{line})"


def _memory() -> MemorySample:
    resident = 0
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    return MemorySample(time.monotonic_ns(), resident, native.state().state.arena_bytes)
