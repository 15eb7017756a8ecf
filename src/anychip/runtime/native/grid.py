"""Runs a grid of program instances over threads.

`run` leases scratch memory, decides how many threads are worth waking, lets them work
through the grid and reports a failed device assertion. Each thread starts with a contiguous part
of its own (neighbouring kernels find their data in the same core's cache) and then takes chunks
from the others' parts, so that uneven programs balance. Counters are 64 bits wide.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...compiler.llvm.flow import Flow
from ...compiler.llvm.routine import routine
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import I32, I64, PTR, Val
from . import events
from .cooperative import run_cooperative
from .interrupt import enter, leave, leave_if_marked, linger
from .job import KernelCall, describe, fail, now, outcome, prepare
from .memory import lease, release
from .structures import ARENA, CACHE_LINE, FUNCTION, JOB, MEASURED, Code
from .team import dispatch, team_size

CHUNKS_PER_MEMBER = 8
"""Pieces that a thread's part is divided in, for others to take."""

WATCHED_PICOSECONDS = 20_000_000
"""Launches expected to take longer are ended by Ctrl-C (see `interrupt`)."""

LONG_PICOSECONDS = 1_000_000_000
"""For launches expected to take longer, it is made sure that signals are heard, and there are pieces."""

PIECE_PICOSECONDS = 10_000_000_000
FIRST_PIECES = 64
"""No piece is expected to take longer; where nothing is known, a thread's part has so many."""

MOST_IN_A_PIECE = 1024
"""Programs, whatever time was expected: expectations come from earlier launches, perhaps of smaller sizes."""

TIMED_ALL, TIMED_OF = 64, 16
"""Launches of a function that are timed each, and of how many later small ones one is."""

MOST_PIECES = 65536
"""Of a thread's part: what a piece costs must not count beside its programs."""


@routine("anychip.part", I64, attributes="alwaysinline", total=I64, parts=I64, part=I64)
def _part(f: Flow, total: Val, parts: Val, part: Val) -> Val:
    """The first program of a part when `total` programs are divided into `parts`."""
    before = f.mul(f.udiv(total, parts), part)
    return f.add(before, f.umin(part, f.urem(total, parts)))


def _counter(f: Flow, counters: Val, part: Val) -> Val:
    """Where the next program of a part stands: each in a cache line of its own."""
    return f.gep(counters, f.mul(part, CACHE_LINE))


@routine("anychip.work", job=PTR, member=I64)
def _work(f: Flow, job_at: Val, member: Val) -> None:
    """What a member of a job's team does: chunks of its own part, then of the others'."""
    job = JOB.at(f, job_at)
    kernel = KernelCall.of(job)
    total, chunk, members = job.load("total"), job.load("chunk"), job.load("members")
    is_counted = f.ne(job.load("endless"), 0)
    counters = job.load("counters")
    with f.if_(f.uge(member, members)):
        f.return_()
    start = now(f)
    arena = ARENA.at(f, f.gep(job.load("arenas"), f.mul(member, job.load("arena_bytes"))))
    prepare(f, job_at, arena.pointer)
    with f.counted(members) as visit:
        part = f.urem(f.add(member, visit.index), members)
        end = _part(f, total, members, f.add(part, 1))
        counter = _counter(f, counters, part)
        with f.forever() as taking:
            leave_if_marked(f, job, visit)
            first = f.atomic_add(counter, chunk)
            taking.leave_if(f.uge(first, end))
            last = f.umin(f.add(first, chunk), end)
            kernel.run(f, first, last, arena.pointer)
            with f.if_(f.ne(arena.load("status"), 0)):
                fail(f, job_at, arena.pointer)
                visit.leave()
            with f.if_(is_counted):
                job.atomic_add("completed", f.sub(last, first))
    worked = f.sub(now(f), start)
    job.atomic_add("nanoseconds", worked)
    f.atomic_max(job.address("longest"), worked)
    linger(f, job_at, member)


@dataclass(frozen=True, slots=True)
class _Expectation:
    """What is expected of a launch's time before it runs (all i1 but `each`).

    `each` picoseconds a program, 0 if that is `unknown`. `watched`: Ctrl-C may end it. `heard`: it is made
    sure that signals are heard. `in_pieces`: its programs are run in pieces, between which threads look
    around."""

    each: Val
    unknown: Val
    watched: Val
    heard: Val
    in_pieces: Val


def _expect(f: Flow, function: Fields, total: Val, each: Val) -> _Expectation:
    picoseconds, is_huge = f.umul_overflow(total, each)
    unknown = f.eq(each, 0)
    may_not_end = f.ne(function.load("endless"), 0)
    unbounded = f.or_(is_huge, unknown)
    is_long = f.or_(unbounded, f.ugt(picoseconds, LONG_PICOSECONDS))
    watched = f.any_of([unbounded, f.ugt(picoseconds, WATCHED_PICOSECONDS), may_not_end])
    may_be_misjudged = f.and_(f.ugt(total, MOST_IN_A_PIECE), watched)
    return _Expectation(each, unknown, watched, f.or_(is_long, may_not_end), f.or_(is_long, may_be_misjudged))


@routine(
    "anychip.run",
    I32,
    linkage="",
    state=PTR,
    function=PTR,
    slots=PTR,
    grid_x=I64,
    grid_y=I64,
    grid_z=I64,
    program=PTR,
)
def run(
    f: Flow, state: Val, function: Val, slots: Val, grid_x: Val, grid_y: Val, grid_z: Val, program: Val
) -> Val:
    """Run a function over a grid. Returns `Code.DONE`, the number of a failed assertion plus one with
    the program's place in `program` (3 x i32), or one of the negative codes."""
    measured = MEASURED.local(f)
    measured.store_all(members=1, busy=0, longest=0)
    begin = events.begin(f, state)
    code = _run(f, state, function, slots, grid_x, grid_y, grid_z, program, measured.pointer)
    with f.if_(f.ne(begin, 0)):
        events.note_launch(f, state, function, slots, grid_x, grid_y, grid_z, begin, measured.pointer)
    return code


@routine(
    "anychip.run_grid",
    I32,
    state=PTR,
    function=PTR,
    slots=PTR,
    grid_x=I64,
    grid_y=I64,
    grid_z=I64,
    program=PTR,
    measured=PTR,
)
def _run(
    f: Flow,
    state: Val,
    function_at: Val,
    slots: Val,
    grid_x: Val,
    grid_y: Val,
    grid_z: Val,
    program: Val,
    measured: Val,
) -> Val:
    """As `run`; what the team did is written into `measured`."""
    job, function = JOB.local(f, CACHE_LINE), FUNCTION.at(f, function_at)
    with f.if_(f.any_of([f.slt(extent, 1) for extent in (grid_x, grid_y, grid_z)])):
        f.return_(Code.DONE)
    total, overflow = f.umul_overflow(f.mul(grid_x, grid_y), grid_z)
    with f.if_(f.or_(overflow, f.slt(total, 0))):
        f.return_(Code.GRID_TOO_LARGE)
    with f.if_(f.ne(function.load("waiting"), 0)):
        f.return_(run_cooperative(f, state, function_at, slots, total, grid_x, grid_y, grid_z, program))
    each, grain = function.atomic_load("picoseconds"), function.load("grain")
    members = team_size(f, state, total, each, grain)
    stride = function.load("arena_bytes")
    block = lease(f, state, f.mul(f.add(stride, CACHE_LINE), members))
    with f.if_(f.eq(block, 0)):
        f.return_(Code.OUT_OF_MEMORY)
    counters = f.gep(block, CACHE_LINE)
    arenas = f.gep(counters, f.mul(members, CACHE_LINE))
    describe(f, job.pointer, function_at, slots, total, grid_x, grid_y, grid_z)
    job.store_all(counters=counters, arenas=arenas)
    expected = _expect(f, function, total, each)
    before = f.local(f.null(PTR))
    with f.if_(expected.watched):
        before.value = enter(f, state, job.pointer, expected.heard)
    at_once = f.and_(f.eq(members, 1), f.not_(expected.in_pieces))
    with f.if_else(at_once) as (serial, divided):
        with serial:
            is_timed = _is_timed(f, function, expected)
            _run_at_once(f, job, total, is_timed)
        with divided:
            job.store_all(chunk=_chunk(f, expected, total, members, grain), work=_work.address(f))
            with f.counted(members) as each_part:
                first = _part(f, total, members, each_part.index)
                f.store(first, _counter(f, counters, each_part.index))
            dispatch(f, state, job.pointer, members)
    with f.if_(expected.watched):
        leave(f, state, job.pointer, before.value)
    function.store("slots", 0)
    release(f, state, block)
    code = outcome(f, job.pointer, program)
    nanoseconds = job.load("nanoseconds")
    MEASURED.at(f, measured).store_all(members=members, busy=nanoseconds, longest=job.load("longest"))
    with f.if_(f.and_(f.eq(code, 0), f.ne(nanoseconds, 0))):
        _learn(f, function, expected, nanoseconds, total)
    return code


def _is_timed(f: Flow, function: Fields, expected: _Expectation) -> Val:
    """Whether the time of a launch on this thread alone is looked at: always at first, and where much is
    expected; later on one of `TIMED_OF`, as looking costs about as much as a small launch."""
    launches = function.load("launches")
    seldom = f.and_(f.ugt(launches, TIMED_ALL), f.ne(f.and_(launches, TIMED_OF - 1), 0))
    return f.or_(expected.watched, f.not_(seldom))


def _run_at_once(f: Flow, job: Fields, total: Val, is_timed: Val) -> None:
    """Run all programs on this thread, in one call of the kernel."""
    arena = ARENA.at(f, job.load("arenas"))
    prepare(f, job.pointer, arena.pointer)
    start = f.choose(is_timed, lambda: now(f), lambda: f.int(0, I64))
    KernelCall.of(job).run(f, 0, total, arena.pointer)
    with f.if_(is_timed):
        job.store("nanoseconds", f.smax(f.sub(now(f), start), 1))
    with f.if_(f.ne(arena.load("status"), 0)):
        fail(f, job.pointer, arena.pointer)


def _chunk(f: Flow, expected: _Expectation, total: Val, members: Val, grain: Val) -> Val:
    """How many programs a thread takes at once: as many as were chosen for the kernel, or as leave something
    for others, but no more than are expected to take a bounded time."""
    part = f.udiv(total, members)
    ruled = f.smax(f.udiv(part, CHUNKS_PER_MEMBER), 1)
    wanted = f.select(f.ne(grain, 0), grain, ruled)
    affordable = f.udiv(f.int(PIECE_PICOSECONDS, I64), f.umax(expected.each, 1))
    in_time = f.select(expected.unknown, f.udiv(part, FIRST_PIECES), affordable)
    most = f.umax(f.udiv(part, MOST_PIECES), MOST_IN_A_PIECE)
    return f.umin(wanted, f.umax(f.umin(in_time, most), 1))


def _learn(f: Flow, function: Fields, expected: _Expectation, nanoseconds: Val, total: Val) -> None:
    """What a program took, averaged with what was expected, is expected of the next launch."""
    measured = f.udiv(f.mul(nanoseconds, 1000), total)
    old = f.select(expected.unknown, measured, expected.each)
    mean = f.lshr(f.add(old, measured), 1)
    function.atomic_store("picoseconds", f.smax(mean, 1))
