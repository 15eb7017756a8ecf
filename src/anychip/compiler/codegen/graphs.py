"""Graphs of blocks: the body of a kernel, and functions with early returns that were inlined."""

from __future__ import annotations

from ..ir.core import Block, Op
from ..llvm.builder import Phi
from ..llvm.types import Val
from ..schedule.steps import Graph, Jump
from .context import Context, OpenGraph
from .dispatch import emit, emits
from .register_types import register_type


@emits(Graph)
def emit_graph(context: Context, step: Graph) -> None:
    """Blocks with branches; a return leaves the graph with its results, or the kernel."""
    values = call(context, step)
    if step.op is None:
        return
    context.filled(step.op.results, step.results)
    for k, (result, buffer) in enumerate(zip(step.op.results, step.results, strict=True)):
        if buffer is None:
            context.scalars[result] = values[k]


def call(context: Context, graph: Graph) -> list[Val]:
    """Emit the blocks; what a return gives, as scalars (poison for tiles)."""
    b = context.b
    labels = {block: b.label("block") for block, _ in graph.blocks}
    end = b.label("returned")
    written = OpenGraph(labels, context.leave if graph.op is None else end)
    context.graphs.append(written)
    context.available.update(graph.arguments)
    for block, steps in graph.blocks:
        b.place(labels[block])
        if block is not graph.blocks[0][0]:
            _place_arguments(context, written, block)
        emit(context, steps)
    context.graphs.pop()
    if graph.op is None:
        return []
    b.place(end)
    return b.merge(written.returns)


def _arguments(context: Context, graph: OpenGraph, block: Block) -> list[Phi | None]:
    """The phis of the arguments of a block, which may not be placed yet."""
    if block not in graph.arguments:
        graph.arguments[block] = [
            None if arg.shape else Phi(context.b.fresh(register_type(arg.element))) for arg in block.args
        ]
    return graph.arguments[block]


def _place_arguments(context: Context, graph: OpenGraph, block: Block) -> None:
    for arg, phi in zip(block.args, _arguments(context, graph, block), strict=True):
        if phi is not None:
            context.b.lines.append(phi)
            context.scalars[arg] = phi.val


@emits(Jump)
def emit_jump(context: Context, step: Jump) -> None:
    """A branch to one block or one of two, with their arguments, or a return."""
    op, b, scalars, graph = step.op, context.b, context.scalars, context.graphs[-1]
    if op.name not in ("cf.br", "cf.cond_br"):
        _return(context, graph, op)
        return
    targets = op.successors
    condition = scalars[op.operands[0]] if op.name == "cf.cond_br" else None
    if condition is not None and targets[0][0] is targets[1][0]:
        (block, first), (_, second) = targets
        for phi, x, y in zip(_arguments(context, graph, block), first, second, strict=True):
            if phi is not None:
                phi.add(b.select(condition, scalars[x], scalars[y]), b.block)
        b.br(graph.labels[block])
        return
    for block, values in targets:
        for phi, value in zip(_arguments(context, graph, block), values, strict=True):
            if phi is not None:
                phi.add(scalars[value], b.block)
    labels = [graph.labels[block] for block, _ in targets]
    if condition is None:
        b.br(labels[0])
    else:
        b.cond_br(condition, labels[0], labels[1])


def _return(context: Context, graph: OpenGraph, op: Op) -> None:
    values = [Val("poison", register_type(v.element)) if v.shape else context.scalars[v] for v in op.operands]
    graph.returns.append((context.b.block, values))
    context.b.br(graph.end)
