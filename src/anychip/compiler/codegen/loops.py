"""Loops of a program: `scf.for` and `scf.while`.

Scalars that a loop carries are phis at its head; tiles are in buffers, which the steps of its body fill.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir.core import Op, Value
from ..llvm.builder import Phi
from ..schedule.steps import For, While
from . import cooperative, interruption
from .context import Context
from .dispatch import emit, emits
from .register_types import register_type


@emits(For)
def emit_for(context: Context, step: For) -> None:
    """A loop with a counter."""
    args = step.op.regions[0].entry.args[1:]

    def body() -> None:
        context.filled(args, step.carried)
        emit(context, step.body)

    counted(context, step.op, body)
    context.filled(step.op.results, step.carried)


def counted(context: Context, op: Op, emit_body: Callable[[], None]) -> None:
    """The loop of an `scf.for` with the scalars that it carries; `emit_body` does the rest."""
    b, scalars = context.b, context.scalars
    lower, upper, stride = (scalars[v] for v in op.operands[:3])
    body = op.regions[0].entry
    header, inside, done = (b.label(n) for n in ("for", "body", "end"))
    before = b.block
    b.place(header)
    counter = b.phi(lower.type)
    counter.add(lower, before)
    phis = _carry(context, body.args[1:], op.operands[3:], before)
    predicate = "ult" if op.attrs.get("unsigned") else "slt"
    b.cond_br(b.icmp(predicate, counter.val, upper), inside, done)
    b.place(inside)
    scalars[body.args[0]] = counter.val
    emit_body()
    following = b.add(counter.val, stride)
    counter.add(following, b.block)
    _pass(context, phis, body.terminator.operands)
    b.br(header)
    b.place(done)
    for result, phi in zip(op.results, phis, strict=True):
        if phi is not None:
            scalars[result] = phi.val


@emits(While)
def emit_while(context: Context, step: While) -> None:
    """A loop with a condition in its middle. One that waits for other programs lets them run in each turn;
    any other one asks in each turn whether to go on."""
    b, op, scalars = context.b, step.op, context.scalars
    first, second = op.regions[0].entry, op.regions[1].entry
    header, inside, done = (b.label(n) for n in ("while", "do", "end"))
    before = b.block
    b.place(header)
    phis = _carry(context, first.args, op.operands, before)
    context.filled(first.args, step.carried)
    emit(context, step.before)
    condition, *forwarded = first.terminator.operands
    b.cond_br(scalars[condition], inside, done)
    b.place(inside)
    for targets in (second.args, op.results):
        for target, value, buffer in zip(targets, forwarded, step.results, strict=True):
            if buffer is None:
                scalars[target] = scalars[value]
        context.filled(targets, step.results)
    emit(context, step.after)
    if op in context.waits:
        cooperative.suspend(context)
    else:
        interruption.check(context)
    _pass(context, phis, second.terminator.operands)
    b.br(header)
    b.place(done)
    if op in context.waits:
        cooperative.fence(context, "acquire")


def _carry(context: Context, args: list[Value], initial: list[Value], before: str) -> list[Phi | None]:
    """A phi for each scalar among `args`, whose value from the block `before` is that of `initial`."""
    phis: list[Phi | None] = []
    for arg, value in zip(args, initial, strict=True):
        if arg.shape:
            phis.append(None)
            continue
        phi = context.b.phi(register_type(arg.element))
        phi.add(context.scalars[value], before)
        context.scalars[arg] = phi.val
        phis.append(phi)
    return phis


def _pass(context: Context, phis: list[Phi | None], values: list[Value]) -> None:
    """At the end of a turn: what the next one gets."""
    for phi, value in zip(phis, values, strict=True):
        if phi is not None:
            phi.add(context.scalars[value], context.b.block)
