"""Kernels whose programs wait for each other: a program becomes a coroutine of LLVM's.

In: the scheduled body of a kernel with waiting loops. Out: LLVM IR in which a program gives up its thread
at the end of each iteration of such a loop, and goes on from there when the kernel is called again. LLVM's
passes turn the coroutine into plain functions and put what lives across an interruption into a frame, which
lies behind the buffers in the program's own arena: no stacks are switched, so this serves every instruction
set.

The calling convention stays the kernel ABI. A call runs the program `first`; if the arena's word at `HANDLE`
is not null afterwards, the program waits, and the next call with the same arena continues it.
See https://llvm.org/docs/Coroutines.html (switched-resume lowering).
"""

from __future__ import annotations

from collections.abc import Callable

from ..llvm.builder import Builder
from ..llvm.types import I1, I8, I64, PTR, Val
from .context import Context

HANDLE = 16
"""Byte of the arena's status block where the handle of an interrupted program stands (null: none)."""

FRAME_ALIGNMENT = 64
"""The widest register that lies in a frame; arenas are aligned so."""

SUSPENDED = "suspended"
"""The block by which a call returns."""

_DECLARATIONS = {
    "llvm.coro.id": "declare token @llvm.coro.id(i32, ptr, ptr, ptr)",
    "llvm.coro.begin": "declare ptr @llvm.coro.begin(token, ptr)",
    "llvm.coro.size.i64": "declare i64 @llvm.coro.size.i64()",
    "llvm.coro.suspend": "declare i8 @llvm.coro.suspend(token, i1)",
    "llvm.coro.resume": "declare void @llvm.coro.resume(ptr)",
    "llvm.coro.end": "declare void @llvm.coro.end(ptr, i1, token)",
}


def program_symbol(symbol: str) -> str:
    """The name of the coroutine of the kernel `symbol`; it returns the bytes of its frame."""
    return f"{symbol}.program"


def frame_offset(arena_bytes: int) -> int:
    """Where the frame begins in an arena whose status block and buffers take `arena_bytes`."""
    return -(-arena_bytes // FRAME_ALIGNMENT) * FRAME_ALIGNMENT


def coroutine(context: Context, arena_bytes: int, body: Callable[[str], None], attributes: str) -> None:
    """Add the coroutine of a kernel: `body` emits one program, which leaves by the label that it is given."""
    b = context.b
    b.module.declarations.update(_DECLARATIONS)
    id = "call token @llvm.coro.id(i32 64, ptr null, ptr null, ptr null)"
    b.lines.append(f"  %coro.id = {id} noduplicate")
    frame = b.gep(context.arena, frame_offset(arena_bytes))
    b.lines.append("  %coro.size = call i64 @llvm.coro.size.i64()")
    b.lines.append(f"  %coro.handle = call ptr @llvm.coro.begin(token %coro.id, {frame}) noduplicate")
    b.store(Val("%coro.handle", PTR), _handle(context), 8)
    finished = b.label("finished")
    body(finished)
    b.place(finished)
    b.store(Val("null", PTR), _handle(context), 8)
    b.place(SUSPENDED)
    b.effect("call void @llvm.coro.end(ptr %coro.handle, i1 false, token none)")
    b.effect("ret i64 %coro.size")
    b.terminated = True
    symbol = program_symbol(context.symbol)
    signature = (
        f'define internal i64 @"{symbol}"(ptr readonly %args, i64 %first, i32 %gx, i32 %gy, i32 %gz, '
        "ptr %arena)"
    )
    b.module.add_function(symbol, b.text(signature, f"presplitcoroutine noinline {attributes}"))


def _handle(context: Context) -> Val:
    return context.b.gep(context.arena, HANDLE)


def suspend(context: Context) -> None:
    """Give up the thread; the next call goes on here, and what is in memory is read anew."""
    b = context.b
    resumed = b.label("resumed")
    why = b.raw(I8, "call i8 @llvm.coro.suspend(token none, i1 false)")
    b.effect(f"switch {why}, label %{SUSPENDED} [ i8 0, label %{resumed} ]")
    b.terminated = True
    b.place(resumed)


def fence(context: Context, ordering: str) -> None:
    """Order memory accesses among threads."""
    context.b.effect(f"fence {ordering}")


def entry(context: Context, attributes: str) -> None:
    """Add the kernel itself: it starts program `first`, or continues the one in the arena."""
    b = Builder(context.module)
    arena = context.arena
    handle = b.load(PTR, b.gep(arena, HANDLE), 8)
    start, resume, done = (b.label(n) for n in ("start", "continue", "done"))
    fresh = b.raw(I1, f"icmp eq {handle}, null")
    b.cond_br(fresh, start, resume)
    b.place(start)
    program = program_symbol(context.symbol)
    grid = ", ".join(map(str, context.grid))
    b.raw(I64, f'call i64 @"{program}"(ptr %args, i64 %first, {grid}, {arena})')
    b.br(done)
    b.place(resume)
    b.effect(f"call void @llvm.coro.resume({handle})")
    b.place(done)
    b.effect("ret void")
    b.terminated = True
    signature = (
        f'define void @"{context.symbol}"(ptr readonly %args, i64 %first, i64 %last, i32 %gx, i32 %gy, '
        "i32 %gz, ptr align 64 %arena)"
    )
    context.module.add_function(context.symbol, b.text(signature, attributes))
