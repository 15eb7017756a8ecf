"""Turns loops over carried tiles inside out, where each element goes its own way through the loop.

`for k: total += load(k)` over a tile would write the whole tile to memory and read it back in every
iteration. Where nothing in the loop mixes elements or writes memory, the loop can run inside the nest
instead: for each few chunks all of it, with their part of the carried tiles in registers. A reduction
of the result that follows joins the nest. In: the scheduler's steps. Out: `Sweep` steps in them.
"""

from __future__ import annotations

from collections.abc import Callable

from ..analysis.effects import ORDERED, ProgramOrder
from ..analysis.structure import identity_point
from ..ir.core import Op, Value
from ..targets.target import Target
from .axes import root_values, walk_inline
from .choices import Choices
from .placement import Placement
from .steps import (
    Buffer,
    For,
    Graph,
    If,
    Nest,
    PackedLoop,
    Reduce,
    RegisterLoop,
    Root,
    Scalar,
    Step,
    Sweep,
    While,
    Write,
)
from .unrolling import REDUCING

FEW_ITERATIONS = 8
"""A tile of more chunks than registers is read in pieces, with a gap between iterations: for more
iterations than this the tile stays in memory, and is read in one piece."""


class SweepFinder:
    """Finds the loops of a schedule that can be turned; `touch(buffer, position)` extends a lifetime."""

    def __init__(
        self,
        buffers: dict[Value, Buffer],
        placement: Placement,
        order: ProgramOrder,
        touch: Callable[[Buffer, int], None],
    ):
        self.buffers = buffers
        self.placement = placement
        self.order = order
        self.touch = touch

    def turn(self, steps: list[Step]) -> list[Step]:
        """The same steps with a `Sweep` in place of each loop that can be turned."""
        done: list[Step] = []
        position = 0
        while position < len(steps):
            step = steps[position]
            position += 1
            sweep = self._sweep(step) if isinstance(step, For) else None
            if sweep is None:
                done.append(self._inside(step))
                continue
            assert isinstance(step, For)
            first = self._starts(done, step)
            sweep.otherwise = [*first, self._inside(step)]
            following = steps[position] if position < len(steps) else None
            if isinstance(following, Nest) and self._follows(sweep.nest, following):
                sweep.otherwise.append(following)
                position += 1
            else:
                following = None
            self._results(sweep.nest, step, following)
            done.append(sweep)
        return done

    def _inside(self, step: Step) -> Step:
        if isinstance(step, For | PackedLoop):
            step.body = self.turn(step.body)
        elif isinstance(step, If):
            step.then, step.otherwise = self.turn(step.then), self.turn(step.otherwise)
        elif isinstance(step, While):
            step.before, step.after = self.turn(step.before), self.turn(step.after)
        elif isinstance(step, Graph):
            step.blocks = [(block, self.turn(inner)) for block, inner in step.blocks]
        return step

    # --- which loops ---------------------------------------------------------------------------
    def _sweep(self, step: For) -> Sweep | None:
        shapes = {b.shape for b in step.carried if b is not None}
        if len(shapes) != 1:
            return None
        domain = shapes.pop()
        inside: list[For] = []
        loop = self._register_loop(step, inside)
        if loop is None or any(b is not None and b.shape != domain for f in inside for b in f.carried):
            return None
        carried = {b for f in inside for b in f.carried if b is not None}
        for each in inside:
            body = each.op.regions[0].entry
            values = [v for v in (*body.terminator.operands, *each.op.operands[3:]) if v.shape]
            if any(v.shape != domain for v in values) or not self._reads_own(values, carried, domain):
                return None
        return Sweep(Nest(domain, [], loop=loop), [])

    def _register_loop(self, step: For, inside: list[For]) -> RegisterLoop | None:
        """The loop without its nests, if these do nothing but assign what loops carry."""
        inside.append(step)
        body: list[Scalar | RegisterLoop] = []
        nests: list[Nest] = []
        for inner in step.body:
            if isinstance(inner, Scalar) and inner.op.name not in ORDERED and not inner.op.regions:
                if any(v.shape for v in inner.op.operands):
                    return None
                body.append(inner)
            elif isinstance(inner, Nest):
                nests.append(inner)
            elif isinstance(inner, For):
                loop = self._register_loop(inner, inside)
                if loop is None:
                    return None
                body.append(loop)
            else:
                return None
        carried = {b for f in inside for b in f.carried if b is not None}
        roots = [root for nest in nests for root in nest.roots]
        if not all(isinstance(r, Write) and r.buffer in carried for r in roots):
            return None
        return RegisterLoop(step.op, body)

    def _reads_own(self, values: list[Value], buffers: set[Buffer], domain: tuple[int, ...]) -> bool:
        """Whether `values` at an index read `buffers` at that index only."""
        own = identity_point(len(domain))
        found = walk_inline(values, len(domain), lambda v: v in self.buffers)
        for value, point, leaf in found:
            if leaf and self.buffers.get(value) in buffers and point != own:
                return False
        return True

    # --- what stands before and after ---------------------------------------------------------
    def _starts(self, done: list[Step], step: For) -> list[Step]:
        """Take the roots that fill the carried buffers out of the nests just done."""
        carried = {b for b in step.carried if b is not None}
        first: list[Step] = []
        while done and isinstance(done[-1], Nest) and done[-1].domain == next(iter(carried)).shape:
            nest = done[-1]
            starts: list[Root] = [r for r in nest.roots if isinstance(r, Write) and r.buffer in carried]
            if not starts:
                break
            first.insert(0, Nest(nest.domain, starts))
            nest.roots = [r for r in nest.roots if r not in starts]
            if nest.roots:
                break
            done.pop()
        return first

    def _follows(self, nest: Nest, following: Nest) -> bool:
        """Whether a nest that reduces what the loop leaves may be part of the swept nest; it is then."""
        assert nest.loop is not None
        if following.domain != nest.domain or following.reduce_axis is None:
            return False
        if not all(isinstance(root, Reduce | Write) for root in following.roots):
            return False
        carried = {self.buffers[r] for r in nest.loop.op.results if r.shape}
        values = [v for root in following.roots for v in root_values(root)]
        if not self._reads_own(values, carried, nest.domain):
            return False
        read = {self.buffers.get(v) for v, _, _ in walk_inline(values, len(nest.domain), self._is_placed)}
        if not carried & read:
            return False
        nest.roots = list(following.roots)
        nest.reduce_axis = following.reduce_axis
        start = self.order.position[nest.loop.op]
        for root in nest.roots:
            for buffer in [root.buffer] if isinstance(root, Write) else root.buffers:  # type: ignore[union-attr]
                if buffer is not None:
                    self.touch(buffer, start)
        return True

    def _is_placed(self, value: Value) -> bool:
        return value in self.buffers

    def _results(self, nest: Nest, step: For, following: Nest | None) -> None:
        """Write the carried tiles that anyone but the nest itself reads."""
        served: set[Op] = set()
        for root in following.roots if following is not None else ():
            if isinstance(root, Reduce):
                served.add(root.op)
            elif isinstance(root, Write) and root.value.defining_op is not None:
                served.add(root.value.defining_op)
        for result, buffer in zip(step.op.results, step.carried, strict=True):
            if buffer is not None and any(
                site.op not in served for site in self.placement.sites.get(result, ())
            ):
                nest.roots.append(Write(result, buffer))


def settle(steps: list[Step], target: Target, choices: Choices) -> list[Step]:
    """Decide, once axes and unrolling are known, which way every sweep goes."""
    done: list[Step] = []
    for step in steps:
        if isinstance(step, Sweep):
            step.otherwise = settle(step.otherwise, target, choices)
            if not step.nest.roots or not _pays(step.nest, choices):
                done += step.otherwise
                continue
            step.limit = None if choices.carried or _fits(step.nest) else FEW_ITERATIONS
            if step.limit is None:
                step.otherwise = []
        elif isinstance(step, For | PackedLoop):
            step.body = settle(step.body, target, choices)
        elif isinstance(step, If):
            step.then = settle(step.then, target, choices)
            step.otherwise = settle(step.otherwise, target, choices)
        elif isinstance(step, While):
            step.before = settle(step.before, target, choices)
            step.after = settle(step.after, target, choices)
        elif isinstance(step, Graph):
            step.blocks = [(block, settle(inner, target, choices)) for block, inner in step.blocks]
        done.append(step)
    return done


def _chunks(nest: Nest) -> int:
    total = 1
    for size, extent in zip(nest.domain, nest.lane_extents, strict=True):
        total *= size // extent
    return total


def _fits(nest: Nest) -> bool:
    """Whether the whole tile is carried in registers at once."""
    return _chunks(nest) <= nest.unroll


def _pays(nest: Nest, choices: Choices) -> bool:
    """Whether the loop goes into the nest: by choice, or because the body has enough independent chunks to
    keep the machine busy."""
    if choices.carried:
        return choices.carried == "registers"
    return nest.unroll >= min(REDUCING, _chunks(nest))
