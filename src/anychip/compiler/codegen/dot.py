"""Matrix products: a register-blocked micro-kernel over packed operands.

A block of `rows` x `columns` vectors of the accumulator stays in registers while the whole inner
dimension passes by; its shape follows from the target's vector registers. Products of floats begin at
zero and are added to what was there at the end: rounding errors grow with the length of one such pass and
with the number of passes, not with the length of the whole inner dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.types import F32, ElementType, ScalarType
from ..llvm.builder import Builder
from ..llvm.types import I64, PTR, LLType, Val
from ..schedule.steps import Buffer, Dot
from ..targets.dot_product import DotProduct
from ..targets.target import Target
from . import casts
from .context import Context
from .dispatch import emits
from .dot_instruction import emit_dot_product
from .register_types import register_type
from .static_loop import loop

UNROLL = 4
"""Steps of the inner dimension done in one iteration."""

TABLE_ENTRY = 8
"""Bytes of an address in a table of rows."""

BIAS = 0x80
"""What the bytes of a left operand that must be unsigned are raised by: their sign is flipped."""


def block_shape(target: Target, rows: int, vectors: int) -> tuple[int, int]:
    """Rows and vectors of the register block for a product of `rows` rows, `vectors` wide.

    Of the blocks that leave registers for operands, the one that multiplies most for each value
    loaded; all sizes are powers of two, as tiles are.
    """
    budget = target.vector_registers - 2 if target.vector_bits else 8
    best, choice = -1.0, (1, 1)
    for height in (1, 2, 4, 8, 16):
        for width in (1, 2, 4):
            if height > rows or width > vectors or height * width + width + 1 > budget:
                continue
            score = height * width / (height + width) + 0.01 * width
            if score > best:
                best, choice = score, (height, width)
    return choice


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows of a left operand are: `moved` bytes on from the addresses in `table` if
    `in_place`, else one after the other from `packed`."""

    table: Val
    moved: Val
    in_place: Val
    packed: Val


@emits(Dot)
def emit_dot(context: Context, step: Dot) -> None:
    """out = c + a @ b, for each matrix of a batch."""
    emit_product(context, step)


def emit_product(
    context: Context, step: Dot, slots: Val | None = None, rows: Rows | None = None, known: Val | None = None
) -> None:
    """One product, with what a loop around it knows. `slots` (i64): how many tiles of the operands lie one
    after the other; one without it. `rows`: where those of the left operand are, if not in its buffer.
    `known` (i1): the right operand was there before, and so are the sums of its columns."""
    DotEmitter(context, step, slots, rows, known).emit()
    context.available.update(step.op.results)


class DotEmitter:
    """Emits one product; see `emit_product`."""

    def __init__(self, context: Context, step: Dot, slots: Val | None, left: Rows | None, known: Val | None):
        self.context = context
        self.b: Builder = context.b
        self.step = step
        *self.batch, self.m, self.n = step.out.shape
        self.k = step.a.shape[-1]
        self.end = None if slots is None else self.b.mul(slots, self.b.int(self.k, I64))
        self.instruction = step.instruction
        self.group = self.instruction.group if self.instruction else 1
        self.element: ScalarType = step.out.element if self.instruction else step.a.element  # type: ignore[assignment]
        self.lanes = min(context.target.lanes(self.element.bits), self.n)
        self.rows, self.columns = block_shape(context.target, self.m, self.n // self.lanes)
        self.type = register_type(self.element, self.lanes)
        self.later = step.out.element.is_float
        """Whether the accumulator is added to the products instead of growing by each of them."""
        self.meta = context.arena_memory
        self.left = left
        self.known = known
        self.flip = self.b.int(BIAS * 0x01010101, LLType("i32", self.lanes))
        self.left_meta = self.meta if left is None else ""

    def emit(self) -> None:
        """Write the product, matrix by matrix where there is a batch."""
        if self.batch:
            loop(self.b, self.batch[0], 1, self._matrix)
        else:
            self._matrix(0)

    def _matrix(self, batch: Val | int) -> None:
        a, b_, out = (self._base(x, batch) for x in (self.step.a, self.step.b, self.step.out))
        start = self._base(self.step.c, batch) if self.step.c is not None else None

        def columns(column: Val | int) -> None:
            b_column, bias = self._b_column(b_, column), []
            if self.instruction is not None and self.instruction.unsigned_left:
                self.flip = self._flip()
                bias = self._bias(self.instruction, b_column, column)

            def block(row: Val | int) -> None:
                accumulators = self._start(None if self.later else start, row, column)
                if bias:
                    accumulators = [self.b.sub(t, bias[k % self.columns]) for k, t in enumerate(accumulators)]
                accumulators = self._inner(self._left_rows(a, row), b_column, accumulators)
                if self.later and start is not None:
                    before = self._start(start, row, column)
                    accumulators = [self.b.fadd(x, y) for x, y in zip(before, accumulators, strict=True)]
                self._finish(out, row, column, accumulators)

            loop(self.b, self.m, self.rows, block)

        loop(self.b, self.n, self.columns * self.lanes, columns)

    def _base(self, buffer: Buffer, batch: Val | int) -> Val:
        address = self.context.buffer_address(buffer)
        if not self.batch:
            return address
        return self._move(address, batch, buffer.strides[0] * buffer.element.bytes)

    def _move(self, address: Val, index: Val | int, bytes: int) -> Val:
        if isinstance(index, int):
            return self.b.gep(address, index * bytes)
        return self.b.gep(address, self.b.mul(self.b.cast("zext", index, "i64"), self.b.int(bytes, I64)))

    def _b_column(self, base: Val, column: Val | int) -> Val:
        if self.instruction is None:
            return self._place(self.step.b, base, 0, column)
        return self._move(base, column, self.group * self.step.b.element.bytes)

    def _place(self, buffer: Buffer, base: Val, row: Val | int, column: Val | int) -> Val:
        *_, along_rows, along_columns = buffer.strides
        size = buffer.element.bytes
        return self._move(self._move(base, row, along_rows * size), column, along_columns * size)

    def _start(self, base: Val | None, row: Val | int, column: Val | int) -> list[Val]:
        count = self.rows * self.columns
        if base is None or self.step.c is None:
            return [self.b.splat(self.b.null(self.type.with_lanes(1)), self.lanes)] * count
        corner = self._place(self.step.c, base, row, column)
        return [
            self._load_c(self.step.c, corner, r, c) for r in range(self.rows) for c in range(self.columns)
        ]

    def _offset(self, buffer: Buffer, row: int, column: int) -> int:
        *_, along_rows, along_columns = buffer.strides
        return (row * along_rows + column * self.lanes * along_columns) * buffer.element.bytes

    def _load_c(self, buffer: Buffer, corner: Val, row: int, column: int) -> Val:
        address = self.b.gep(corner, self._offset(buffer, row, column))
        value = self.b.load(
            register_type(buffer.element, self.lanes), address, buffer.element.bytes, self.meta
        )
        return self._to_compute(value, buffer.element)

    def _to_compute(self, value: Val, element: ElementType) -> Val:
        return casts.widen(self.b, value, element, self.context.target) if element.is_float else value

    def _finish(self, base: Val, row: Val | int, column: Val | int, accumulators: list[Val]) -> None:
        out = self.step.out
        corner = self._place(out, base, row, column)
        for r in range(self.rows):
            for c in range(self.columns):
                value = accumulators[r * self.columns + c]
                if out.element != self.element and self.element == F32:
                    value = casts.narrow(self.b, value, out.element, self.context.target)
                address = self.b.gep(corner, self._offset(out, r, c))
                self.b.store(value, address, out.element.bytes, self.meta)

    def _flip(self) -> Val:
        """The signs of the bytes of a vector, in a way that LLVM sees no splat in: it would flip those of
        the scalars instead, which takes a register more than flipping what is loaded and spread at once."""
        return self.b.load(self.flip.type, self.b.variable(self.flip), 1, volatile=True)

    def _bias(self, instruction: DotProduct, b_column: Val, column: Val | int) -> list[Val]:
        """What raising the left operand by 128 adds to the products of a block's columns."""
        b, buffer = self.b, self.step.bias
        if buffer is None or self.known is None:
            return self._column_sums(instruction, b_column)
        size = buffer.element.bytes
        first = self._move(self.context.buffer_address(buffer), column, size)
        places = [b.gep(first, c * self.lanes * size) for c in range(self.columns)]
        add, known = b.label("add"), b.label("known")
        b.cond_br(self.known, known, add)
        b.place(add)
        for total, place in zip(self._column_sums(instruction, b_column), places, strict=True):
            b.store(total, place, size, self.meta)
        b.place(known)
        return [b.load(self.type, place, size, self.meta) for place in places]

    def _column_sums(self, instruction: DotProduct, b_column: Val) -> list[Val]:
        """128 times the sums of a block's columns."""
        b = self.b
        type = LLType("i8", self.lanes * self.group)
        header, done = b.label("bias"), b.label("biased")
        before = b.block
        b.place(header)
        index = b.phi(I64)
        index.add(b.int(0, I64), before)
        totals = [b.phi(self.type) for _ in range(self.columns)]
        row = b.gep(b_column, b.mul(index.val, b.int(self.n, I64)))
        following = b.add(index.val, b.int(self.group, I64))
        grown = []
        for c, total in enumerate(totals):
            total.add(b.null(self.type), before)
            right = b.load(type, b.gep(row, c * type.lanes), 1, self.meta)
            grown.append(emit_dot_product(b, instruction, total.val, b.int(BIAS, type), right))
            total.add(grown[-1], b.block)
        index.add(following, b.block)
        end = self.end if self.end is not None else b.int(self.k, I64)
        b.cond_br(b.icmp("ult", following, end), header, done)
        b.place(done)
        return grown

    def _inner(self, a_rows: list[Val], b_column: Val, accumulators: list[Val]) -> list[Val]:
        """The loop over the inner dimension, the accumulators in phis."""
        unroll = min(UNROLL * self.group, self.k)
        b = self.b
        if unroll == self.k and self.end is None:
            return self._steps(a_rows, b_column, b.int(0, I64), unroll, accumulators)
        header, done = b.label("inner"), b.label("product")
        before = b.block
        b.place(header)
        index = b.phi(I64)
        index.add(b.int(0, I64), before)
        phis = []
        for value in accumulators:
            phi = b.phi(self.type)
            phi.add(value, before)
            phis.append(phi)
        totals = self._steps(a_rows, b_column, index.val, unroll, [p.val for p in phis])
        following = b.raw(I64, f"add nuw nsw i64 {index.val.ref}, {unroll}")
        index.add(following, b.block)
        for phi, total in zip(phis, totals, strict=True):
            phi.add(total, b.block)
        end = self.end if self.end is not None else b.int(self.k, I64)
        b.cond_br(b.icmp("ult", following, end), header, done)
        b.place(done)
        return totals

    def _left_rows(self, base: Val, row: Val | int) -> list[Val]:
        """The address of each row of a block of the left operand."""
        left, b = self.left, self.b
        stride = self.step.a.strides[-2] * self.step.a.element.bytes
        if left is None:
            first = self._place(self.step.a, base, row, 0)
            return [b.gep(first, r * stride) for r in range(self.rows)]
        entry = self._move(left.table, row, TABLE_ENTRY)
        packed = self._move(left.packed, row, stride)
        found = []
        for r in range(self.rows):
            there = b.gep(b.load(PTR, b.gep(entry, r * TABLE_ENTRY), TABLE_ENTRY, self.meta), left.moved)
            found.append(b.select(left.in_place, there, b.gep(packed, r * stride)))
        return found

    def _steps(
        self, a_rows: list[Val], b_column: Val, index: Val, count: int, totals: list[Val]
    ) -> list[Val]:
        b = self.b
        if self.instruction is not None:
            return self._groups(self.instruction, a_rows, b_column, index, count, totals)
        a_inner = self.step.a.strides[-1]
        *_, b_inner, _ = self.step.b.strides
        size = self.element.bytes
        a_at = [b.gep(row, b.mul(index, b.int(a_inner * size, I64))) for row in a_rows]
        b_at = b.gep(b_column, b.mul(index, b.int(b_inner * size, I64)))
        scalar = self.type.with_lanes(1)
        for step in range(count):
            right = [
                b.load(self.type, b.gep(b_at, (step * b_inner + c * self.lanes) * size), size, self.meta)
                for c in range(self.columns)
            ]
            for r in range(self.rows):
                address = b.gep(a_at[r], step * a_inner * size)
                left = b.splat(b.load(scalar, address, size, self.left_meta), self.lanes)
                for c in range(self.columns):
                    k = r * self.columns + c
                    totals = [*totals[:k], self._multiply_add(left, right[c], totals[k]), *totals[k + 1 :]]
        return totals

    def _groups(
        self, instruction: DotProduct, a_rows: list[Val], b_column: Val, index: Val, count: int,
        totals: list[Val],
    ) -> list[Val]:  # fmt: skip
        """Steps with a dot-product instruction: `group` of the inner dimension at a time."""
        b, group = self.b, self.group
        size = self.step.a.element.bytes
        a_at = [b.gep(row, b.mul(index, b.int(size, I64))) for row in a_rows]
        b_at = b.gep(b_column, b.mul(index, b.int(self.n * size, I64)))
        totals = list(totals)
        wide = LLType("i32", self.lanes)
        for step in range(0, count, group):
            right = [
                b.load(wide, b.gep(b_at, step * self.n * size + c * self.lanes * 4), size, self.meta)
                for c in range(self.columns)
            ]
            for r in range(self.rows):
                address = b.gep(a_at[r], step * size)
                left = b.splat(b.load(LLType("i32"), address, size, self.left_meta), self.lanes)
                if instruction.unsigned_left:
                    left = b.xor(left, self.flip)
                for c in range(self.columns):
                    k = r * self.columns + c
                    totals[k] = emit_dot_product(b, instruction, totals[k], left, right[c])
        return totals

    def _multiply_add(self, x: Val, y: Val, total: Val) -> Val:
        b = self.b
        if not self.element.is_float:
            return b.add(b.mul(x, y), total)
        return b.fma(x, y, total) if self.context.target.fma else b.fadd(b.fmul(x, y), total)
