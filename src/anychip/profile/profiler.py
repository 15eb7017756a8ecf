"""A profiler: from `start` to `stop` it gathers events, samples and compilations; `profile` makes rows of
them.

Launches are written down by native code and read when all is over, so that the program's time is its own.
Profilers may be open inside one another and in several threads; each has what happened while it was open."""

from __future__ import annotations

import gc
import shlex
import sys
import threading
import time
from contextlib import ExitStack
from typing import Any

import torch
from triton.compiler.compiler import CompiledKernel

from ..inspect.compilations import Compilation, compilations
from ..pytorch import statistics
from ..runtime import function
from . import rows
from .buffers import Sink, source
from .events import Event, read
from .foreign_events import PyTorchEvents, Span
from .result import Profile
from .sampling import Sampler

LIMIT = 256 << 20
"""Bytes of events that one profiler keeps: two million launches."""


class Profiler:
    """Gathers from `start` to `stop`, or as a context. `operators`: PyTorch's own profiler, too, which costs
    more than the rest together; `frames`: samples of Python's stacks."""

    def __init__(self, *, operators: bool = False, frames: bool = True, limit: int = LIMIT) -> None:
        self._sink = Sink(limit)
        self._sampler = Sampler(frames=frames)
        self._foreign = PyTorchEvents(operators=operators)
        self._stack = ExitStack()
        self._python: list[tuple[str, float, float, int]] = []
        self._compilations: list[Compilation] = []
        self._fallen_before: dict[tuple[str, str], int] = {}
        self.fallen: dict[tuple[str, str], int] = {}
        self.begin = self.end = 0
        self.processor_seconds = 0.0
        self.ttir: dict[int, str] = {}
        self._events: list[Event] | None = None

    def __enter__(self) -> Profiler:
        self.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to gather."""

        def told(overload: str, start: float, stop: float) -> None:
            self._python.append((overload, start, stop, threading.get_ident()))

        self._fallen_before = dict(statistics.fallen)
        self._compilations = self._stack.enter_context(compilations())
        self._stack.enter_context(statistics.listen_to_spans(told))
        self._foreign.start()
        source.open(self._sink)
        self._sampler.start()
        self.processor_seconds = -time.process_time()
        self.begin = time.monotonic_ns()

    def stop(self) -> None:
        """Gather no more."""
        self.end = time.monotonic_ns()
        self.processor_seconds += time.process_time()
        self._sampler.stop()
        source.close(self._sink)
        self._foreign.stop()
        self._stack.close()
        before = self._fallen_before
        self.fallen = {
            key: number - before.get(key, 0)
            for key, number in statistics.fallen.items()
            if number > before.get(key, 0)
        }
        self.ttir = _ttir_by_code()

    @property
    def events(self) -> list[Event]:
        """Launches and native calls, in order of their ends."""
        if self._events is None:
            self._events = [event for chunk in self._sink.chunks for event in read(chunk)]
        return self._events

    @property
    def sampler(self) -> Sampler:
        """Samples of frames and memory."""
        return self._sampler

    @property
    def ranges(self) -> list[Span]:
        """Ranges of the program's own (`torch.profiler.record_function`)."""
        return self._foreign.ranges

    @property
    def pytorch_spans(self) -> list[Span]:
        """What PyTorch's profiler saw."""
        return self._foreign.spans

    @property
    def compiled(self) -> list[Compilation]:
        """Kernels that were compiled, or taken from the cache."""
        return self._compilations

    def kernel_name(self, event: Event) -> str:
        """The name of the kernel that was launched."""
        return self._sink.kernels.get(event.subject, ("a kernel that is gone", 0))[0]

    def ttir_of(self, event: Event) -> str:
        """The TTIR of the kernel that was launched, "" where nobody has it any more."""
        return self.ttir.get(self._sink.kernels.get(event.subject, ("", 0))[1], "")

    def calls(self) -> list[Span]:
        """Calls of overloads that we served: those of native code, and those of Python."""
        names = self._sink.overloads
        native = [
            Span(names.get(event.subject, "an overload"), event.begin, event.end, event.thread)
            for event in self.events
            if event.kind
        ]
        python = [
            Span(name, round(start * 1e9), round(stop * 1e9), thread)
            for name, start, stop, thread in self._python
        ]
        return native + python

    def losses(self) -> list[str]:
        """What was not kept, in words."""
        told = []
        if self._sink.lost_events:
            told.append(f"{self._sink.lost_events} launches found no room in the buffer between two visits")
        if self._sink.lost_bytes:
            told.append(
                f"{self._sink.lost_bytes >> 20} MiB of launches beyond the first {LIMIT >> 20} MiB are not "
                "counted"
            )
        if self._foreign.left_to_program:
            told.append(
                f"PyTorch's operators during {self._foreign.left_to_program} profiles of the program's own, "
                "which had PyTorch's profiler to itself"
            )
        return told

    def profile(self, roofs: Any = None, command: str = "") -> Profile:
        """The rows. `roofs` has `least_seconds(bytes, operations, element)` (see `bench.roofs.Roofs`)."""
        return rows.profile(self, roofs, command or shlex.join(sys.orig_argv), torch.get_num_threads())


def _ttir_by_code() -> dict[int, str]:
    """The TTIR of every kernel that Triton holds, by the address of its code."""
    found: dict[int, str] = {}
    for kernel in gc.get_objects():
        if type(kernel) is not CompiledKernel or not isinstance(kernel.function, int):
            continue
        try:
            found[function.at(kernel.function).record.entry] = str(kernel.asm["ttir"])
        except KeyError:  # of another driver
            continue
    return found
