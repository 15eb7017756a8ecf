"""What a library's functions and its caller share: status codes, alignments, sizes and structures in memory.

The header (`header.py`) says the same in C.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ..compiler.llvm.struct import Struct
from ..compiler.llvm.types import I32, PTR, LLType, array
from ..runtime.arena import round_up
from ..runtime.program import LaunchList, MemoryKind
from .lowering import Lowered

ARENA_ALIGNMENT = 64
ARGUMENT_ALIGNMENT = 16


class Status(IntEnum):
    """What the functions of a library return."""

    OK = 0
    NULL_ARGUMENT = 1
    MISALIGNED = 2
    ARENA_TOO_SMALL = 3
    WEIGHTS_MISSING = 4
    WEIGHTS_WRONG = 5
    ASSERTION = 6
    OUT_OF_RANGE = 7


@dataclass(frozen=True, slots=True)
class StatePlaces:
    """Memory that calls hand on to the next one: its bytes, and where each buffer of state (by number) begins
    in it."""

    bytes: int
    offsets: dict[int, int]


def state_places(launches: LaunchList) -> StatePlaces:
    """The buffers of state one after the other, each from a multiple of ARENA_ALIGNMENT on."""
    offsets: dict[int, int] = {}
    end = 0
    for number, buffer in enumerate(launches.buffers):
        if buffer.kind is MemoryKind.STATE:
            offsets[number] = end
            end += round_up(buffer.size)
    return StatePlaces(end, offsets)


@dataclass(frozen=True, slots=True)
class MemorySizes:
    """Sizes of a library's memory: bytes of temporaries, and of scratch for each worker."""

    temporary_bytes: int
    scratch_bytes: int

    @property
    def arena_bytes(self) -> int:
        """The arena of a library that runs on the calling thread alone."""
        return self.temporary_bytes + self.scratch_bytes


def memory_sizes(launches: LaunchList, lowered: Lowered) -> MemorySizes:
    """The memory that the launches need."""
    scratch = max((kernel.arena_bytes for kernel in lowered.kernels), default=0)
    return MemorySizes(round_up(launches.arena_bytes), round_up(max(scratch, ARENA_ALIGNMENT)))


def context_of(size_t: LLType) -> Struct:
    """The caller's context, on a machine whose sizes are of a type."""
    return Struct(
        "context",
        "A library's context: what the functions are told, and where a kernel's assertion failed.",
        arena=PTR,
        arena_bytes=size_t,
        weights=PTR,
        parallel_for=PTR,
        pool=PTR,
        workers=I32,
        failed_launch=I32,
        failed_assertion=I32,
        failed_program=array(I32, 3),
    )


STEP = Struct(
    "step",
    "One launch: its kernel, its grid, and how many of the list's slots are its own.",
    entry=PTR,
    grid_x=I32,
    grid_y=I32,
    grid_z=I32,
    slots=I32,
)

JOB = Struct(
    "job",
    "A launch while it runs, shared by its workers: the kernel and its arguments, scratch memory for each "
    "worker, and the assertion that failed first, with its program.",
    entry=PTR,
    slots=PTR,
    grid_x=I32,
    grid_y=I32,
    grid_z=I32,
    scratch=PTR,
    failure=I32,
    program=array(I32, 3),
)
