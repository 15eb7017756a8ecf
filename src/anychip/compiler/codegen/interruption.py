"""Loops without a known end ask whether to go on, so that Ctrl-C ends them.

At the end of each iteration of a `while` loop a program looks at a word that the arena's status block points
to. Is it not zero, the program calls the function that stands beside it, and leaves where the answer is not
zero. The runtime fills these places in (`runtime/native/interrupt.py`); libraries for other chips have no
such loops.
"""

from __future__ import annotations

from ..llvm.types import I32, PTR
from . import cooperative
from .context import Context

ATTENTION, POLL = 32, 40
"""Bytes of the status block: address of the word, address of `int32_t poll(void *arena)`."""


def check(context: Context) -> None:
    """Leave the kernel if the runtime says so."""
    if not context.interruptible:
        return
    context.endless = True
    b = context.b
    ask, leave, on = b.label("ask"), b.label("leave"), b.label("on")
    word = b.load(PTR, b.gep(context.arena, ATTENTION), 8)
    marked = b.raw(I32, f"load atomic i32, {word} monotonic, align 4")
    b.cond_br(b.icmp("ne", marked, b.int(0)), ask, on)
    b.place(ask)
    poll = b.load(PTR, b.gep(context.arena, POLL), 8)
    answer = b.raw(I32, f"call i32 {poll.ref}({context.arena})")
    b.cond_br(b.icmp("ne", answer, b.int(0)), leave, on)
    b.place(leave)
    if context.waits:
        b.br(cooperative.SUSPENDED)
    else:
        b.effect("ret void")
        b.terminated = True
    b.place(on)
