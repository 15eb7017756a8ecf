"""The threads that share a launch: how many are worth waking, and how they are had.

They are OpenMP's where the process has an OpenMP runtime (PyTorch's, which keeps them warm), else those of
our own pool."""

from __future__ import annotations

from ...compiler.llvm.flow import Flow
from ...compiler.llvm.routine import call_pointer, routine
from ...compiler.llvm.types import I32, I64, PTR, VOID, Val
from .job import take_part
from .pool import run_pool
from .structures import JOB, STATE

SERIAL_PICOSECONDS = 6_000_000
"""Launches expected to take less run on the calling thread: waking a team costs 1 to 2 us."""

SHARE_PICOSECONDS = 3_000_000
"""A thread joins for at least this much work."""


@routine("anychip.team_size", I64, state=PTR, total=I64, each=I64, grain=I64)
def team_size(f: Flow, state_at: Val, total: Val, each: Val, grain: Val) -> Val:
    """How many threads are worth waking for `total` programs of `each` picoseconds (0: unknown), of which a
    thread takes `grain` at least (0: one)."""
    state = STATE.at(f, state_at)
    grains = f.udiv(total, f.umax(grain, 1))
    with f.if_(f.ule(grains, 1)):
        f.return_(1)
    work, is_huge = f.umul_overflow(total, each)
    unbounded = f.or_(is_huge, f.eq(each, 0))
    with f.if_(f.not_(f.or_(unbounded, f.ugt(work, SERIAL_PICOSECONDS)))):
        f.return_(1)
    limit, count = state.load("thread_limit"), state.load("thread_count")
    threads = f.local(limit)
    with f.if_(f.ne(count, 0)):
        threads.value = f.sext(call_pointer(f, count, I32, []))
    in_team = state.load("in_team")
    with f.if_(f.ne(in_team, 0)), f.if_(f.ne(call_pointer(f, in_team, I32, []), 0)):
        f.return_(1)
    most = threads.value
    useful = f.select(unbounded, most, f.udiv(work, SHARE_PICOSECONDS))
    return f.smax(f.umin(f.smin(most, useful), grains), 1)


@routine("anychip.dispatch", state=PTR, job=PTR, members=I64)
def dispatch(f: Flow, state_at: Val, job_at: Val, members: Val) -> None:
    """Have `members` threads do the job's work, the calling one among them, and wait for them."""
    state, job = STATE.at(f, state_at), JOB.at(f, job_at)
    job.store("members", members)
    with f.if_(f.eq(members, 1)):
        take_part(f, job_at, 0)
        f.return_()
    run_team = state.load("run_team")
    with f.if_(f.eq(run_team, 0)):
        run_pool(f, state_at, job_at, members)
        f.return_()
    job.store("member_of_team", state.load("team_member"))
    arguments = [_member.address(f), job_at, f.trunc(members, I32), f.int(0, I32)]
    call_pointer(f, run_team, VOID, arguments)


@routine("anychip.member", job=PTR)
def _member(f: Flow, job: Val) -> None:
    """What OpenMP calls on each thread of the team."""
    number = call_pointer(f, JOB.at(f, job).load("member_of_team"), I32, [])
    take_part(f, job, f.zext(number))
