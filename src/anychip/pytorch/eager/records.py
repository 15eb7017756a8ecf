"""What native code replays for a signature. Flows in: the trace of a recorded call. Flows out: a record in
memory that native code reads, with the counts of calls that it keeps."""

from __future__ import annotations

import ctypes

from ...ops.launching import launch_counts
from ...runtime import function as functions
from ...runtime import launch
from ...runtime.program import LaunchList, MemoryBlock, MemoryKind, Pointer, RecordedLaunch
from .recording import Step, Trace
from .structures import RECORD


class Record:
    """A signature's record. Without a `trace` the Python path serves it. `key` is the signature's words.

    Counts stand in native memory until `settle` adds them to those of Python."""

    def __init__(self, key: bytes, tensors: int, trace: Trace | None = None):
        self.key = key
        self._words = ctypes.create_string_buffer(key, len(key))
        self._trace = trace
        self._settled_calls = self._settled_nanoseconds = 0
        self.structure = RECORD.ctypes(
            key=ctypes.addressof(self._words), words=len(key) // 8, owner=id(self), tensors=tensors
        )
        self.address = ctypes.addressof(self.structure)
        if trace is not None:
            self._lay_out(trace, tensors)

    def _lay_out(self, trace: Trace, tensors: int) -> None:
        outputs = {number: k for k, (number, _) in enumerate(trace.outputs)}
        self._launches = _launch_list(trace, tensors, outputs)
        self._allocations = tuple(layout for _, layout in trace.outputs)
        objects = (ctypes.c_void_p * max(1, len(outputs)))(*map(id, self._allocations))
        places = [leaf.place for leaf in trace.leaves]
        codes = [outputs[p.number] if p.kind == "own" else -1 - p.number for p in places]
        leaves = (ctypes.c_int64 * max(1, len(codes)))(*codes)
        parts = [leaf.view and (leaf.view[0][0], leaf.view[0][1], leaf.view[1]) for leaf in trace.leaves]
        views = (ctypes.c_void_p * max(1, len(parts)))(
            *(None if part is None else id(part) for part in parts)
        )
        self._held = (objects, leaves, parts, views)
        record = self.structure
        record.launches = self._launches.address
        record.outputs, record.allocations = len(outputs), ctypes.addressof(objects)
        record.container, record.results = int(trace.container), len(codes)
        record.leaves, record.views = ctypes.addressof(leaves), ctypes.addressof(views)

    @property
    def is_served(self) -> bool:
        """Whether native code serves the signature."""
        return self._trace is not None

    def settle(self) -> None:
        """Add the calls since the last time to the counts of overloads and kernels."""
        if self._trace is None or self.structure.calls == self._settled_calls:
            return
        calls = self.structure.calls - self._settled_calls
        nanoseconds = self.structure.nanoseconds - self._settled_nanoseconds
        self._settled_calls += calls
        self._settled_nanoseconds += nanoseconds
        for totals in self._trace.served:
            totals.calls += calls
        if self._trace.served:
            self._trace.served[-1].seconds += nanoseconds * 1e-9
        for counter, name in self._trace.launched:
            counter[name] += calls
            launch_counts.add(name, calls)

    def fail(self, step: int, code: int, x: int, y: int, z: int) -> None:
        """Raise what the launches of a call came to."""
        if step < 0:
            raise MemoryError(f"no memory for the {self._launches.arena_bytes} bytes of temporaries")
        launch.fail(self._launches.launches[step].function.address, code, x, y, z)


def _launch_list(trace: Trace, tensors: int, outputs: dict[int, int]) -> LaunchList:
    """The launches over buffers: one for each tensor of the call, one for each result in memory of its own,
    one for each number that later calls bring, which begins where the number's bits say and is nowhere read,
    then temporaries and constants."""
    buffers = [MemoryBlock(MemoryKind.INPUT, 0) for _ in range(tensors)]
    numbers: dict[tuple[str, int], int] = {("input", k): k for k in range(tensors)}
    for number in outputs:
        numbers["own", number] = len(buffers)
        buffers.append(MemoryBlock(MemoryKind.OUTPUT, trace.own[number]))
    for number in range(trace.numbers):
        numbers["number", number] = len(buffers)
        buffers.append(MemoryBlock(MemoryKind.OUTPUT, 0))
    for number, size in enumerate(trace.own):
        if number not in outputs:
            numbers["own", number] = len(buffers)
            buffers.append(MemoryBlock(MemoryKind.TEMPORARY, size))
    for address in trace.constants:
        numbers["constant", address] = len(buffers)
        buffers.append(MemoryBlock(MemoryKind.CONSTANT, 0, address))

    def pointers(step: Step) -> tuple[Pointer, ...]:
        places = (Pointer(slot, numbers[p.kind, p.number], p.offset, 0) for slot, p in step.places)
        brought = (Pointer(slot, numbers["number", k], 0, 0) for slot, k in step.numbers)
        return (*places, *brought)

    recorded = [
        RecordedLaunch(functions.at(step.function), step.grid, step.slots, pointers(step))
        for step in trace.steps
    ]
    return LaunchList(recorded, buffers)
