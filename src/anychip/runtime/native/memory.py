"""Scratch memory that launches lease: blocks that are kept for the next launch, behind a lock."""

from __future__ import annotations

from ...compiler.llvm.flow import Flow
from ...compiler.llvm.routine import routine
from ...compiler.llvm.scalar import Ordering
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import I64, PTR, Val
from .structures import BLOCK, CACHE_LINE, STATE
from .system import aligned_alloc, free, sched_yield

_ROUNDING = 4096
"""Blocks have a multiple of so many bytes, beside their head."""


@routine("anychip.lock", lock=PTR)
def lock(f: Flow, lock: Val) -> None:
    """Take a lock; whoever holds it holds it for some instructions only."""
    with f.forever() as spin:
        before = f.atomic_exchange(lock, f.int(1, I64), Ordering.ACQUIRE)
        spin.leave_if(f.eq(before, 0))
        sched_yield(f)


@routine("anychip.unlock", lock=PTR)
def unlock(f: Flow, lock: Val) -> None:
    """Let go of a lock that this thread holds."""
    f.atomic_store(f.int(0, I64), lock, Ordering.RELEASE)


@routine("anychip.lease", PTR, linkage="", state=PTR, bytes=I64)
def lease(f: Flow, state_at: Val, bytes: Val) -> Val:
    """A block of at least `bytes` of scratch memory, or null. A free block that is too small is replaced by
    the larger one, so there are never more blocks than launches at one time."""
    state = STATE.at(f, state_at)
    guard, head = state.address("lock"), state.address("free_blocks")
    lock(f, guard)
    with f.forever(head) as search:
        link = search.carried[0]
        address = f.load(PTR, link)
        search.leave_if(f.eq(address, 0))
        block = BLOCK.at(f, address)
        with f.if_(f.sge(block.load("bytes"), bytes)):
            f.store(block.load("next"), link)
            unlock(f, guard)
            f.return_(address)
        search.carry(block.address("next"))
    small = f.load(PTR, head)
    given_back = f.choose(f.eq(small, 0), lambda: f.int(0, I64), lambda: _taken_out(f, head, small))
    rounded = f.and_(f.add(bytes, _ROUNDING - 1), -_ROUNDING)
    held = f.add(state.load("arena_bytes"), f.sub(rounded, given_back))
    state.store("arena_bytes", held)
    state.store("arena_bytes_peak", f.smax(state.load("arena_bytes_peak"), held))
    unlock(f, guard)
    free(f, small)
    fresh = aligned_alloc(f, CACHE_LINE, f.add(rounded, CACHE_LINE))
    with f.if_(f.eq(fresh, 0)):
        lock(f, guard)
        _lessen(f, state, rounded)
        unlock(f, guard)
        f.return_(0)
    BLOCK.at(f, fresh).store("bytes", rounded)
    return fresh


def _taken_out(f: Flow, head: Val, address: Val) -> Val:
    """Take the first free block out of the list; its bytes."""
    block = BLOCK.at(f, address)
    f.store(block.load("next"), head)
    return block.load("bytes")


def _lessen(f: Flow, state: Fields, bytes: Val) -> None:
    """Count `bytes` of scratch memory less."""
    state.store("arena_bytes", f.sub(state.load("arena_bytes"), bytes))


@routine("anychip.release", linkage="", state=PTR, block=PTR)
def release(f: Flow, state_at: Val, block: Val) -> None:
    """Give a leased block back."""
    state = STATE.at(f, state_at)
    guard = state.address("lock")
    lock(f, guard)
    BLOCK.at(f, block).store("next", state.load("free_blocks"))
    state.store("free_blocks", block)
    unlock(f, guard)


@routine("anychip.trim", linkage="", state=PTR)
def trim(f: Flow, state_at: Val) -> None:
    """Free every block that no launch holds."""
    state = STATE.at(f, state_at)
    guard, head = state.address("lock"), state.address("free_blocks")
    lock(f, guard)
    with f.forever() as turn:
        block = f.load(PTR, head)
        turn.leave_if(f.eq(block, 0))
        _lessen(f, state, _taken_out(f, head, block))
        free(f, block)
    unlock(f, guard)
