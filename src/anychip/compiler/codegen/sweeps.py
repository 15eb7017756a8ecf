"""Nests that run a loop inside: for each few chunks the whole loop, with the carried tiles in
registers. Flows in: a nest with a `RegisterLoop`. Flows out: its code, loops around a loop."""

from __future__ import annotations

from collections.abc import Callable

from ..ir.core import Value
from ..llvm.types import Val
from ..schedule.steps import Nest, Reduce, RegisterLoop, Sweep
from .context import Context
from .dispatch import emit, emits
from .evaluation import Evaluation
from .loops import counted
from .nests import NestEmitter
from .point import Point
from .register_types import register_type


@emits(Sweep)
def emit_sweep(context: Context, step: Sweep) -> None:
    """The nest with the loop inside; for more than `limit` iterations the other way."""
    if step.limit is None:
        SweepEmitter(context, step.nest).emit()
        return
    b, scalars, op = context.b, context.scalars, step.op
    lower, upper, stride = (scalars[v] for v in op.operands[:3])
    few, many, done = (b.label(n) for n in ("few", "many", "swept"))
    reach = b.mul(stride, b.int(step.limit, stride.type))
    b.cond_br(b.icmp("sle", b.binary("sub", upper, lower), reach), few, many)
    totals = [r for root in step.nest.roots if isinstance(root, Reduce) for r in root.op.results]
    results = [r for r in (*op.results, *totals) if not r.shape]
    ends: list[tuple[str, list[Val]]] = []
    before, written = context.available, []
    ways: tuple[tuple[str, Callable[[], None]], ...] = (
        (few, lambda: SweepEmitter(context, step.nest).emit()),
        (many, lambda: emit(context, step.otherwise)),
    )
    for label, emit_way in ways:
        b.place(label)
        context.available = set(before)  # what one way writes, the other has not written
        emit_way()
        written.append(context.available)
        ends.append((b.block, [scalars[r] for r in results]))
        b.br(done)
    context.available = set.intersection(*written)
    b.place(done)
    scalars.update(zip(results, b.merge(ends), strict=True))


class SweepEmitter(NestEmitter):
    """Emits one nest with a loop inside. `held` has the register slots, chunk by chunk, of every tile
    that a loop carries or leaves."""

    def __init__(self, context: Context, nest: Nest):
        super().__init__(context, nest)
        self.held: dict[Value, list[Val]] = {}

    def _iteration(self, position: dict[int, Val | int], first: bool) -> None:
        assert self.nest.loop is not None
        self.held = {}
        self.points = self._points(position)
        self._loop(self.nest.loop, position)
        self._body(self.points, first, frozenset())

    def _evaluation(self, points: list[Point], assumed: frozenset) -> Evaluation:
        ev = super()._evaluation(points, assumed)
        for value, slots in self.held.items():
            for slot, point in zip(slots, points, strict=True):
                ev.bind(value, point, self._load(value, slot))
        return ev

    def _load(self, value: Value, slot: Val) -> Val:
        return self.b.load(register_type(value.element, self.nest.lanes), slot, value.element.bytes)

    def _assign(self, values: list[Value], slots: list[list[Val]], assumed: frozenset) -> None:
        """Evaluate `values` into `slots`, as if all at once."""
        ev = self._evaluation(self.points, assumed)
        for chunk, point in enumerate(self.points):
            results = [ev.vector(value, point) for value in values]
            for value, result, places in zip(values, results, slots, strict=True):
                self.b.store(result, places[chunk], value.element.bytes)

    def _loop(self, loop: RegisterLoop, position: dict[int, Val | int]) -> None:
        op, body = loop.op, loop.op.regions[0].entry
        tiles = [k for k, arg in enumerate(body.args[1:]) if arg.shape]
        slots = [
            [self.b.alloca(register_type(op.results[k].element, self.nest.lanes)) for _ in self.points]
            for k in tiles
        ]
        self._assign([op.operands[k + 3] for k in tiles], slots, frozenset())

        def iteration() -> None:
            self.held.update(zip((body.args[k + 1] for k in tiles), slots, strict=True))
            for step in loop.body:
                if isinstance(step, RegisterLoop):
                    self._loop(step, position)
                else:
                    emit(self.context, [step])
            self._carried([body.terminator.operands[k] for k in tiles], slots, position)

        counted(self.context, op, iteration)
        self.held.update(zip((op.results[k] for k in tiles), slots, strict=True))

    def _carried(self, values: list[Value], slots: list[list[Val]], position: dict[int, Val | int]) -> None:
        """The end of an iteration: without masks, where those of the chunks are all true."""
        b = self.b
        bounds = self._bounds_of(position, values, [])
        condition = bounds.condition
        if condition is None:
            self._assign(values, slots, frozenset(bounds.assumed))
            return
        fast, general, done = (b.label(n) for n in ("whole", "masked", "carried"))
        b.cond_br(condition, fast, general)
        b.place(fast)
        self._assign(values, slots, frozenset(bounds.assumed))
        b.br(done)
        b.place(general)
        self._assign(values, slots, frozenset())
        b.place(done)
