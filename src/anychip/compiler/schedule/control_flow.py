"""Loops, branches and regions: what they carry lives in buffers that each pass assigns anew.

In: an operation with regions, or one that leaves a block. Out: its step, with the steps of its regions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.core import Block, Op, Region, Value
from . import arena
from .axes import walk_inline
from .nests import is_identity
from .packed_once import pack_once
from .products import defer_products
from .steps import Buffer, For, Graph, If, Jump, Nest, PackedLoop, Step, While, Write

if TYPE_CHECKING:
    from .scheduler import Scheduler


def graph(scheduler: Scheduler, op: Op | None, region: Region, results: list[Buffer | None]) -> Graph:
    """The blocks of a region and the buffers of their arguments; `op` is None for the kernel itself."""
    arguments: dict[Value, Buffer] = {}
    for block in region.blocks[1:]:
        for arg in block.args:
            if arg.shape:
                arguments[arg] = scheduler.buffers.persistent(arg, op)
    blocks = [(block, _collect(scheduler, block)) for block in region.blocks]
    return Graph(op, blocks, arguments, results)


def _collect(scheduler: Scheduler, block: Block) -> list[Step]:
    outer_steps, outer_nest = scheduler.nests.steps, scheduler.nests.open
    assert outer_nest is None
    scheduler.nests.steps = []
    for op in block.ops:
        scheduler.buffers.here = scheduler.order.position[op]
        scheduler.visit(op)
    scheduler.nests.flush()
    steps, scheduler.nests.steps = scheduler.nests.steps, outer_steps
    return steps


def _carried(scheduler: Scheduler, op: Op, initial: list[Value], args: list[Value]) -> list[Buffer | None]:
    carried: list[Buffer | None] = []
    for value, arg in zip(initial, args, strict=True):
        if not arg.shape:
            carried.append(None)
            continue
        buffer = scheduler.buffers.new(arg)
        scheduler.buffers.touch_throughout(buffer, op)
        scheduler.nests.add(Write(value, buffer), arg.shape)
        carried.append(buffer)
    scheduler.nests.flush()
    return carried


def _assign(
    scheduler: Scheduler, values: list[Value], buffers: list[Buffer | None], flush: bool = True
) -> None:
    """Evaluate `values` into `buffers` as if all at once (the end of a loop's body)."""
    pairs = [(v, b) for v, b in zip(values, buffers, strict=True) if b is not None]
    pairs = [(v, b) for v, b in pairs if scheduler.buffers.get(v) is not b]
    targets = {id(b) for _, b in pairs}
    ready: list[Write] = []
    together = False
    for value, buffer in pairs:
        shared = all(v.shape == value.shape for v, _ in pairs)
        others = [
            shared and is_identity(point)
            for v, point, leaf in walk_inline([value], len(value.shape), lambda v: v in scheduler.buffers)
            if leaf and id(scheduler.buffers.get(v)) in targets and scheduler.buffers.get(v) is not buffer
        ]
        hazard = not all(others)
        together = together or any(others)
        if (
            hazard or _reads_itself_elsewhere(value, buffer, scheduler.buffers)
        ) and value not in scheduler.buffers:
            scheduler.nests.keep(value)
            scheduler.buffers.touch(scheduler.buffers[value], scheduler.buffers.here)
        elif hazard:
            copy = scheduler.buffers.new(value)
            scheduler.nests.add(Write(value, copy), value.shape)
            value = _alias(value)
            scheduler.buffers[value] = copy
        ready.append(Write(value, buffer))
    scheduler.nests.flush()
    if together:
        # Each chunk of a nest is read by all roots before any writes it.
        scheduler.nests.open = Nest(ready[0].value.shape, list(ready))
        scheduler.nests.opened = scheduler.buffers.here
    else:
        for root in sorted(ready, key=lambda root: root.value.shape):
            scheduler.nests.add(root, root.value.shape)
    if flush:
        scheduler.nests.flush()


def schedule_for(scheduler: Scheduler, op: Op) -> None:
    """Add an `scf.for`: where that pays, its products are deferred, and its operands packed once for several
    programs."""
    scheduler.nests.flush()
    body = op.regions[0].entry
    carried = _carried(scheduler, op, op.operands[3:], body.args[1:])
    for arg, buffer in zip(body.args[1:], carried, strict=True):
        if buffer is not None:
            scheduler.buffers.place(arg, buffer)
    steps = _body(scheduler, body, carried)
    for result, buffer in zip(op.results, carried, strict=True):
        if buffer is not None:
            scheduler.buffers.here = scheduler.order.end[op]
            scheduler.buffers.place(result, buffer)
    scheduler.nests.steps.append(
        _packed(scheduler, PackedLoop(op, carried, steps)) or For(op, carried, steps)
    )


def _packed(scheduler: Scheduler, loop: PackedLoop) -> PackedLoop | None:
    """`loop` with its products deferred and operands packed once; None where there is neither."""
    op = loop.op
    for buffer in defer_products(
        loop, scheduler.structure, scheduler.buffers, scheduler.target.cache_bytes // 8
    ):
        first, last = scheduler.order.position[op], scheduler.order.end[op]
        scheduler.buffers.lifetimes.setdefault(buffer, arena.Lifetime(first, last))
        scheduler.buffers.touch_throughout(buffer, op)
    loop.packed_once = pack_once(loop, scheduler.func, scheduler.order, scheduler.target.cache_bytes // 2)
    for operand in loop.packed_once:
        for buffer in (operand.buffer, operand.bias):
            if buffer is not None:
                scheduler.buffers.lifetimes[buffer] = arena.Lifetime(0, len(scheduler.order.position))
    return loop if loop.products or loop.packed_once else None


def _body(
    scheduler: Scheduler, block: Block, targets: list[Buffer | None], operands: slice = slice(None)
) -> list[Step]:
    """The steps of a block that ends by assigning its terminator's operands to `targets`."""
    outer, scheduler.nests.steps = scheduler.nests.steps, []
    for op in block.ops[:-1]:
        scheduler.buffers.here = scheduler.order.position[op]
        scheduler.visit(op)
    scheduler.buffers.here = scheduler.order.position[block.terminator]
    _assign(scheduler, block.terminator.operands[operands], targets)
    steps, scheduler.nests.steps = scheduler.nests.steps, outer
    return steps


def _result_buffers(scheduler: Scheduler, op: Op) -> list[Buffer | None]:
    buffers: list[Buffer | None] = []
    for result in op.results:
        buffers.append(scheduler.buffers.new(result) if result.shape else None)
        if buffers[-1] is not None:
            scheduler.buffers.touch(buffers[-1], scheduler.order.end[op])
    return buffers


def _place_results(scheduler: Scheduler, op: Op, buffers: list[Buffer | None]) -> None:
    scheduler.buffers.here = scheduler.order.end[op]
    for result, buffer in zip(op.results, buffers, strict=True):
        if buffer is not None:
            scheduler.buffers.place(result, buffer)


def schedule_if(scheduler: Scheduler, op: Op) -> None:
    """Add an `scf.if`, whose branches assign its results."""
    scheduler.nests.flush()
    results = _result_buffers(scheduler, op)
    branches = [_body(scheduler, region.entry, results) if region.blocks else [] for region in op.regions]
    _place_results(scheduler, op, results)
    scheduler.nests.steps.append(If(op, results, branches[0], branches[1] if len(branches) > 1 else []))


def schedule_while(scheduler: Scheduler, op: Op) -> None:
    """Add an `scf.while`."""
    scheduler.nests.flush()
    before, after = op.regions[0].entry, op.regions[1].entry
    carried = _carried(scheduler, op, op.operands, before.args)
    for arg, buffer in zip(before.args, carried, strict=True):
        if buffer is not None:
            scheduler.buffers.place(arg, buffer)
    results = _result_buffers(scheduler, op)
    for buffer in results:
        if buffer is not None:
            scheduler.buffers.touch(buffer, scheduler.order.position[op])
    first = _body(scheduler, before, results, slice(1, None))
    for arg, buffer in zip(after.args, results, strict=True):
        if buffer is not None:
            scheduler.buffers.place(arg, buffer)
    second = _body(scheduler, after, carried)
    _place_results(scheduler, op, results)
    scheduler.nests.steps.append(While(op, carried, results, first, second))


def schedule_region(scheduler: Scheduler, op: Op) -> None:
    """Add a region that is left by `tt.return`, as inlining a function with early returns makes it."""
    scheduler.nests.flush()
    results = _result_buffers(scheduler, op)
    for buffer in results:
        if buffer is not None:
            scheduler.buffers.touch(buffer, scheduler.order.position[op])
    scheduler.returns.append(results)
    scheduler.nests.steps.append(graph(scheduler, op, op.regions[0], results))
    scheduler.returns.pop()
    _place_results(scheduler, op, results)


def schedule_jump(scheduler: Scheduler, op: Op) -> None:
    """Add a branch to another block, whose arguments it assigns."""
    for block, values in op.successors:
        if any(v.shape for v in values):
            _assign(scheduler, values, [scheduler.buffers.get(arg) for arg in block.args])
    scheduler.nests.flush()
    scheduler.nests.steps.append(Jump(op))


def schedule_return(scheduler: Scheduler, op: Op) -> None:
    """Add the end of a block: of the kernel, or of the region at hand."""
    if scheduler.returns and any(v.shape for v in op.operands) and op.name == "tt.return":
        _assign(scheduler, op.operands, scheduler.returns[-1])
    scheduler.nests.flush()
    scheduler.nests.steps.append(Jump(op))


def _alias(value: Value) -> Value:
    """Another name for a value, to be found in a buffer of its own."""
    return Value(value.type, f"{value.name}.copy")


def _reads_itself_elsewhere(value: Value, buffer: Buffer, buffers: dict[Value, Buffer]) -> bool:
    found = walk_inline([value], len(value.shape), lambda v: v in buffers)
    return any(leaf and buffers.get(v) is buffer and not is_identity(point) for v, point, leaf in found)
