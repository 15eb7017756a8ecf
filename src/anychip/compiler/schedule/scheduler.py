"""From tile IR to steps: what is done where, in which nest, over which buffers.

In: a function whose calls are inlined. Out: a `Schedule`. Neighbouring roots of equal shape share
a nest when neither needs the other's finished result; everything else is evaluated on demand
inside the nests.
"""

from __future__ import annotations

from ..analysis.effects import ORDERED, TERMINATORS, ProgramOrder
from ..analysis.exchanges import KEEP
from ..analysis.structure import Structure
from ..analysis.waiting import WaitingLoops
from ..errors import UnsupportedOperation
from ..ir.core import Func, Op, Value
from ..targets.target import Target
from . import arena, control_flow
from .buffers import Buffers
from .carry import rewrite_carried
from .choices import BY_RULES, Choices
from .dots import schedule_dot
from .layout import lay_out
from .nests import NestBuilder
from .networks import rewrite_networks
from .placement import Placement, is_elementwise_region, is_inline_op
from .steps import Buffer, Histogram, PerElement, Reduce, Scalar, Scan, Schedule, Store
from .sweep import SweepFinder, settle


def schedule(func: Func, target: Target, choices: Choices = BY_RULES) -> Schedule:
    """Schedule one kernel for `target`. Raises `UnsupportedOperation` for what it cannot place."""
    rewrite_carried(func.body)
    rewrite_networks(func, target)
    return Scheduler(func, target, choices).run()


class Scheduler:
    """Builds the steps of one function; see `schedule`."""

    def __init__(self, func: Func, target: Target, choices: Choices):
        self.func = func
        self.target = target
        self.choices = choices
        self.waiting = WaitingLoops.of(func)
        self.order = ProgramOrder.of(func.body, self.waiting.loops)
        self.structure = Structure()
        self.placement = Placement(func.body, self.order, self.structure)
        self.buffers = Buffers(self.order, self.placement)
        self.nests = NestBuilder(self.buffers, self.placement)
        self.returns: list[list[Buffer | None]] = []

    def run(self) -> Schedule:
        """The schedule of the whole function."""
        body = control_flow.graph(self, None, self.func.body, [])
        SweepFinder(self.buffers, self.placement, self.order, self.buffers.touch).turn([body])
        lay_out(body, self.structure, self.buffers, self.target, self.choices)
        settle([body], self.target, self.choices)
        size = arena.plan(self.buffers.lifetimes)
        return Schedule(body, self.buffers, size, self.choices.grid == "y", self.waiting)

    def visit(self, op: Op) -> None:
        """Add what `op` needs to the steps: nothing if it is evaluated on demand."""
        handler = _HANDLERS.get(op.name)
        if handler is not None and not (op.name in _MAYBE_INLINE and is_inline_op(op)):
            handler(self, op)
        elif is_inline_op(op):
            for result in op.results:
                if result in self.placement.kept:
                    self.nests.keep(result)
        elif op.name in TERMINATORS:
            return
        else:
            self._scalar(op)

    def _scalar(self, op: Op) -> None:
        """An operation on scalars: it may overtake a waiting nest unless they depend; what is made of
        the nest's totals waits behind it, so that another reduction can still join."""
        tiles = [v for v in op.operands if v.shape]
        if tiles:
            if op.name not in ("tt.unsplat",):
                raise UnsupportedOperation(op, "no rule places this operation on tiles")
            self.nests.flush()
        if self.nests.open is not None:
            late = self.nests.late()
            waits = any(v in late for v in op.operands)
            if op.name in ORDERED or (
                op.name == "tt.load"
                and (waits or any(isinstance(r, Store | PerElement) for r in self.nests.open.roots))
            ):
                self.nests.flush()
            elif waits:
                self.nests.deferred.append(Scalar(op))
                return
        self.nests.steps.append(Scalar(op))

    # --- memory and reductions ---------------------------------------------------------------
    def _store(self, op: Op) -> None:
        if op.operands[0].shape:
            self.nests.add(Store(op), op.operands[0].shape)
        else:
            self._scalar(op)

    def _load(self, op: Op) -> None:
        if not op.results[0].shape:
            self._scalar(op)
        elif op.results[0] in self.placement.kept:
            self.nests.keep(op.results[0])

    def _each(self, op: Op) -> None:
        shapes = [v.shape for v in op.operands if v.shape]
        if not shapes:
            self._scalar(op)
            return
        self.nests.flush()
        body = control_flow.graph(self, op, op.regions[0], []) if op.regions else None
        buffers = [
            self.buffers.new(r) if r.shape and self.placement.sites.get(r) else None for r in op.results
        ]
        self.buffers.here = self.order.position[op]
        self.nests.add(PerElement(op, buffers, body), shapes[0])
        for result, buffer in zip(op.results, buffers, strict=True):
            if buffer is not None:
                self.buffers.place(result, buffer)
        self.nests.flush()

    def _print(self, op: Op) -> None:
        self.nests.flush()
        self._each(op)

    def _reduce(self, op: Op) -> None:
        if not is_elementwise_region(op.regions[0]):
            raise UnsupportedOperation(
                op,
                "the combine function has control flow",
                "write it with tl.where instead of an if statement",
            )
        buffers = [self.buffers.new(r) if r.shape else None for r in op.results]
        self.nests.add(Reduce(op, buffers), op.operands[0].shape)
        for result, buffer in zip(op.results, buffers, strict=True):
            if buffer is not None:
                self.buffers.place(result, buffer)

    def _scan(self, op: Op) -> None:
        if not is_elementwise_region(op.regions[0]):
            raise UnsupportedOperation(
                op,
                "the combine function has control flow",
                "write it with tl.where instead of an if statement",
            )
        sources = [self._source(v) for v in op.operands]
        self.nests.flush()
        results = [self.buffers.new(r) for r in op.results]
        for result, buffer in zip(op.results, results, strict=True):
            buffer.any_order = False
            self.buffers.place(result, buffer)
        self.nests.steps.append(Scan(op, sources, results))

    def _histogram(self, op: Op) -> None:
        source = self._source(op.operands[0])
        mask = self._source(op.operands[1]) if len(op.operands) > 1 else None
        self.nests.flush()
        result = self.buffers.new(op.result)
        self.buffers.place(op.result, result)
        self.nests.steps.append(Histogram(op, source, mask, result))

    def _keep(self, op: Op) -> None:
        """What a network goes on with was made as it came; from here on, any of it may be read."""
        self.nests.flush()
        for value in op.operands:
            self.buffers[value].any_order = False

    def _source(self, value: Value) -> Buffer:
        """The buffer of an operand that a step reads whole."""
        buffer = self.nests.keep(value)
        buffer.any_order = False
        self.buffers.touch(buffer, self.buffers.here)
        return buffer


_MAYBE_INLINE = frozenset({"tt.reduce", "tt.map_elementwise"})
"""Operations that are a step of their own only when they cannot be evaluated on demand."""

_HANDLERS = {
    "tt.store": Scheduler._store,
    "tt.load": Scheduler._load,
    "tt.atomic_rmw": Scheduler._each,
    "tt.atomic_cas": Scheduler._each,
    "tt.print": Scheduler._print,
    "tt.assert": Scheduler._each,
    "tt.map_elementwise": Scheduler._each,
    "tt.map_elementwise.return": control_flow.schedule_return,
    "tt.reduce": Scheduler._reduce,
    "tt.scan": Scheduler._scan,
    "tt.histogram": Scheduler._histogram,
    KEEP: Scheduler._keep,
    "tt.dot": schedule_dot,
    "scf.for": control_flow.schedule_for,
    "scf.if": control_flow.schedule_if,
    "scf.while": control_flow.schedule_while,
    "anychip.region": control_flow.schedule_region,
    "cf.br": control_flow.schedule_jump,
    "cf.cond_br": control_flow.schedule_jump,
    "tt.return": control_flow.schedule_return,
}
