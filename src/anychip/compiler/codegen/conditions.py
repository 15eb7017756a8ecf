"""Conditions of a program: `scf.if`."""

from __future__ import annotations

from ..llvm.types import Val
from ..schedule.steps import If
from .context import Context
from .dispatch import emit, emits


@emits(If)
def emit_if(context: Context, step: If) -> None:
    """One side or the other; scalars among the results are phis where both meet."""
    b, op = context.b, step.op
    then, otherwise, done = (b.label(n) for n in ("then", "else", "endif"))
    b.cond_br(context.scalars[op.operands[0]], then, otherwise)
    ends: list[tuple[str, list[Val]]] = []
    for label, steps, region in zip((then, otherwise), (step.then, step.otherwise), op.regions, strict=False):
        b.place(label)
        emit(context, steps)
        values = region.entry.terminator.operands if region.blocks and op.results else []
        ends.append((b.block, [context.scalars[v] for v in values if not v.shape]))
        b.br(done)
    if len(op.regions) < 2:
        b.place(otherwise)
    b.place(done)
    results = [r for r in op.results if not r.shape]
    context.scalars.update(zip(results, b.merge(ends), strict=True))
    context.filled(op.results, step.results)
