"""Prefix scans and histograms, from buffers to buffers."""

from __future__ import annotations

from ..llvm.types import I32, I64, LLType, Val
from ..schedule.steps import Histogram, Scan
from .buffers import read_buffer, write_buffer
from .context import Context
from .dispatch import emits
from .point import Index, Point
from .regions import apply_region
from .register_types import register_type
from .static_loop import loop


@emits(Scan)
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
        """Write the scan, one line along its axis after the other."""
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

    def _point(self, position: dict[int, Val | int], vector_axis: int) -> Point:
        lanes = tuple(range(self.lanes))
        return tuple(
            Index(position[a], lanes if a == vector_axis and self.lanes > 1 else None, ("axis", a))
            for a in range(len(self.shape))
        )

    def _read(self, point: Point) -> list[Val]:
        return [
            self.b.splat(read_buffer(self.context, self.lanes, s, e, point), self.lanes)
            for s, e in zip(self.step.sources, self.elements, strict=True)
        ]

    def _write(self, point: Point, values: list[Val]) -> None:
        for buffer, value in zip(self.step.results, values, strict=True):
            write_buffer(self.context, self.lanes, buffer, value, point)

    def _keep(self, values: list[Val]) -> None:
        for slot, value, element in zip(self.slots, values, self.elements, strict=True):
            self.b.store(value, slot, element.bytes)

    def _kept(self, lanes: int) -> list[Val]:
        return [
            self.b.load(register_type(e, lanes), slot, e.bytes)
            for slot, e in zip(self.slots, self.elements, strict=True)
        ]

    def _combined(self, left: list[Val], right: list[Val]) -> list[Val]:
        """The two sides, lane by lane, by the scan's own operation."""
        return apply_region(self.context, self.step.op.regions[0], [*left, *right])

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
            point = self._point({**position, self.axis: self._at(index, 1)}, across)
            values = self._read(point)
            if not first:
                values = self._combined(self._kept(self.lanes), values)
            self._keep(values)
            self._write(point, values)

        body(0, True)
        loop(self.b, self.shape[self.axis], 1, lambda index: body(index, False), 1)

    def _row(self, position: dict[int, Val | int]) -> None:
        def body(index: Val | int, first: bool) -> None:
            point = self._point({**position, self.axis: self._at(index, self.lanes)}, self.axis)
            values = self._inside(self._turn(self._read(point)))
            if not first:
                carry = [self.b.splat(v, self.lanes) for v in self._kept(1)]
                values = self._combined(carry, values)
            values = [self.b.splat(v, self.lanes) for v in values]
            self._keep([self.b.extract(v, self.lanes - 1) for v in values])
            self._write(point, self._turn(values))

        body(0, True)
        loop(self.b, self.shape[self.axis], self.lanes, lambda index: body(index, False), self.lanes)

    def _turn(self, values: list[Val]) -> list[Val]:
        if not self.reverse or self.lanes == 1:
            return values
        return [self.b.shuffle(v, range(self.lanes - 1, -1, -1)) for v in values]

    def _inside(self, values: list[Val]) -> list[Val]:
        """Scan the lanes of one chunk in log2(lanes) steps."""
        distance = 1
        while distance < self.lanes:
            moved = [self.b.shuffle(v, [max(l - distance, 0) for l in range(self.lanes)]) for v in values]
            joined = self._combined(moved, values)
            on = self.b.vector(
                ["true" if l >= distance else "false" for l in range(self.lanes)], LLType("i1", self.lanes)
            )
            values = [
                self.b.select(on, self.b.splat(j, self.lanes), v) for j, v in zip(joined, values, strict=True)
            ]
            distance *= 2
        return values


TABLES = 4
"""Tables that neighbouring values of a histogram are counted in: an increment reads what the one before
it wrote only when both are in the same table."""

STACK_BINS = 1024
"""Bins up to which these tables are used; they are on the stack."""


@emits(Histogram)
def emit_histogram(context: Context, step: Histogram) -> None:
    """Count each value of the source that is inside the result."""
    HistogramEmitter(context, step).emit()
    context.available.update(step.op.results)


class HistogramEmitter:
    """Emits one histogram; see `emit_histogram`."""

    def __init__(self, context: Context, step: Histogram):
        self.context = context
        self.b = context.b
        self.step = step
        self.size = step.source.shape[0]
        self.bins = step.result.shape[0]
        self.lanes = min(context.target.lanes(step.result.element.bits), self.bins)
        self.type = register_type(step.result.element, self.lanes)
        self.bytes = step.result.element.bytes

    def emit(self) -> None:
        """Write the histogram: with a table of counts for each lane where that is small enough, else one
        element after the other."""
        lanes = min(self.context.target.lanes(self.step.source.element.bits), self.size)
        if self.bins > STACK_BINS or lanes < TABLES or self.size < 4 * lanes:
            loop(self.b, self.bins, self.lanes, lambda index: self._write(index, self.b.int(0, self.type)))
            loop(self.b, self.size, 1, self._count_one)
            return
        slots = register_type(self.step.result.element, self.bins + self.lanes)
        tables = [self.b.alloca(slots, 64) for _ in range(TABLES)]
        chunk = self.b.alloca(LLType("i32", lanes), 64)
        loop(self.b, self.bins, self.lanes, lambda index: self._clear(tables, index))
        loop(self.b, self.size, lanes, lambda index: self._count_chunk(tables, chunk, index, lanes))
        loop(self.b, self.bins, self.lanes, lambda index: self._write(index, self._total(tables, index)))

    def _place(self, index: Val | int, lanes: int) -> Point:
        return (Index(index, tuple(range(lanes)) if lanes > 1 else None, ("axis", 0)),)

    def _address(self, table: Val, index: Val | int) -> Val:
        if isinstance(index, int):
            return self.b.gep(table, index * self.bytes)
        return self.b.gep(table, self.b.mul(self.b.cast("zext", index, "i64"), self.b.int(self.bytes, I64)))

    def _write(self, index: Val | int, value: Val) -> None:
        write_buffer(self.context, self.lanes, self.step.result, value, self._place(index, self.lanes))

    def _clear(self, tables: list[Val], index: Val | int) -> None:
        for table in tables:
            self.b.store(self.b.int(0, self.type), self._address(table, index), self.bytes)

    def _total(self, tables: list[Val], index: Val | int) -> Val:
        parts = [self.b.load(self.type, self._address(table, index), self.bytes) for table in tables]
        total = parts[0]
        for part in parts[1:]:
            total = self.b.add(total, part)
        return total

    def _values(self, index: Val | int, lanes: int) -> tuple[Val, Val]:
        """Values of the source, and which of them are counted."""
        source, place = self.step.source, self._place(index, lanes)
        value = self.b.splat(read_buffer(self.context, lanes, source, source.element, place), lanes)
        inside = self.b.icmp("ult", value, self.b.int(self.bins, value.type))
        if self.step.mask is not None:
            mask = read_buffer(self.context, lanes, self.step.mask, self.step.mask.element, place)
            inside = self.b.and_(inside, self.b.splat(mask, lanes))
        return value, inside

    def _count_chunk(self, tables: list[Val], chunk: Val, index: Val | int, lanes: int) -> None:
        """The values of a chunk, in turn in each table; what is outside goes to a slot after the bins."""
        b = self.b
        value, inside = self._values(index, lanes)
        narrow = b.cast("zext" if value.type.bits < 32 else "trunc", value, I32.element)
        b.store(b.select(inside, narrow, b.int(self.bins, narrow.type)), chunk, 4)
        for lane in range(lanes):
            bin = b.load(I32, b.gep(chunk, lane * 4), 4)
            address = self._address(tables[lane % TABLES], bin)
            count = b.load(self.type.with_lanes(1), address, self.bytes)
            b.store(b.add(count, b.int(1, count.type)), address, self.bytes)

    def _count_one(self, index: Val | int) -> None:
        """One value, in the result itself; what is outside adds nothing to the first bin."""
        b, result = self.b, self.step.result
        value, inside = self._values(index, 1)
        bin = b.cast("zext" if value.type.bits < 32 else "trunc", value, I32.element)
        place = (Index(b.select(inside, bin, b.int(0)), None, ("bin",)),)
        old = read_buffer(self.context, 1, result, result.element, place)
        write_buffer(self.context, 1, result, b.add(old, b.cast("zext", inside, old.type.element)), place)
