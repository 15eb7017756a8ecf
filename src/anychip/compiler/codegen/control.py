"""Steps in order: scalars, loops, conditions and graphs of blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ..ir.core import Block, Op, Value
from ..llvm.builder import Phi
from ..llvm.types import LLType, Val
from ..schedule.steps import (
    Buffer,
    Dot,
    For,
    Graph,
    Histogram,
    If,
    Jump,
    Nest,
    Reduce,
    Scalar,
    Scan,
    Step,
    Sweep,
    While,
)
from . import cooperative, each, elementwise, interruption, memory
from .context import Context
from .dot import emit_dot
from .evaluate import ZERO, Evaluation
from .nests import NestEmitter
from .products import ProductLoop
from .register_types import register_type
from .scan import emit_histogram, emit_scan
from .sweeps import SweepEmitter


class StepEmitter:
    """Emits the steps of one program instance. `leave` is where a kernel's return goes."""

    def __init__(self, context: Context, leave: str):
        self.context = context
        self.b = context.b
        self.leave = leave
        self._labels: dict[Block, str] = {}
        self._phis: dict[Block, list[Phi | None]] = {}
        self._returns: list[tuple[str, list[tuple[list[Val], str]]]] = []

    def steps(self, steps: list[Step]) -> None:
        for step in steps:
            _EMITTERS[type(step)](self, step)

    # --- scalars -----------------------------------------------------------------------------
    def _scalar(self, step: Scalar) -> None:
        op = step.op
        rule = _SCALARS.get(op.name)
        if rule is not None:
            results = rule(self, op)
        else:
            args = [self.context.scalars[v] for v in op.operands]
            results = elementwise.apply(self.b, op, args, self.context.target)
        for value, result in zip(op.results, results, strict=True):
            self.context.scalars[value] = result

    def _values(self, op: Op) -> list[Val]:
        return [self.context.scalars[v] for v in op.operands]

    def _constant(self, op: Op) -> list[Val]:
        return [elementwise.constant(self.b, op.attrs["value"], op.result.element, self.context.target)]

    def _load(self, op: Op) -> list[Val]:
        return [memory.load(Evaluation(self.context, 1), op, ())]

    def _store(self, op: Op) -> list[Val]:
        ev = Evaluation(self.context, 1)
        args = self._values(op)
        mask = args[2] if len(args) > 2 and args[2].ref != "true" else None
        memory.store(ev, op, (), args[1], args[0], mask, "mask" if len(args) > 2 else "none")
        return []

    def _unsplat(self, op: Op) -> list[Val]:
        operand = op.operands[0]
        return [Evaluation(self.context, 1).value(operand, (ZERO,) * len(operand.shape))]

    def _each(self, op: Op) -> list[Val]:
        return each.perform(self.context, op, self._values(op), [])

    def _poison(self, op: Op) -> list[Val]:
        return [self.b.null(register_type(op.result.element))]

    # --- loops and conditions ----------------------------------------------------------------
    def _for(self, step: For) -> None:
        if step.products or step.kept:
            ProductLoop(self, step).emit()
            return
        args = step.op.regions[0].entry.args[1:]

        def body() -> None:
            self._enter(args, step.carried)
            self.steps(step.body)

        self.counted(step.op, body)
        for result, buffer in zip(step.op.results, step.carried, strict=True):
            if buffer is not None:
                self.context.available.add(result)

    def counted(self, op: Op, emit_body: Callable[[], None]) -> None:
        """The loop of an `scf.for` with the scalars that it carries; `emit_body` does the rest."""
        b, scalars = self.b, self.context.scalars
        lower, upper, stride = (scalars[v] for v in op.operands[:3])
        body = op.regions[0].entry
        header, inside, done = (b.label(n) for n in ("for", "body", "end"))
        before = b.block
        b.place(header)
        counter = b.phi(lower.type)
        counter.add(lower, before)
        phis = self._carry(body.args[1:], op.operands[3:], before)
        predicate = "ult" if op.attrs.get("unsigned") else "slt"
        b.cond_br(b.icmp(predicate, counter.val, upper), inside, done)
        b.place(inside)
        scalars[body.args[0]] = counter.val
        emit_body()
        following = b.add(counter.val, stride)
        counter.add(following, b.block)
        self._pass(phis, body.terminator.operands)
        b.br(header)
        b.place(done)
        for result, phi in zip(op.results, phis, strict=True):
            if phi is not None:
                scalars[result] = phi.val

    def _sweep(self, step: Sweep) -> None:
        b, scalars, op = self.b, self.context.scalars, step.op
        if step.limit is None:
            SweepEmitter(self, step.nest).emit()
            return
        lower, upper, stride = (scalars[v] for v in op.operands[:3])
        few, many, done = (b.label(n) for n in ("few", "many", "swept"))
        reach = b.mul(stride, b.int(step.limit, stride.type))
        b.cond_br(b.icmp("sle", b.binary("sub", upper, lower), reach), few, many)
        totals = [r for root in step.nest.roots if isinstance(root, Reduce) for r in root.op.results]
        results = [r for r in (*op.results, *totals) if not r.shape]
        ends: list[tuple[list[Val], str]] = []
        before, written = self.context.available, []
        for label, emit in (
            (few, lambda: SweepEmitter(self, step.nest).emit()),
            (many, lambda: self.steps(step.otherwise)),
        ):
            b.place(label)
            self.context.available = set(before)  # what one way writes, the other has not written
            emit()
            written.append(self.context.available)
            ends.append(([scalars[r] for r in results], b.block))
            b.br(done)
        self.context.available = set.intersection(*written)
        b.place(done)
        for k, result in enumerate(results):
            phi = b.phi(register_type(result.element))
            for values, label in ends:
                phi.add(values[k], label)
            scalars[result] = phi.val

    def _carry(self, args: list[Value], initial: list[Value], before: str) -> list[Phi | None]:
        phis: list[Phi | None] = []
        for arg, value in zip(args, initial, strict=True):
            if arg.shape:
                phis.append(None)
                continue
            phi = self.b.phi(register_type(arg.element))
            phi.add(self.context.scalars[value], before)
            self.context.scalars[arg] = phi.val
            phis.append(phi)
        return phis

    def _enter(self, args: list[Value], carried: list[Buffer | None]) -> None:
        self.context.available.update(a for a, b in zip(args, carried, strict=True) if b is not None)

    def _pass(self, phis: list[Phi | None], values: list[Value]) -> None:
        for phi, value in zip(phis, values, strict=True):
            if phi is not None:
                phi.add(self.context.scalars[value], self.b.block)

    def _if(self, step: If) -> None:
        b, op = self.b, step.op
        then, otherwise, done = (b.label(n) for n in ("then", "else", "endif"))
        b.cond_br(self.context.scalars[op.operands[0]], then, otherwise)
        ends: list[tuple[list[Val | None], str]] = []
        for label, steps, region in zip(
            (then, otherwise), (step.then, step.otherwise), op.regions, strict=False
        ):
            b.place(label)
            self.steps(steps)
            values = region.entry.terminator.operands if region.blocks and op.results else []
            ends.append(([self.context.scalars.get(v) for v in values], b.block))
            b.br(done)
        if len(op.regions) < 2:
            b.place(otherwise)
        b.place(done)
        for k, (result, buffer) in enumerate(zip(op.results, step.results, strict=True)):
            if buffer is not None:
                self.context.available.add(result)
                continue
            phi = b.phi(register_type(result.element))
            for values, label in ends:
                value = values[k]
                assert value is not None
                phi.add(value, label)
            self.context.scalars[result] = phi.val

    def _while(self, step: While) -> None:
        b, op = self.b, step.op
        first, second = op.regions[0].entry, op.regions[1].entry
        header, inside, done = (b.label(n) for n in ("while", "do", "end"))
        before = b.block
        b.place(header)
        phis = self._carry(first.args, op.operands, before)
        self._enter(first.args, step.carried)
        self.steps(step.before)
        condition, *forwarded = first.terminator.operands
        b.cond_br(self.context.scalars[condition], inside, done)
        b.place(inside)
        for targets in (second.args, op.results):
            for target, value, buffer in zip(targets, forwarded, step.results, strict=True):
                if buffer is None:
                    self.context.scalars[target] = self.context.scalars[value]
                else:
                    self.context.available.add(target)
        self.steps(step.after)
        if op in self.context.waits:
            cooperative.suspend(self.context)
        else:
            interruption.check(self.context)
        self._pass(phis, second.terminator.operands)
        b.br(header)
        b.place(done)
        if op in self.context.waits:
            cooperative.fence(self.context, "acquire")

    # --- graphs ------------------------------------------------------------------------------
    def graph(self, graph: Graph) -> None:
        """Blocks with branches; a return leaves the graph with its results."""
        values = self.call(graph)
        if graph.op is None:
            return
        for k, (result, buffer) in enumerate(zip(graph.op.results, graph.results, strict=True)):
            if buffer is not None:
                self.context.available.add(result)
            else:
                self.context.scalars[result] = values[k]

    def call(self, graph: Graph) -> list[Val]:
        """Emit the blocks; what a return gives, as scalars (poison for tiles)."""
        b = self.b
        for block, _ in graph.blocks:
            self._labels[block] = b.label("block")
            self._phis.pop(block, None)
        end = b.label("returned")
        exits: list[tuple[list[Val], str]] = []
        self._returns.append((end if graph.op is not None else self.leave, exits))
        self.context.available.update(graph.arguments)
        for block, steps in graph.blocks:
            b.place(self._labels[block])
            if block is not graph.blocks[0][0]:
                self._place_phis(block)
            self.steps(steps)
        self._returns.pop()
        if graph.op is None:
            return []
        b.place(end)
        phis = [b.phi(v.type) for v in exits[0][0]] if exits else []
        for values, label in exits:
            for phi, value in zip(phis, values, strict=True):
                phi.add(value, label)
        return [phi.val for phi in phis]

    def _incoming(self, block: Block) -> list[Phi | None]:
        """The phis of the arguments of a block, which may not be placed yet."""
        if block not in self._phis:
            self._phis[block] = [
                None if arg.shape else Phi(self.b.fresh(register_type(arg.element))) for arg in block.args
            ]
        return self._phis[block]

    def _place_phis(self, block: Block) -> None:
        for arg, phi in zip(block.args, self._incoming(block), strict=True):
            if phi is not None:
                self.b.lines.append(phi)
                self.context.scalars[arg] = phi.val

    def _jump(self, step: Jump) -> None:
        op, scalars = step.op, self.context.scalars
        if op.name not in ("cf.br", "cf.cond_br"):
            self._return(op)
            return
        targets = op.successors
        condition = scalars[op.operands[0]] if op.name == "cf.cond_br" else None
        if condition is not None and targets[0][0] is targets[1][0]:
            (block, first), (_, second) = targets
            for phi, x, y in zip(self._incoming(block), first, second, strict=True):
                if phi is not None:
                    phi.add(self.b.select(condition, scalars[x], scalars[y]), self.b.block)
            self.b.br(self._labels[block])
            return
        for block, values in targets:
            for phi, value in zip(self._incoming(block), values, strict=True):
                if phi is not None:
                    phi.add(scalars[value], self.b.block)
        labels = [self._labels[block] for block, _ in targets]
        if condition is None:
            self.b.br(labels[0])
        else:
            self.b.cond_br(condition, labels[0], labels[1])

    def _return(self, op: Op) -> None:
        end, exits = self._returns[-1]
        values = [
            Val("poison", register_type(v.element)) if v.shape else self.context.scalars[v]
            for v in op.operands
        ]
        exits.append((values, self.b.block))
        self.b.br(end)


def _program_id(self: StepEmitter, op: Op) -> list[Val]:
    return [self.context.program[op.attrs["axis"]]]


def _programs(self: StepEmitter, op: Op) -> list[Val]:
    return [self.context.grid[op.attrs["axis"]]]


def _nothing(self: StepEmitter, op: Op) -> list[Val]:
    return []


def _barrier(self: StepEmitter, op: Op) -> list[Val]:
    """A program is one thread; but what others wait for may be written after the barrier."""
    if self.context.waits:
        cooperative.fence(self.context, "acq_rel")
    return []


def _clock(self: StepEmitter, op: Op) -> list[Val]:
    """A counter that programs may read and that only grows; 0 where a chip has none."""
    cycles = self.context.target.isa == "x86_64"
    return [self.b.call("llvm.readcyclecounter" if cycles else "llvm.readsteadycounter", LLType("i64"), [])]


def _table(self: StepEmitter, op: Op) -> list[Val]:
    """The element of a constant table at an index, which is inside."""
    b, element = self.b, op.result.element
    type = register_type(element)
    values = [elementwise.constant(b, v, element, self.context.target).ref for v in op.attrs["values"]]
    name = f"table.{element}.{hashlib.blake2b(','.join(values).encode(), digest_size=8).hexdigest()}"
    table = b.module.table(name, type, values)
    index = b.cast("zext", self.context.scalars[op.operands[0]], "i64")
    return [b.load(type, b.gep(table, b.mul(index, b.int(element.bytes, index.type))), element.bytes)]


_SCALARS: dict[str, Callable[[StepEmitter, Op], list[Val]]] = {
    "arith.constant": StepEmitter._constant,
    "tt.get_program_id": _program_id,
    "tt.get_num_programs": _programs,
    "tt.load": StepEmitter._load,
    "tt.store": StepEmitter._store,
    "tt.unsplat": StepEmitter._unsplat,
    "tt.atomic_rmw": StepEmitter._each,
    "tt.atomic_cas": StepEmitter._each,
    "tt.print": StepEmitter._each,
    "tt.assert": StepEmitter._each,
    "ub.poison": StepEmitter._poison,
    "gpu.barrier": _barrier,
    "ttg.barrier": _barrier,
    "tt.debug_barrier": _barrier,
    "anychip.clock": _clock,
    "anychip.table": _table,
    "llvm.intr.assume": _nothing,
}

_EMITTERS: dict[type, Callable[[StepEmitter, object], None]] = {
    Nest: lambda self, step: NestEmitter(self.context, step).emit(),  # type: ignore[arg-type]
    Scalar: StepEmitter._scalar,  # type: ignore[dict-item]
    Dot: lambda self, step: emit_dot(self.context, step),  # type: ignore[arg-type]
    Scan: lambda self, step: emit_scan(self.context, step),  # type: ignore[arg-type]
    Histogram: lambda self, step: emit_histogram(self.context, step),  # type: ignore[arg-type]
    For: StepEmitter._for,  # type: ignore[dict-item]
    Sweep: StepEmitter._sweep,  # type: ignore[dict-item]
    If: StepEmitter._if,  # type: ignore[dict-item]
    While: StepEmitter._while,  # type: ignore[dict-item]
    Jump: StepEmitter._jump,  # type: ignore[dict-item]
    Graph: StepEmitter.graph,  # type: ignore[dict-item]
}
