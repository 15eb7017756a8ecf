"""A launch while it runs: what it is, how it fails, what it came to.

The scratch memory of each program begins with a status block (`structures.ARENA`) by which the kernel and
these functions talk to each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...compiler.llvm.flow import Flow
from ...compiler.llvm.routine import call_pointer, routine
from ...compiler.llvm.scalar import Operand
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import I32, I64, PTR, VOID, Val
from .interrupt import poll
from .structures import ARENA, FUNCTION, JOB
from .system import MONOTONIC_CLOCK, TIMESPEC, clock_gettime


@routine("anychip.now", I64)
def now(f: Flow) -> Val:
    """Nanoseconds of a clock that only goes forward."""
    time = TIMESPEC.local(f)
    clock_gettime(f, MONOTONIC_CLOCK, time.pointer)
    return f.add(f.mul(time.load("seconds"), 1_000_000_000), time.load("nanoseconds"))


@routine(
    "anychip.describe",
    attributes="alwaysinline",
    job=PTR,
    function=PTR,
    slots=PTR,
    total=I64,
    grid_x=I64,
    grid_y=I64,
    grid_z=I64,
)
def describe(f: Flow, job_at: Val, function_at: Val, slots: Val, total: Val, *grid: Val) -> None:
    """Write what all kinds of launches say of themselves; the job's members, memory and work are left to
    do."""
    job, function = JOB.at(f, job_at), FUNCTION.at(f, function_at)
    function.store("slots", slots)
    job.copy("entry", function)
    job.store_all(slots=slots, total=total)
    for axis, extent in zip("xyz", grid):
        job.store(f"grid_{axis}", f.trunc(extent, I32))
    job.copy("arena_bytes", function)
    job.copy("endless", function)
    job.store_all(failure=0, nanoseconds=0, longest=0, attention=0, completed=0)
    function.atomic_add("launches", 1)


@routine("anychip.prepare", attributes="alwaysinline", job=PTR, arena=PTR)
def prepare(f: Flow, job_at: Val, arena_at: Val) -> None:
    """Ready an arena for a program of the job."""
    job, arena = JOB.at(f, job_at), ARENA.at(f, arena_at)
    arena.store_all(status=0, job=job_at, attention=job.address("attention"), poll=poll.address(f))


@routine("anychip.fail", job=PTR, arena=PTR)
def fail(f: Flow, job_at: Val, arena_at: Val) -> None:
    """The program in `arena` failed: unless another was first, that is how the launch ends."""
    job, arena = JOB.at(f, job_at), ARENA.at(f, arena_at)
    with f.if_(f.atomic_replace(job.address("failure"), 0, arena.load("status"))):
        job.copy("program", arena)
    job.atomic_store("attention", 1)


@routine("anychip.outcome", I32, attributes="alwaysinline", job=PTR, program=PTR)
def outcome(f: Flow, job_at: Val, program: Val) -> Val:
    """What a job came to: `Code.DONE`, or the code of its failure with the program's place in `program`."""
    job = JOB.at(f, job_at)
    failure = job.load("failure")
    with f.if_(f.ne(failure, 0)):
        f.store(job.load("program"), program, 4)
    return failure


@routine("anychip.take_part", job=PTR, member=I64)
def take_part(f: Flow, job: Val, member: Val) -> None:
    """What a thread of any kind of team does."""
    call_pointer(f, JOB.at(f, job).load("work"), VOID, [job, member])


@dataclass(frozen=True, slots=True)
class KernelCall:
    """A kernel's C function and what is the same in all its calls of a launch; `grid` are three i32 (see the
    ABI in `docs/architecture.md`)."""

    entry: Val
    slots: Val
    grid: tuple[Val, Val, Val]

    @staticmethod
    def of(job: Fields) -> KernelCall:
        """As a job says."""
        grid = (job.load("grid_x"), job.load("grid_y"), job.load("grid_z"))
        return KernelCall(job.load("entry"), job.load("slots"), grid)

    def run(self, f: Flow, first: Operand, last: Operand, arena: Val) -> None:
        """Run the programs from `first` to before `last` in the scratch memory `arena`."""
        programs = (f.constant(first, I64), f.constant(last, I64))
        call_pointer(f, self.entry, VOID, [self.slots, *programs, *self.grid, arena])
