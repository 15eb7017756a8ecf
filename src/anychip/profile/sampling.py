"""Samples beside the events: where Python's threads are, and how much memory the process holds.

A thread looks at the frames of all others after each hundredth of a second that the program used
processors, and four times a second at least; memory is asked of the system (Linux) at some of these."""

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

PERIOD, LONGEST = 0.01, 0.25
"""Seconds of processors between samples, and of the clock, at most."""
MEMORY_EVERY = 10
"""Samples of frames between two of memory."""
DEEPEST = 128
"""Frames of a stack that are kept, the innermost."""

OWN_THREADS: set[int] = set()
"""Threads of profilers, which are in no profile."""

Stack = tuple[tuple[CodeType, int], ...]
"""Code of each frame, outermost first, and the instruction that runs."""


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
        number, wait, used = 0, PERIOD, time.process_time()
        while not self._stop.wait(wait):
            number += 1
            if number % MEMORY_EVERY == 0:
                self.memory.append(_memory())
            if self._frames:
                now = time.monotonic_ns()
                for thread, frame in sys._current_frames().items():
                    if thread not in OWN_THREADS:
                        stack = _stack(frame)
                        self.samples.append((now, thread, self._known.setdefault(stack, stack)))
            before, used = used, time.process_time()
            wait = next_wait(wait, used - before)
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


def next_wait(waited: float, used: float) -> float:
    """How long to wait for the next sample, if so many seconds of processors were used in the last wait:
    for about `PERIOD` of them, so that samples cost the same share of a program whatever share of the
    machine it has."""
    return min(max(PERIOD, waited * PERIOD / used if used > 0 else LONGEST), LONGEST)


def _stack(frame: FrameType | None) -> Stack:
    return tuple(reversed(list(_frames(frame))))


def _frames(frame: FrameType | None) -> Iterator[tuple[CodeType, int]]:
    for _ in range(DEEPEST):
        if frame is None:
            return
        yield frame.f_code, frame.f_lasti
        frame = frame.f_back


def line_of(code: CodeType, instruction: int) -> int:
    """The line of an instruction, which is too dear to ask for at each sample."""
    for first, last, line in code.co_lines():
        if first <= instruction < last:
            return line or code.co_firstlineno
    return code.co_firstlineno


def _words(code: CodeType, instruction: int) -> str:
    """A frame as people read it: function, file and line."""
    parts = code.co_filename.split(os.sep)
    return f"{code.co_qualname} ({os.sep.join(parts[-2:])}:{line_of(code, instruction)})"


def _memory() -> MemorySample:
    resident = 0
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    return MemorySample(time.monotonic_ns(), resident, native.state().state.arena_bytes)
