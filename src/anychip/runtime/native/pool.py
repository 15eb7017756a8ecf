"""A small thread pool, used where no OpenMP runtime is loaded and in forked children, whose OpenMP threads
stayed with the parent.

Threads start when a launch first wants them and sleep on a condition between launches. A launch
that finds the pool busy runs on the calling thread.
"""

from __future__ import annotations

from ...compiler.llvm.flow import Flow
from ...compiler.llvm.routine import routine
from ...compiler.llvm.scalar import Ordering
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import I64, PTR, Val
from .job import take_part
from .memory import lock, unlock
from .structures import POOL, STATE, WORKER
from .system import (
    calloc,
    free,
    pthread_cond_broadcast,
    pthread_cond_init,
    pthread_cond_signal,
    pthread_cond_wait,
    pthread_create,
    pthread_detach,
    pthread_mutex_init,
    pthread_mutex_lock,
    pthread_mutex_unlock,
)


@routine("anychip.pool_thread", PTR, worker=PTR)
def _pool_thread(f: Flow, worker_at: Val) -> None:
    """A thread of the pool: takes part in each job, once. The job that was there when it started is none of
    its."""
    worker = WORKER.at(f, worker_at)
    pool = POOL.at(f, worker.load("pool"))
    index, birth = worker.load("index"), worker.load("generation")
    free(f, worker_at)
    mutex, started = pool.address("mutex"), pool.address("started")
    pthread_mutex_lock(f, mutex)
    with f.forever(birth) as turn:
        seen = turn.carried[0]
        generation = pool.load("generation")
        with f.if_(f.eq(generation, seen)):
            pthread_cond_wait(f, started, mutex)
            turn.again(seen)
        job = pool.load("job")
        pthread_mutex_unlock(f, mutex)
        take_part(f, job, index)
        pthread_mutex_lock(f, mutex)
        pending = f.sub(pool.load("pending"), 1)
        pool.store("pending", pending)
        with f.if_(f.eq(pending, 0)):
            pthread_cond_signal(f, pool.address("finished"))
        turn.carry(generation)


@routine("anychip.pool", PTR, state=PTR)
def _pool(f: Flow, state_at: Val) -> Val:
    """The process's pool, made at the first call."""
    state = STATE.at(f, state_at)
    guard = state.address("lock")
    lock(f, guard)
    with f.if_(f.eq(state.load("pool"), 0)):
        fresh = POOL.at(f, calloc(f, 1, POOL.size))
        pthread_mutex_init(f, fresh.address("mutex"), 0)
        pthread_cond_init(f, fresh.address("started"), 0)
        pthread_cond_init(f, fresh.address("finished"), 0)
        state.store("pool", fresh.pointer)
    pool = state.load("pool")
    unlock(f, guard)
    return pool


@routine("anychip.run_pool", state=PTR, job=PTR, members=I64)
def run_pool(f: Flow, state: Val, job: Val, members: Val) -> None:
    """Run a job on `members` threads, the calling one among them as member 0. Threads that cannot be
    started are missed by nobody: the others take their parts."""
    pool = POOL.at(f, _pool(f, state))
    busy = f.atomic_exchange(pool.address("busy"), f.int(1, I64), Ordering.ACQUIRE)
    with f.if_(f.ne(busy, 0)):
        take_part(f, job, 0)
        f.return_()
    _grow(f, pool, members)
    mutex = pool.address("mutex")
    pthread_mutex_lock(f, mutex)
    pool.store_all(pending=pool.load("size"), job=job, generation=f.add(pool.load("generation"), 1))
    pthread_cond_broadcast(f, pool.address("started"))
    pthread_mutex_unlock(f, mutex)
    take_part(f, job, 0)
    pthread_mutex_lock(f, mutex)
    with f.while_(lambda: f.ne(pool.load("pending"), 0)):
        pthread_cond_wait(f, pool.address("finished"), mutex)
    pthread_mutex_unlock(f, mutex)
    pool.atomic_store("busy", 0, Ordering.RELEASE)


def _grow(f: Flow, pool: Fields, members: Val) -> None:
    """Start threads until there are `members` with the calling one, or no more can be started."""
    handle = f.alloca(I64)
    with f.forever() as turn:
        next = f.add(pool.load("size"), 1)
        turn.leave_if(f.uge(next, members))
        worker = WORKER.at(f, calloc(f, 1, WORKER.size))
        worker.store_all(pool=pool.pointer, index=next, generation=pool.load("generation"))
        error = pthread_create(f, handle, 0, _pool_thread.address(f), worker.pointer)
        with f.if_(f.ne(error, 0)):
            free(f, worker.pointer)
            turn.leave()
        pthread_detach(f, f.load(I64, handle))
        pool.store("size", next)
