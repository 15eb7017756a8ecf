"""Runs a grid whose programs wait for each other.

Such a kernel gives up its thread while it waits, and is continued by another call with the same arena (see
`compiler.codegen.cooperative`). A thread keeps a queue of programs that have begun and are not over. It
continues each of them once, then begins one more, until all have begun: whatever a program waits for, the
program that brings it gets its turn, however few threads the team has. Arenas are taken up again
when their programs are over, so that memory is touched for those only that live at one time.
"""

from __future__ import annotations

from ...compiler.llvm.flow import Flow, Loop
from ...compiler.llvm.routine import routine
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import FALSE, I32, I64, PTR, TRUE, Val
from .interrupt import enter, leave, leave_if_marked, linger
from .job import KernelCall, describe, fail, outcome, prepare
from .structures import ARENA, CACHE_LINE, FUNCTION, JOB, Code
from .system import aligned_alloc, free, sched_yield
from .team import dispatch, team_size

MOST_PROGRAMS = 4096
"""Programs that may live at one time: each has an arena of its own."""

PERHAPS, SURELY = 1, 2
"""`compiler.analysis.waiting.Waiting`: programs may wait for others, or do."""


class _Queue:
    """Arenas of programs, linked by their `next`: the first to go on is the first that came."""

    def __init__(self, f: Flow):
        self._f = f
        self._first, self._last = f.local(f.null(PTR)), f.local(f.null(PTR))
        self.length = f.local(f.int(0, I64))

    def take(self) -> Val:
        """The first of a queue that is not empty."""
        arena = ARENA.at(self._f, self._first.value)
        self._first.value = arena.load("next")
        self.length.value = self._f.sub(self.length.value, 1)
        return arena.pointer

    def put(self, arena: Fields) -> None:
        f = self._f
        arena.store("next", 0)
        is_empty = f.eq(self.length.value, 0)
        with f.if_else(is_empty) as (first, behind):
            with first:
                self._first.value = arena.pointer
            with behind:
                ARENA.at(f, self._last.value).store("next", arena.pointer)
        self._last.value = arena.pointer
        self.length.value = f.add(self.length.value, 1)


class _Stack:
    """Arenas that are free, linked by their `next`."""

    def __init__(self, f: Flow):
        self._f = f
        self.top = f.local(f.null(PTR))

    def take(self) -> Val:
        """The top one, or null."""
        f = self._f
        top = self.top.value
        with f.if_(f.ne(top, 0)):
            self.top.value = ARENA.at(f, top).load("next")
        return top

    def put(self, arena: Fields) -> None:
        arena.store("next", self.top.value)
        self.top.value = arena.pointer


@routine("anychip.cooperate", job=PTR, member=I64)
def _cooperate(f: Flow, job_at: Val, member: Val) -> None:
    """What a member of a team does: programs in turn, until all are over or the job ends."""
    job = JOB.at(f, job_at)
    with f.if_(f.ult(member, job.load("members"))):
        _Turns(f, job).emit()
    linger(f, job_at, member)


class _Turns:
    """The turns of one thread's programs, as they are written."""

    def __init__(self, f: Flow, job: Fields):
        self.f, self.job = f, job
        self.kernel, self.total = KernelCall.of(job), job.load("total")
        self.begun = job.load("counters")
        self.waiting, self.spare = _Queue(f), _Stack(f)
        self.more = f.local(TRUE)
        """Whether there may be programs that have not begun."""

    def emit(self) -> None:
        f, waiting = self.f, self.waiting
        with f.forever() as round:
            with f.counted(waiting.length.value):
                leave_if_marked(f, self.job, round)
                self._run(f.int(0, I64), ARENA.at(f, waiting.take()), round)
            leave_if_marked(f, self.job, round)
            with f.if_(self.more.value):
                self._begin_another(round)
            none_lives = f.eq(waiting.length.value, 0)
            round.leave_if(f.and_(none_lives, f.not_(self.more.value)))
            sched_yield(f)

    def _run(self, number: Val, arena: Fields, round: Loop) -> None:
        """Run or continue a program, then see what became of it."""
        f = self.f
        self.kernel.run(f, number, f.add(number, 1), arena.pointer)
        with f.if_(f.ne(arena.load("status"), 0)):
            fail(f, self.job.pointer, arena.pointer)
            round.leave()
        with f.if_else(f.eq(arena.load("handle"), 0)) as (over, waits):
            with over:
                self.spare.put(arena)
                self.job.atomic_add("completed", 1)
            with waits:
                self.waiting.put(arena)

    def _begin_another(self, round: Loop) -> None:
        """Run the first stretch of a program that has not begun, and go on with the next round; if there is
        none, or no arena for it, find out whether there may be one later."""
        f = self.f
        place = f.local(self.spare.take())
        with f.if_(f.eq(place.value, 0)):
            place.value = _fresh_arena(f, self.job.pointer)
        arena = ARENA.at(f, place.value)
        with f.if_else(f.eq(arena.pointer, 0)) as (lacking, found):
            with lacking:
                self.more.value = f.ult(f.atomic_load(I64, self.begun), self.total)
            with found:
                number = f.atomic_add(self.begun, f.int(1, I64))
                with f.if_(f.ult(number, self.total)):
                    prepare(f, self.job.pointer, arena.pointer)
                    arena.store("handle", 0)
                    self._run(number, arena, round)
                    round.again()
                self.spare.put(arena)
                self.more.value = FALSE


@routine("anychip.fresh_arena", PTR, attributes="alwaysinline", job=PTR)
def _fresh_arena(f: Flow, job_at: Val) -> Val:
    """An arena that no program had yet, or null."""
    job = JOB.at(f, job_at)
    taken, count = f.gep(job.load("counters"), CACHE_LINE), job.load("arena_count")
    with f.if_(f.uge(f.atomic_load(I64, taken), count)):
        f.return_(0)
    place = f.atomic_add(taken, f.int(1, I64))
    with f.if_(f.uge(place, count)):
        f.return_(0)
    return f.gep(job.load("arenas"), f.mul(place, job.load("arena_bytes")))


@routine(
    "anychip.run_cooperative",
    I32,
    state=PTR,
    function=PTR,
    slots=PTR,
    total=I64,
    grid_x=I64,
    grid_y=I64,
    grid_z=I64,
    program=PTR,
)
def run_cooperative(
    f: Flow,
    state: Val,
    function_at: Val,
    slots: Val,
    total: Val,
    grid_x: Val,
    grid_y: Val,
    grid_z: Val,
    program: Val,
) -> Val:
    """Run a grid of a kernel whose programs wait for each other; like `grid.run`. With
    `Code.TOO_MANY_PROGRAMS`, `program` holds the grid."""
    job, function = JOB.local(f, CACHE_LINE), FUNCTION.at(f, function_at)
    surely = f.eq(function.load("waiting"), SURELY)
    with f.if_(f.and_(surely, f.ugt(total, MOST_PROGRAMS))):
        for axis, extent in enumerate((grid_x, grid_y, grid_z)):
            f.store(f.trunc(extent, I32), f.element(I32, program, axis))
        f.return_(Code.TOO_MANY_PROGRAMS)
    count = f.umin(total, MOST_PROGRAMS)
    arena_bytes = f.mul(function.load("arena_bytes"), count)
    memory = aligned_alloc(f, CACHE_LINE, f.add(arena_bytes, 2 * CACHE_LINE))
    with f.if_(f.eq(memory, 0)):
        f.return_(Code.OUT_OF_MEMORY)
    begun, taken, arenas = memory, f.gep(memory, CACHE_LINE), f.gep(memory, 2 * CACHE_LINE)
    f.store(f.int(0, I64), begun)
    f.store(f.int(0, I64), taken)
    describe(f, job.pointer, function_at, slots, total, grid_x, grid_y, grid_z)
    job.store_all(counters=begun, arenas=arenas, arena_count=count)
    members = team_size(f, state, total, 0, 0)
    job.store("work", _cooperate.address(f))
    before = enter(f, state, job.pointer, TRUE)
    dispatch(f, state, job.pointer, members)
    leave(f, state, job.pointer, before)
    function.store("slots", 0)
    free(f, memory)
    return outcome(f, job.pointer, program)
