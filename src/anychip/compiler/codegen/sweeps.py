"""Nests that run a loop inside: for each unit of chunks the whole loop, with the carried tiles in
registers. Flows in: a nest with a `RegisterLoop`. Flows out: its code, loops around a loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.core import Value
from ..llvm.types import Val
from ..schedule.steps import Nest, RegisterLoop
from .evaluate import Evaluation, Point
from .nests import NestEmitter
from .register_types import register_type

if TYPE_CHECKING:
    from .control import StepEmitter


class SweepEmitter(NestEmitter):
    """Emits one nest with a loop inside. `held` has the register slots, chunk by chunk, of every tile
    that a loop carries or leaves."""

    def __init__(self, steps: StepEmitter, nest: Nest):
        super().__init__(steps.context, nest)
        self.steps = steps
        self.held: dict[Value, list[Val]] = {}

    def _unit(self, position: dict[int, Val | int], first: bool) -> None:
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
                    self.steps.steps([step])
            self._carried([body.terminator.operands[k] for k in tiles], slots, position)

        self.steps.counted(op, iteration)
        self.held.update(zip((op.results[k] for k in tiles), slots, strict=True))

    def _carried(self, values: list[Value], slots: list[list[Val]], position: dict[int, Val | int]) -> None:
        """The end of an iteration: without masks, where the unit's are all true."""
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
