"""A profile as a trace for Perfetto (ui.perfetto.dev) or Chrome: the events of one program on the tracks
of its threads.

The format is Chrome's JSON, which both read: complete events ("X") with microseconds, counters ("C") and
names of threads ("M")."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..runtime.native.structures import EventKind
from .foreign_events import Span
from .sampling import line_of

if TYPE_CHECKING:
    from .profiler import Profiler

PYTORCH = 1 << 23
"""What is added to the process's number for PyTorch's own spans: their clock is another, and spans that
overlap in part cannot share a track."""
MICROSECONDS = 1e-3


def trace(profiler: Profiler) -> dict[str, Any]:
    """The trace, ready for `json.dump`. Times begin at the profiler's start."""
    process = os.getpid()
    events = [*_names(process), *_events(profiler, process)]
    return {"displayTimeUnit": "ns", "traceEvents": events, "otherData": {"program": "anychip profile"}}


def _names(process: int) -> Iterator[dict[str, Any]]:
    known = {thread.ident: thread.name for thread in threading.enumerate() if thread.ident}
    processes = {process: "anychip profile", process + PYTORCH: "PyTorch's profiler"}
    for number, title in processes.items():
        yield {"ph": "M", "pid": number, "name": "process_name", "args": {"name": title}}
        for ident, name in known.items():
            track = {"pid": number, "tid": _track(ident)}
            yield {"ph": "M", **track, "name": "thread_name", "args": {"name": name}}


def _events(profiler: Profiler, process: int) -> Iterator[dict[str, Any]]:
    start = profiler.begin

    def complete(span: Span, category: str, **arguments: Any) -> dict[str, Any]:
        begin = max(span.begin, start)
        return {
            "ph": "X",
            "pid": process + PYTORCH * (category == "PyTorch"),
            "tid": _track(span.thread),
            "cat": category,
            "name": span.name,
            "ts": (begin - start) * MICROSECONDS,
            "dur": max(0, span.end - begin) * MICROSECONDS,
            "args": arguments,
        }

    for span in profiler.ranges:
        yield complete(span, "range")
    for span in profiler.calls():
        yield complete(span, "operator")
    for span in _in_threads_of_ours(profiler):
        yield complete(span, "PyTorch")
    for event in profiler.events:
        if event.kind == EventKind.LAUNCH:
            span = Span(profiler.kernel_name(event), event.begin, event.end, event.thread)
            yield complete(span, "kernel", grid="x".join(map(str, event.grid)), threads=event.members)
    for sample in profiler.sampler.memory:
        yield {
            "ph": "C",
            "pid": process,
            "name": "memory",
            "ts": max(0, sample.nanoseconds - start) * MICROSECONDS,
            "args": {"resident MiB": sample.resident / 2**20, "scratch MiB": sample.scratch / 2**20},
        }
    yield from _frames(profiler, process)


def _in_threads_of_ours(profiler: Profiler) -> list[Span]:
    """PyTorch's spans on the tracks of Python's threads, where the system's number of a thread tells
    which."""
    idents = {thread.native_id: thread.ident for thread in threading.enumerate() if thread.native_id}
    return [span._replace(thread=idents.get(span.thread) or span.thread) for span in profiler.pytorch_spans]


def _frames(profiler: Profiler, process: int) -> Iterator[dict[str, Any]]:
    """Samples of Python's frames, as instants that name the innermost."""
    for time, thread, stack in profiler.sampler.samples:
        code, instruction = stack[-1]
        yield {
            "ph": "i",
            "s": "t",
            "pid": process,
            "tid": _track(thread),
            "cat": "Python",
            "name": f"{code.co_qualname}:{line_of(code, instruction)}",
            "ts": max(0, time - profiler.begin) * MICROSECONDS,
        }


def _track(thread: int) -> int:
    """A number of a thread that readers of 32 bits take."""
    return thread % (1 << 31)
