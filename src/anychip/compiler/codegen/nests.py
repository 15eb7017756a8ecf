"""Loop nests: loops over the domain of a nest, and its roots evaluated chunk by chunk.

The body handles a few chunks at a time (`unroll`). Where the masks of these are known to be all
true, it runs in a form without masks; otherwise in the general form.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir.core import Op, Value
from ..llvm.builder import Builder
from ..llvm.types import LLType, Val
from ..schedule.axes import root_values
from ..schedule.steps import Nest, PerElement, Reduce, Store, Write
from ..schedule.unrolling import REDUCING
from . import accesses, casts, per_element
from .buffers import group_address, write_buffer
from .context import Context
from .dispatch import emits
from .evaluation import Evaluation
from .linear import Lin
from .masks import MaskBounds
from .point import Index, Point
from .reduce import Accumulators
from .static_loop import loop


@emits(Nest)
def emit_nest(context: Context, step: Nest) -> None:
    """Emit the loops, the body and what follows a reduction; mark the results available."""
    NestEmitter(context, step).emit()


class NestEmitter:
    """Emits one nest."""

    def __init__(self, context: Context, nest: Nest):
        self.context = context
        self.b = context.b
        self.nest = nest
        self.patterns = lane_patterns(nest)
        self.reduces = [r for r in nest.roots if isinstance(r, Reduce)]
        self.column = bool(self.reduces) and nest.reduce_axis != nest.vector_axis
        self.unroll = nest.unroll
        self.unroll_axis = nest.vector_axis
        self.group = max((r.buffer.group for r in nest.roots if isinstance(r, Write)), default=1)
        if nest.transposed_axis is not None:
            self.unroll_axis, self.unroll = nest.transposed_axis, nest.lanes // self.group
        elif self.group > 1:
            self.unroll_axis, self.unroll = len(nest.domain) - 2, self.group
        parts = self.unroll if self.column else min(self.unroll, REDUCING)
        self.accumulators = [Accumulators(context, r, nest.lanes, parts) for r in self.reduces]

    def emit(self) -> None:
        """Emit the loops, the body and what follows a reduction; mark the results available."""
        self._axis(0, {})
        for root in self.nest.roots:
            if isinstance(root, Write):
                if self.context.buffers.get(root.value) is root.buffer:
                    self.context.available.add(root.value)
            elif isinstance(root, Reduce | PerElement):
                self.context.filled(root.op.results, root.buffers)

    def _step(self, axis: int) -> int:
        extent = self.nest.lane_extents[axis]
        return extent * self.unroll if axis == self.unroll_axis else extent

    def _axis(self, depth: int, position: dict[int, Val | int]) -> None:
        nest = self.nest
        if depth == len(nest.axes):
            self._iteration(position, first=False)
            return
        axis = nest.axes[depth]

        def body(index: Val | int) -> None:
            self._axis(depth + 1, {**position, axis: index})

        if self.reduces and axis == nest.reduce_axis:
            self._reduction(axis, position)
        else:
            loop(self.b, nest.domain[axis], self._step(axis), body)

    def _reduction(self, axis: int, position: dict[int, Val | int]) -> None:
        """The loop over the reduced axis, which is always the innermost."""
        step = self._step(axis)
        start = 0
        for accumulator in self.accumulators:
            accumulator.begin()
        if not all(a.has_identity for a in self.accumulators):
            self._iteration({**position, axis: 0}, first=True)
            start = step
        loop(
            self.b,
            self.nest.domain[axis],
            step,
            lambda index: self._iteration({**position, axis: index}, first=False),
            start,
        )
        self._finish(position)

    # --- the body ----------------------------------------------------------------------------
    def _index(self, axis: int, base: Val | int, chunk: int, wide: int = 1) -> Index:
        """The index along `axis` of chunk `chunk` of the body, or of `wide` chunks together."""
        pattern = self.patterns[axis]
        if axis == self.unroll_axis:
            extent = self.nest.lane_extents[axis]
            pattern = tuple(p + extent * (chunk + k) for k in range(wide) for p in pattern)
        else:
            pattern = pattern * wide
        return Index(base, pattern if any(pattern) else None, ("axis", axis))

    def _points(self, position: dict[int, Val | int]) -> list[Point]:
        """The point of each chunk of the body; axes that do not differ share their index."""
        rank = len(self.nest.domain)
        shared = {a: self._index(a, position[a], 0) for a in range(rank) if a != self.unroll_axis}
        return [
            tuple(shared[a] if a in shared else self._index(a, position[a], chunk) for a in range(rank))
            for chunk in range(self.unroll)
        ]

    def _iteration(self, position: dict[int, Val | int], first: bool) -> None:
        bounds = None if first else self._bounds(position)
        condition = bounds.condition if bounds is not None else None
        points = self._points(position)
        if bounds is None or condition is None:
            self._body(points, first, frozenset(bounds.assumed) if bounds is not None else frozenset())
            return
        fast, general, done = (self.b.label(n) for n in ("whole", "masked", "chunked"))
        self.b.cond_br(condition, fast, general)
        self.b.place(fast)
        self._body(points, first, frozenset(bounds.assumed))
        self.b.br(done)
        self.b.place(general)
        stored = bounds.anything_stored if all(isinstance(r, Store) for r in self.nest.roots) else None
        if stored is not None:
            some = self.b.label("some")
            self.b.cond_br(stored, some, done)
            self.b.place(some)
        self._body(points, first, frozenset())
        self.b.place(done)

    def _bounds(self, position: dict[int, Val | int]) -> MaskBounds:
        values = [v for root in self.nest.roots for v in root_values(root)]
        return self._bounds_of(position, values, [r.op for r in self.nest.roots if isinstance(r, Store)])

    def _bounds_of(self, position: dict[int, Val | int], values: list[Value], stores: list[Op]) -> MaskBounds:
        """When is every mask true under which `values` are loaded and `stores` are done?"""
        rank = len(self.nest.domain)
        wide = Evaluation(self.context, self.nest.lanes * self.unroll)
        point = tuple(self._index(a, position[a], 0, self.unroll) for a in range(rank))
        bounds = MaskBounds(wide)
        bounds.collect([(v, point) for v in values], [(op, point) for op in stores])
        return bounds

    def _evaluation(self, points: list[Point], assumed: frozenset) -> Evaluation:
        """Where the values of the body are computed."""
        return Evaluation(self.context, self.nest.lanes, assumed)

    def _body(self, points: list[Point], first: bool, assumed: frozenset) -> None:
        ev = self._evaluation(points, assumed)
        if self.nest.ahead is not None:
            self._prefetch(ev, points, *self.nest.ahead)
        if self.group > 1:
            self._grouped(ev, points)
            return
        if self.nest.transposed_axis is not None:
            self._turned(ev, points)
            return
        for chunk, point in enumerate(points):
            commits: list[Callable[[], None]] = []
            reduces = iter(self.accumulators)
            for root in self.nest.roots:
                if isinstance(root, Store):
                    commits.append(self._store(ev, root, point))
                elif isinstance(root, Write):
                    commits.append(self._write(ev, root, point))
                elif isinstance(root, PerElement):
                    commits.append(per_element.element(ev, root, point))
                else:
                    values = [ev.vector(v, point) for v in root.op.operands]
                    next(reduces).add(chunk, values, first)
            for commit in commits:
                commit()

    def _prefetch(self, ev: Evaluation, points: list[Point], axis: int, distance: int) -> None:
        """Fetch into the cache what the roots will load `distance` further along `axis`."""
        for root in self.nest.roots:
            load = loaded(root.value) if isinstance(root, Write) else None
            if load is None:
                continue
            for point in points:
                base = point[axis].base
                moved = base + distance if isinstance(base, int) else self.b.add(base, self.b.int(distance))
                at = (*point[:axis], Index(moved, point[axis].pattern, ("ahead", axis)), *point[axis + 1 :])
                pointer = ev.lane(load.operands[0], at)
                if isinstance(pointer, Lin):
                    args = [ev.linear.base(pointer), *map(self.b.int, (0, 3, 1))]
                    self.b.call("llvm.prefetch.p0", "void", args)

    def _store(self, ev: Evaluation, root: Store, point: Point) -> Callable[[], None]:
        pointer = ev.lane(root.op.operands[0], point)
        value = ev.value(root.op.operands[1], point)
        mask, how = accesses.store_mask(ev, root.op, point)
        return lambda: accesses.store_chunk(ev, root.op, point, value, pointer, mask, how)

    def _turned(self, ev: Evaluation, points: list[Point]) -> None:
        """A square block: its rows are evaluated along the vector axis and written across it, after
        the blocks of all roots, which may read what the others overwrite."""
        nest, axis = self.nest, self.nest.transposed_axis
        assert axis is not None
        lanes = tuple(range(nest.lanes))
        blocks = [
            [self.b.splat(self._converted(ev, root, point), nest.lanes) for point in points]
            for root in nest.roots
            if isinstance(root, Write)
        ]
        for root, rows in zip(nest.roots, blocks, strict=True):
            assert isinstance(root, Write)
            for k, column in enumerate(transpose(self.b, rows)):
                at = list(points[0])
                down = at[nest.vector_axis]
                at[axis] = Index(at[axis].base, lanes, ("turned", axis))
                at[nest.vector_axis] = Index(down.base, (k,) * nest.lanes, ("turned", k))
                write_buffer(self.context, nest.lanes, root.buffer, column, tuple(at))

    def _grouped(self, ev: Evaluation, points: list[Point]) -> None:
        """Pack the right operand of a dot product: neighbours along the inner dimension together."""
        nest, group = self.nest, self.group
        *batch, inner, last = points[0]
        for root in nest.roots:
            assert isinstance(root, Write)
            rows = [self.b.splat(self._converted(ev, root, point), nest.lanes) for point in points]
            if nest.transposed_axis is None:
                lines = [interleave(self.b, rows)]
            else:
                wide = f"i{root.buffer.element.bits * group}"
                block = [
                    self.b.raw(LLType(wide, len(rows)), f"bitcast {r} to <{len(rows)} x {wide}>")
                    for r in rows
                ]
                lines = transpose(self.b, block)
            for k, line in enumerate(lines):
                address = group_address(self.context, root.buffer, tuple(batch), inner, k, last)
                self.b.store(line, address, root.buffer.element.bytes, self.context.arena_memory)

    def _write(self, ev: Evaluation, root: Write, point: Point) -> Callable[[], None]:
        value = self._converted(ev, root, point)
        return lambda: write_buffer(self.context, self.nest.lanes, root.buffer, value, point)

    def _converted(self, ev: Evaluation, root: Write, point: Point) -> Val:
        """The value of a root in the element type of its buffer."""
        value = ev.value(root.value, point)
        element = root.value.element
        if root.buffer.element != element:
            target = self.context.target
            if element.is_float:
                value = casts.float_to_float(self.b, value, element, root.buffer.element, target)
            else:
                value = casts.int_to_int(self.b, value, element, root.buffer.element, True, target)
        return value

    # --- after a reduction -------------------------------------------------------------------
    def _finish(self, position: dict[int, Val | int]) -> None:
        nest = self.nest
        for root, accumulator in zip(self.reduces, self.accumulators, strict=True):
            if not self.column:
                totals = accumulator.across_lanes()
                outer = tuple(
                    Index(position[a], None, ("axis", a))
                    for a in range(len(nest.domain))
                    if a != nest.reduce_axis
                )
                self._results(root, totals, outer, 1)
                continue
            for chunk in range(self.unroll):
                point = tuple(
                    self._index(a, position[a], chunk)
                    for a in range(len(nest.domain))
                    if a != nest.reduce_axis
                )
                self._results(root, accumulator.values(chunk), point, nest.lanes)

    def _results(self, root: Reduce, totals: list[Val], point: Point, lanes: int) -> None:
        for result, buffer, total in zip(root.op.results, root.buffers, totals, strict=True):
            if buffer is None:
                self.context.scalars[result] = total
            else:
                write_buffer(self.context, lanes, buffer, total, point)


def loaded(value: Value) -> Op | None:
    """The load of which `value` is each element, converted or as it is."""
    op = value.defining_op
    while op is not None and op.name in ("arith.extf", "tt.fp_to_fp", "arith.extsi"):
        op = op.operands[0].defining_op
    return op if op is not None and op.name == "tt.load" else None


def interleave(b: Builder, rows: list[Val]) -> Val:
    """Lane k of each row, then lane k+1 of each: two or four rows as one vector."""
    while len(rows) > 1:
        half = len(rows) // 2
        n = rows[0].lanes
        order = [side * n + k for k in range(n) for side in (0, 1)]
        rows = [b.shuffle(rows[k], order, rows[k + half]) for k in range(half)]
    return rows[0]


def transpose(b: Builder, rows: list[Val]) -> list[Val]:
    """Transpose a square block held as one vector a row, in log2(rows) steps of shuffles.

    Each step swaps the off-diagonal halves of all blocks of its size.
    """
    n = len(rows)
    half = n // 2
    while half:
        upper = [k if k & half == 0 else k - half + n for k in range(n)]
        lower = [k + half if k & half == 0 else k + n for k in range(n)]
        swapped = list(rows)
        for k in range(n):
            if k & half == 0:
                swapped[k] = b.shuffle(rows[k], upper, rows[k + half])
                swapped[k + half] = b.shuffle(rows[k], lower, rows[k + half])
        rows = swapped
        half //= 2
    return rows


def lane_patterns(nest: Nest) -> dict[int, tuple[int, ...]]:
    """For each axis, the offset of each lane of a chunk: the vector axis runs fastest."""
    rank = len(nest.domain)
    order = [nest.vector_axis, *(a for a in reversed(range(rank)) if a != nest.vector_axis)]
    patterns: dict[int, tuple[int, ...]] = {}
    inner = 1
    for axis in order[:rank]:
        extent = nest.lane_extents[axis]
        patterns[axis] = tuple(lane // inner % extent for lane in range(nest.lanes))
        inner *= extent
    return patterns
