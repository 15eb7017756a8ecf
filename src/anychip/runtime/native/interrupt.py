"""How Ctrl-C ends a launch.

Python runs signal handlers only in its main thread and between bytecodes, hence not while that thread is in
a kernel. A handler of ours stands before Python's: it calls that, and marks the job that the main thread
runs. Whoever sees the mark (threads between programs, kernels at the end of an iteration of a `while` loop)
calls `attend`, in which the main thread has Python run its handlers. What they raise is kept, the
job ends, and the launch raises it; where they raise nothing, the launch goes on. Launches of other threads
are not interrupted, as nothing is in Python.
"""

from __future__ import annotations

from ...compiler.llvm.flow import Block, Flow
from ...compiler.llvm.globals import zeroed
from ...compiler.llvm.routine import call_pointer, routine
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import I1, I32, I64, PTR, VOID, Val
from . import python_api
from .structures import ARENA, JOB, STATE, Code
from .system import (
    ACTION,
    FIRST_HANDLER,
    SA_SIGINFO,
    SIGINT,
    pthread_kill,
    pthread_self,
    sigaction,
    usleep,
)

MEMBER_SPINS = 20_000
MEMBER_WAIT_MICROSECONDS = 50
"""The calling thread looks so often whether the others are done, then sleeps between looks."""

_STATE = zeroed("anychip.state", PTR)
"""Where the handler, which is told nothing, finds the runtime's state."""


@routine("anychip.on_signal", linkage="", signal=I32, info=PTR, context=PTR)
def on_signal(f: Flow, signal: Val, info: Val, context: Val) -> None:
    """The handler of SIGINT. It runs on the main thread, so that the job it marks is not over meanwhile. A
    handler that was put before ours may call ours in turn: the first one that we met ends the circle."""
    state = STATE.at(f, f.load(PTR, _STATE.address(f)))
    with f.if_(f.not_(_is_main_thread(f, state))):
        pthread_kill(f, state.load("main_thread"), signal)
        f.return_()
    job = state.load("current", volatile=True)
    with f.if_(f.ne(job, 0)):
        JOB.at(f, job).atomic_store("attention", 1)
    inside = state.load("inside_handler", volatile=True)
    chosen = f.select(f.ne(inside, 0), state.address("first_handler"), state.address("previous_handler"))
    handler = f.load(PTR, chosen)
    state.store("inside_handler", 1, volatile=True)
    call_pointer(f, handler, VOID, [signal, info, context])
    state.store("inside_handler", inside, volatile=True)


@routine("anychip.guard", state=PTR)
def _guard(f: Flow, state_at: Val) -> None:
    """Put our handler before the one that there is now. Signals that are ignored, or end the process, stay
    so."""
    action, state = ACTION.local(f, 8), STATE.at(f, state_at)
    sigaction(f, SIGINT, 0, action.pointer)
    handler, ours = action.load("handler"), on_signal.address(f)
    none = f.ult(f.convert("ptrtoint", handler, I64), FIRST_HANDLER)
    with f.if_(f.or_(f.eq(handler, ours), none)):
        f.return_()
    f.store(state_at, _STATE.address(f))
    state.store("previous_handler", handler)
    first = state.load("first_handler")
    state.store("first_handler", f.select(f.ne(first, 0), first, handler))
    action.store_all(handler=ours, flags=f.or_(action.load("flags"), SA_SIGINFO))
    sigaction(f, SIGINT, action.pointer, 0)


@routine("anychip.enter", PTR, state=PTR, job=PTR, install=I1)
def enter(f: Flow, state_at: Val, job: Val, install: Val) -> Val:
    """Before a launch that may take long: if the main thread makes it, signals find the job. With `install`,
    it is made sure that our handler is there. Gives the job that was there before, for `leave`."""
    state = STATE.at(f, state_at)
    JOB.at(f, job).store("state", state_at)
    before = f.local(f.null(PTR))
    with f.if_(_is_main_thread(f, state)):
        before.value = state.load("current", volatile=True)
        state.store("current", job, volatile=True)
        with f.if_(install):
            _guard(f, state_at)
    return before.value


@routine("anychip.leave", state=PTR, job=PTR, before=PTR)
def leave(f: Flow, state_at: Val, job: Val, before: Val) -> None:
    """After the launch: signals find the job that was there before."""
    state = STATE.at(f, state_at)
    with f.if_(f.eq(state.load("current", volatile=True), job)):
        state.store("current", before, volatile=True)


@routine("anychip.attend", I32, attributes="cold noinline", job=PTR)
def attend(f: Flow, job_at: Val) -> Val:
    """What to do when a job is marked: 0 to go on, else the code with which it ends."""
    job = JOB.at(f, job_at)
    failure = job.atomic_load("failure")
    with f.if_(f.ne(failure, 0)):
        f.return_(failure)
    state = STATE.at(f, job.load("state"))
    current = state.load("current", volatile=True)
    responsible = f.and_(_is_main_thread(f, state), f.eq(current, job_at))
    with f.if_(f.not_(responsible)):
        f.return_(0)
    job.atomic_store("attention", 0)
    lock = python_api.ensure_lock(f)
    with f.if_(f.ne(python_api.check_signals(f), 0)):
        raised = [state.address(f"raised_{part}") for part in ("type", "value", "traceback")]
        python_api.fetch_error(f, *raised)
        f.atomic_replace(job.address("failure"), 0, f.int(Code.INTERRUPTED, I32))
        job.atomic_store("attention", 1)
    python_api.release_lock(f, lock)
    return job.atomic_load("failure")


@routine("anychip.poll", I32, arena=PTR)
def poll(f: Flow, arena_at: Val) -> Val:
    """What a kernel calls from a marked job: 1 to leave at once, with the reason in its arena."""
    arena = ARENA.at(f, arena_at)
    code = attend(f, arena.load("job"))
    with f.if_(f.ne(code, 0)):
        arena.store("status", code)
        f.return_(1)
    return f.int(0, I32)


@routine("anychip.linger", job=PTR, member=I64)
def linger(f: Flow, job_at: Val, member: Val) -> None:
    """The calling thread's part is done: if others may be in an endless loop, it stays with their signals
    until all programs are over."""
    job = JOB.at(f, job_at)
    endless = f.ne(job.load("endless"), 0)
    with f.if_(f.not_(f.and_(endless, f.eq(member, 0)))):
        f.return_()
    with f.forever(f.int(0, I64)) as look:
        turns = look.carried[0]
        look.leave_if(f.uge(job.atomic_load("completed"), job.load("total")))
        with f.if_(f.ne(job.atomic_load("attention"), 0)):
            look.leave_if(f.ne(attend(f, job_at), 0))
        with f.if_(f.uge(turns, MEMBER_SPINS)):
            usleep(f, MEMBER_WAIT_MICROSECONDS)
        look.carry(f.add(turns, 1))


def leave_if_marked(f: Flow, job: Fields, block: Block) -> None:
    """Leave `block` if the job is marked and ends."""
    with f.if_(f.ne(job.atomic_load("attention"), 0)):
        block.leave_if(f.ne(attend(f, job.pointer), 0))


def _is_main_thread(f: Flow, state: Fields) -> Val:
    main = state.load("main_thread")
    return f.eq(pthread_self(f), main)
