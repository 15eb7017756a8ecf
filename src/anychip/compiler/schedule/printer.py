"""A schedule as text, for `anychip explain --stage nests`."""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.core import Op
from .steps import (
    Buffer,
    Dot,
    For,
    Graph,
    Histogram,
    If,
    Jump,
    Nest,
    PackedLoop,
    Reduce,
    RegisterLoop,
    Root,
    Scalar,
    Scan,
    Schedule,
    Step,
    Store,
    Sweep,
    While,
    Write,
)


def print_schedule(schedule: Schedule) -> str:
    """Every step on a line, nested by two spaces; buffers with their place in the arena."""
    lines = [f"arena {schedule.arena_bytes} bytes"]
    lines += _steps([schedule.body], 0)
    return "\n".join(lines) + "\n"


def _buffer(buffer: Buffer | None) -> str:
    if buffer is None:
        return "scalar"
    shape = "x".join(map(str, buffer.shape))
    return f"@{buffer.offset}[{shape}x{buffer.element}]"


def _op(op: Op) -> str:
    return f"{op.name} ({', '.join('%' + v.name for v in op.operands)})  # {op.location}"


def _root(root: Root) -> str:
    if isinstance(root, Write):
        return f"write %{root.value.name} -> {_buffer(root.buffer)}"
    if isinstance(root, Store):
        return f"store {_op(root.op)}"
    kind = "reduce" if isinstance(root, Reduce) else "each"
    return f"{kind} {_op(root.op)} -> {', '.join(map(_buffer, root.buffers))}"


def _steps(steps: list[Step], depth: int) -> Iterator[str]:
    pad = "  " * depth
    for step in steps:
        if isinstance(step, Nest):
            loops = ", ".join(f"axis {a}: {step.domain[a]} by {step.lane_extents[a]}" for a in step.axes)
            reduced = f", reduces axis {step.reduce_axis}" if step.reduce_axis is not None else ""
            yield f"{pad}nest [{loops}] {step.unroll} x {step.lanes} lanes{reduced}"
            if step.loop is not None:
                yield from _register_loop(step.loop, depth + 1)
            for root in step.roots:
                yield f"{pad}  {_root(root)}"
        elif isinstance(step, Scalar | Jump):
            yield f"{pad}{_op(step.op)}"
        elif isinstance(step, Dot):
            yield f"{pad}dot {_buffer(step.a)} @ {_buffer(step.b)} + {_buffer(step.c)} -> {_buffer(step.out)}"
        elif isinstance(step, Scan):
            yield f"{pad}scan {_op(step.op)} -> {', '.join(map(_buffer, step.results))}"
        elif isinstance(step, Histogram):
            yield f"{pad}histogram {_op(step.op)} -> {_buffer(step.result)}"
        elif isinstance(step, For | PackedLoop):
            yield f"{pad}for {_op(step.op)} carries {', '.join(map(_buffer, step.carried))}"
            yield from _steps(step.body, depth + 1)
            if isinstance(step, PackedLoop) and step.products:
                yield f"{pad}  after every {step.slots} iterations and the last"
                yield from _steps([*step.products], depth + 2)
        elif isinstance(step, Sweep):
            yield from _steps([step.nest], depth)
            if step.limit is not None:
                yield f"{pad}or, for more than {step.limit} iterations"
                yield from _steps(step.otherwise, depth + 1)
        elif isinstance(step, If):
            yield f"{pad}if {_op(step.op)} -> {', '.join(map(_buffer, step.results))}"
            yield from _steps(step.then, depth + 1)
            yield f"{pad}else"
            yield from _steps(step.otherwise, depth + 1)
        elif isinstance(step, While):
            yield f"{pad}while {_op(step.op)}"
            yield from _steps(step.before, depth + 1)
            yield f"{pad}do"
            yield from _steps(step.after, depth + 1)
        elif isinstance(step, Graph):
            for number, (_, inner) in enumerate(step.blocks):
                yield f"{pad}block {number}"
                yield from _steps(inner, depth + 1)


def _register_loop(loop: RegisterLoop, depth: int) -> Iterator[str]:
    pad = "  " * depth
    tiles = [value for value in loop.op.regions[0].entry.terminator.operands if value.shape]
    yield f"{pad}in registers: for {_op(loop.op)}"
    for step in loop.body:
        if isinstance(step, RegisterLoop):
            yield from _register_loop(step, depth + 1)
        else:
            yield f"{pad}  {_op(step.op)}"
    yield f"{pad}  carry {', '.join('%' + value.name for value in tiles)}"
