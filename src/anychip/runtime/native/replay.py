"""Runs a recorded list of launches in one call.

Each step's slots are made from the list's offsets and the bases of this call's buffers, on the
stack of the calling thread, so one list may be replayed by several threads at once. Temporaries
lie in one block of scratch memory, leased for the call.
"""

from __future__ import annotations

from ...compiler.llvm.flow import Flow
from ...compiler.llvm.routine import routine
from ...compiler.llvm.struct import Fields
from ...compiler.llvm.types import I32, I64, PTR, Val
from ..slot_table import Owner
from .grid import run
from .interpreter import LaunchTable, interpret
from .memory import lease, release
from .structures import CACHE_LINE, FAILURE, REPLAY, STEP, Code


@routine("anychip.replay", I32, linkage="", state=PTR, replay=PTR, bases=PTR, failure=PTR)
def replay(f: Flow, state: Val, replay_at: Val, bases: Val, failure_at: Val) -> Val:
    """Run the list `replay`. `bases` holds one address for each owner; that of the arena is filled in here.
    Returns 0 or the code of the launch that failed; `failure` says which."""
    replayed, failure = REPLAY.at(f, replay_at), FAILURE.at(f, failure_at)
    table = LaunchTable(
        STEP,
        replayed.load("steps"),
        replayed.load("count"),
        replayed.load("offsets"),
        replayed.load("owners"),
        owner=I32,
        index=I64,
    )
    slots = f.stack_array(I64, replayed.load("widest"), align=CACHE_LINE)
    arena_bytes, held = replayed.load("arena_bytes"), f.local(f.null(PTR))
    with f.if_(f.ne(arena_bytes, 0)):
        block = lease(f, state, arena_bytes)
        with f.if_(f.eq(block, 0)):
            failure.store("step", -1)
            f.return_(Code.OUT_OF_MEMORY)
        f.store(f.gep(block, CACHE_LINE), f.element(I64, bases, Owner.ARENA))
        held.value = block

    def launch(step: Fields) -> Val:
        grid = [step.load(f"grid_{axis}") for axis in "xyz"]
        return run(f, state, step.address("function"), slots, *grid, failure.address("program"))

    def failed(number: Val, code: Val) -> None:
        failure.store("step", f.trunc(number, I32))

    code = interpret(f, table, bases, slots, launch, failed)
    with f.if_(f.ne(held.value, 0)):
        release(f, state, held.value)
    return code
