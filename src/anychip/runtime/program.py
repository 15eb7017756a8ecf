"""A recorded list of launches over planned memory, replayed in one native call.

In go launches whose pointers are places in buffers (inputs, outputs, constants, temporaries). The
temporaries get one arena by liveness, the rest is laid out for `native.replay`; a replay takes the
addresses of inputs and outputs and nothing else. Replays in several threads do not meet.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from . import arena, checks, launch, launches, native
from .function import Function
from .native.structures import FAILURE, FUNCTION, REPLAY, STEP
from .slot_table import Owner, SlotRow
from .slots import MASK64


class MemoryKind(Enum):
    """Whose memory a buffer is, and how long its content lasts."""

    INPUT = "input"
    OUTPUT = "output"
    CONSTANT = "constant"
    STATE = "state"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True)
class MemoryBlock:
    """Memory of `size` bytes. Constants and state are at `address`; the caller keeps them there."""

    kind: MemoryKind
    size: int
    address: int = 0


@dataclass(frozen=True, slots=True)
class Pointer:
    """A slot that holds an address: `offset` bytes into a buffer (by number). `extent` is how many
    bytes from there on the argument covers."""

    slot: int
    buffer: int
    offset: int
    extent: int


@dataclass(frozen=True, slots=True)
class RecordedLaunch:
    """One launch: a loaded kernel, its grid, its slots' values (those of `pointers` are not used).
    `operator` names who launched it; `origin` is where the kernel came from (see `launches.Launch`)."""

    function: Function
    grid: tuple[int, int, int]
    slots: tuple[int, ...]
    pointers: tuple[Pointer, ...]
    operator: str = ""
    origin: Any = None

    @property
    def bytes(self) -> int:
        """Bytes behind the pointers, each place counted once: what is moved if all is touched once."""
        return sum({(p.buffer, p.offset): p.extent for p in self.pointers}.values())


@dataclass(frozen=True, slots=True)
class KernelRow:
    """The launches of one kernel in a list. `flops` is None where nobody counted them."""

    kernel: str
    launches: int
    programs: int
    bytes: int
    flops: int | None = None


def _sum(numbers: Sequence[int | None]) -> int | None:
    """Their sum, None if one is not known."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


class LaunchList:
    """Launches in order over buffers. `inputs` and `outputs` are the numbers of the buffers whose
    addresses a replay is given, in that order; `places` the arena offset of each temporary."""

    def __init__(self, recorded: Sequence[RecordedLaunch], buffers: Sequence[MemoryBlock]):
        self.launches = tuple(recorded)
        self.buffers = tuple(buffers)
        self.inputs = self._numbers(MemoryKind.INPUT)
        self.outputs = self._numbers(MemoryKind.OUTPUT)
        temporaries = self._numbers(MemoryKind.TEMPORARY)
        self.lifetimes = self._lifetimes(temporaries)
        places = arena.place(self.lifetimes)
        self.arena_bytes = places.size
        self.places = dict(zip(temporaries, places.offsets))
        self._bases = ctypes.c_uint64 * (Owner.GIVEN + len(self.inputs) + len(self.outputs))
        self._lay_out()

    def replay(self, addresses: Sequence[int]) -> None:
        """Run all launches; `addresses` are those of the inputs, then those of the outputs, each
        aligned as in the recording. The content of outputs before is lost.

        Raises `MemoryError`, or `DeviceAssertion` when a launch's assertion or check failed.
        """
        bases = self._bases(*[0] * Owner.GIVEN, *addresses)
        failure = FAILURE.ctypes()
        runtime = native.state()
        code = runtime.replay(runtime.address, self._address, bases, ctypes.byref(failure))
        if code:
            if failure.step < 0:
                raise MemoryError(f"no memory for the {self.arena_bytes} bytes of the launch list's arena")
            launch.fail(self.launches[failure.step].function.address, code, *failure.program)
        checks.tell_replayed()

    @property
    def address(self) -> int:
        """Where native code finds the list, while this object lives."""
        return self._address

    def slot_rows(self, fixed: Callable[[int], tuple[int, int]]) -> list[SlotRow]:
        """The slots of each launch. `fixed(buffer)` says from whose address on a constant or state begins,
        and how far behind it."""
        given = {number: Owner.GIVEN + k for k, number in enumerate((*self.inputs, *self.outputs))}
        rows = []
        for recorded in self.launches:
            values = [value & MASK64 for value in recorded.slots]
            owners = [int(Owner.NOTHING)] * len(values)
            for pointer in recorded.pointers:
                kind = self.buffers[pointer.buffer].kind
                if kind is MemoryKind.TEMPORARY:
                    owner, begin = Owner.ARENA, self.places[pointer.buffer]
                elif kind in (MemoryKind.CONSTANT, MemoryKind.STATE):
                    owner, begin = fixed(pointer.buffer)
                else:
                    owner, begin = given[pointer.buffer], 0
                owners[pointer.slot] = int(owner)
                values[pointer.slot] = (begin + pointer.offset) & MASK64
            rows.append(SlotRow(tuple(values), tuple(owners)))
        return rows

    @property
    def constant_bytes(self) -> int:
        """Bytes of the constants."""
        return sum(buffer.size for buffer in self.buffers if buffer.kind is MemoryKind.CONSTANT)

    def kernels(
        self, flops: Callable[[RecordedLaunch], int | None] = lambda launch: None
    ) -> tuple[KernelRow, ...]:
        """The list by kernel, most launches first. `flops` counts the operations of one launch."""
        rows: dict[str, list[RecordedLaunch]] = {}
        for recorded in self.launches:
            rows.setdefault(recorded.function.name, []).append(recorded)
        listed = (
            KernelRow(
                kernel,
                len(own),
                sum(x * y * z for x, y, z in (recorded.grid for recorded in own)),
                sum(recorded.bytes for recorded in own),
                _sum([flops(recorded) for recorded in own]),
            )
            for kernel, own in rows.items()
        )
        return tuple(sorted(listed, key=lambda row: -row.launches))

    def _numbers(self, kind: MemoryKind) -> tuple[int, ...]:
        return tuple(number for number, buffer in enumerate(self.buffers) if buffer.kind is kind)

    def _lifetimes(self, numbers: Sequence[int]) -> tuple[arena.Lifetime, ...]:
        """From the first to the last launch that has a pointer into the buffer."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for step, recorded in enumerate(self.launches):
            for pointer in recorded.pointers:
                first.setdefault(pointer.buffer, step)
                last[pointer.buffer] = step
        return tuple(
            arena.Lifetime(self.buffers[number].size, first.get(number, 0), last.get(number, 0))
            for number in numbers
        )

    def _lay_out(self) -> None:
        """Make the structures that native code reads; they live as long as this object."""
        rows = self.slot_rows(lambda buffer: (Owner.NOTHING, self.buffers[buffer].address))
        offsets = [value for row in rows for value in row.values]
        owners = [owner for row in rows for owner in row.owners]
        self._steps = (STEP.ctypes * len(self.launches))()
        for step, recorded in zip(self._steps, self.launches):
            known = recorded.function.record
            step.function = FUNCTION.ctypes(
                known.entry,
                known.arena_bytes,
                0,
                known.picoseconds,
                known.grain,
                known.waiting,
                known.endless,
                slot_count=known.slot_count,
            )
            step.slots = len(recorded.slots)
            step.grid_x, step.grid_y, step.grid_z = recorded.grid
            launches.watch(self, recorded.function.name, step.function)
        self._offsets = (ctypes.c_uint64 * len(offsets))(*offsets)
        self._owners = (ctypes.c_uint32 * len(owners))(*owners)
        self._replay = REPLAY.ctypes(
            ctypes.addressof(self._steps),
            len(self.launches),
            ctypes.addressof(self._offsets),
            ctypes.addressof(self._owners),
            max((len(recorded.slots) for recorded in self.launches), default=0),
            self.arena_bytes,
        )
        self._address = ctypes.addressof(self._replay)
