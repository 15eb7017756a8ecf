"""Prefix scans and histograms, from buffers to buffers."""

from __future__ import annotations

from ..schedule.steps import Buffer, Histogram, Scan
from . import memory
from .builder import I32
from .context import Context
from .elementwise import constant
from .evaluate import Evaluation, Index
from .llvm_types import LLType, Val, register_type
from .nests import loop


def emit_scan(context: Context, step: Scan) -> None:
    """A `tt.scan`: along another axis in vectors where there is one, else inside the vector."""
    ScanEmitter(context, step).emit()
    context.available.update(step.op.results)


class ScanEmitter:
    """Emits one scan; see `emit_scan`."""

    def __init__(self, context: Context, step: Scan):
        self.context = context
        self.b = context.b
        self.step = step
        self.shape = step.sources[0].shape
        self.axis: int = step.op.attrs["axis"]
        self.reverse = bool(step.op.attrs.get("reverse"))
        self.elements = [s.element for s in step.sources]
        bits = max(max(e.bits, 8) for e in self.elements)
        native = context.target.lanes(min(bits, 64))
        others = [a for a in range(len(self.shape)) if a != self.axis]
        wide = [a for a in others if self.shape[a] >= native]
        self.across = wide[-1] if wide and native > 1 else None
        self.lanes = native if self.across is not None else min(native, self.shape[self.axis])
        self.outer = [a for a in others if a != self.across]
        self.slots = [
            self.b.alloca(register_type(e, self.lanes if self.across is not None else 1))
            for e in self.elements
        ]

    def emit(self) -> None:
        self._outer(0, {})

    def _outer(self, depth: int, position: dict[int, Val | int]) -> None:
        if depth < len(self.outer):
            axis = self.outer[depth]
            loop(self.b, self.shape[axis], 1, lambda index: self._outer(depth + 1, {**position, axis: index}))
        elif self.across is not None:
            axis = self.across
            loop(self.b, self.shape[axis], self.lanes, lambda index: self._columns({**position, axis: index}))
        else:
            self._row(position)

    def _point(self, position: dict[int, Val | int], vector_axis: int) -> tuple[Index, ...]:
        lanes = tuple(range(self.lanes))
        return tuple(
            Index(position[a], lanes if a == vector_axis and self.lanes > 1 else None, ("axis", a))
            for a in range(len(self.shape))
        )

    def _read(self, ev: Evaluation, point: tuple[Index, ...]) -> list[Val]:
        return [
            self.b.splat(memory.read_buffer(ev, s, e, point), self.lanes)
            for s, e in zip(self.step.sources, self.elements, strict=True)
        ]

    def _write(self, ev: Evaluation, point: tuple[Index, ...], values: list[Val]) -> None:
        for buffer, value in zip(self.step.results, values, strict=True):
            memory.write_buffer(ev, buffer, value, point)

    def _keep(self, values: list[Val]) -> None:
        for slot, value, element in zip(self.slots, values, self.elements, strict=True):
            self.b.store(value, slot, element.bytes)

    def _kept(self, lanes: int) -> list[Val]:
        return [
            self.b.load(register_type(e, lanes), slot, e.bytes)
            for slot, e in zip(self.slots, self.elements, strict=True)
        ]

    def _at(self, index: Val | int, step: int) -> Val | int:
        """The position of scan step `index`: from the end when the scan is reversed."""
        if not self.reverse:
            return index
        last = self.shape[self.axis] - step
        return last - index if isinstance(index, int) else self.b.sub(self.b.int(last), index)

    def _columns(self, position: dict[int, Val | int]) -> None:
        assert self.across is not None
        across = self.across

        def body(index: Val | int, first: bool) -> None:
            ev = Evaluation(self.context, self.lanes)
            point = self._point({**position, self.axis: self._at(index, 1)}, across)
            values = self._read(ev, point)
            if not first:
                values = ev.region(self.step.op.regions[0], [*self._kept(self.lanes), *values])
            self._keep(values)
            self._write(ev, point, values)

        body(0, True)
        loop(self.b, self.shape[self.axis], 1, lambda index: body(index, False), 1)

    def _row(self, position: dict[int, Val | int]) -> None:
        def body(index: Val | int, first: bool) -> None:
            ev = Evaluation(self.context, self.lanes)
            point = self._point({**position, self.axis: self._at(index, self.lanes)}, self.axis)
            values = self._inside(ev, self._turn(self._read(ev, point)))
            if not first:
                carry = [self.b.splat(v, self.lanes) for v in self._kept(1)]
                values = ev.region(self.step.op.regions[0], [*carry, *values])
            values = [self.b.splat(v, self.lanes) for v in values]
            self._keep([self.b.extract(v, self.lanes - 1) for v in values])
            self._write(ev, point, self._turn(values))

        body(0, True)
        loop(self.b, self.shape[self.axis], self.lanes, lambda index: body(index, False), self.lanes)

    def _turn(self, values: list[Val]) -> list[Val]:
        if not self.reverse or self.lanes == 1:
            return values
        return [self.b.shuffle(v, range(self.lanes - 1, -1, -1)) for v in values]

    def _inside(self, ev: Evaluation, values: list[Val]) -> list[Val]:
        """Scan the lanes of one chunk in log2(lanes) steps."""
        distance = 1
        while distance < self.lanes:
            moved = [self.b.shuffle(v, [max(l - distance, 0) for l in range(self.lanes)]) for v in values]
            joined = ev.region(self.step.op.regions[0], [*moved, *values])
            on = self.b.vector(
                ["true" if l >= distance else "false" for l in range(self.lanes)], LLType("i1", self.lanes)
            )
            values = [
                self.b.select(on, self.b.splat(j, self.lanes), v) for j, v in zip(joined, values, strict=True)
            ]
            distance *= 2
        return values


def emit_histogram(context: Context, step: Histogram) -> None:
    """Count each value of the source that is inside the result, one by one."""
    b = context.b
    bins = step.result.shape[0]
    ev = Evaluation(context, 1)

    def at(buffer: Buffer, index: Val | int) -> Val:
        return memory.read_buffer(ev, buffer, buffer.element, (Index(index, None, ("axis", 0)),))

    zero = constant(b, 0, step.result.element, context.target)
    loop(b, bins, 1, lambda i: memory.write_buffer(ev, step.result, zero, (Index(i, None, ("axis", 0)),)))

    def count(index: Val | int) -> None:
        value = at(step.source, index)
        inside = b.icmp("ult", value, b.int(bins, value.type))
        if step.mask is not None:
            inside = b.and_(inside, at(step.mask, index))
        then, done = b.label("count"), b.label("counted")
        b.cond_br(inside, then, done)
        b.place(then)
        bin = b.cast("zext" if value.type.bits < 32 else "trunc", value, I32.element)
        place = (Index(bin, None, ("bin",)),)
        old = memory.read_buffer(ev, step.result, step.result.element, place)
        memory.write_buffer(ev, step.result, b.add(old, b.int(1, old.type)), place)
        b.place(done)

    loop(b, step.source.shape[0], 1, count)
    context.available.update(step.op.results)
