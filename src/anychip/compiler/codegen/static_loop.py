"""Loops whose bounds are known when the kernel is compiled: over chunks, rows and columns of tiles."""

from __future__ import annotations

from collections.abc import Callable

from ..llvm.builder import Builder
from ..llvm.types import I32, Val


def loop(b: Builder, count: int, step: int, body: Callable[[Val | int], None], first: int = 0) -> None:
    """Emit `for i in range(first, count, step): body(i)`; a single iteration needs no loop."""
    if first >= count:
        return
    if first + step >= count:
        body(first)
        return
    header, done = b.label("loop"), b.label("done")
    before = b.block
    b.place(header)
    phi = b.phi(I32)
    phi.add(b.int(first), before)
    body(phi.val)
    following = b.raw(I32, f"add nuw nsw i32 {phi.val.ref}, {step}")
    phi.add(following, b.block)
    more = b.icmp("ult", following, b.int(count))
    b.cond_br(more, header, done)
    b.place(done)
