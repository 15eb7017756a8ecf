"""Loops whose matrix products wait: several iterations pack their operands, then each product is done once.

In: a `PackedLoop` (see `schedule.products`). Out: an inner loop over the iterations that fill the
slots of the operands, the products, and around both the loop over what is left. A left operand
whose rows lie in memory as the product wants them is not packed, but read there.
"""

from __future__ import annotations

from ..llvm.builder import Phi
from ..llvm.types import I1, I64, PTR, LLType, Val
from ..schedule.steps import Buffer, Dot, InPlaceOperand, PackedLoop, PackedOnce, Step
from .context import Context
from .dispatch import emit, emits
from .dot import TABLE_ENTRY, Rows, emit_product
from .evaluation import Evaluation
from .masks import MaskBounds
from .nests import NestEmitter
from .point import ZERO, Index
from .register_types import register_type
from .static_loop import loop


@emits(PackedLoop)
def emit_packed_loop(context: Context, step: PackedLoop) -> None:
    """A loop whose products wait for several of its iterations, or whose operands stay packed for the next
    programs."""
    PackedLoopEmitter(context, step).emit()


class PackedLoopEmitter:
    """Emits one loop; see the module."""

    def __init__(self, context: Context, loop: PackedLoop):
        self.context = context
        self.b = context.b
        self.loop = loop
        self.op = loop.op
        self.body = loop.op.regions[0].entry
        self.carried = [a for a in self.body.args[1:] if not a.shape]
        self.panels = {p.nest: PackedOncePanels(context, p, loop.slots) for p in loop.packed_once}
        self.rows = {d.in_place.nest: LeftRows(context, d, d.in_place) for d in loop.products if d.in_place}
        self.packers: dict[Step, LeftRows | PackedOncePanels] = {**self.rows, **self.panels}

    def emit(self) -> None:
        """Write the loop: runs of iterations that pack, each followed by the products of the run."""
        b, scalars, op = self.b, self.context.scalars, self.op
        lower, upper, stride = (scalars[v] for v in op.operands[:3])
        predicate = "ult" if op.attrs.get("unsigned") else "slt"
        for operand in self.packers.values():
            operand.begin()
        header, some, fill, multiply, done = (b.label(n) for n in ("for", "some", "fill", "multiply", "end"))
        before = b.block
        b.place(header)
        counter, past = b.phi(lower.type), b.phi(I64)
        counter.add(lower, before)
        past.add(b.int(0, I64), before)
        outer = self._phis()
        initial = [v for a, v in zip(self.body.args[1:], op.operands[3:], strict=True) if not a.shape]
        self._pass(outer, [scalars[v] for v in initial], before)
        b.cond_br(b.icmp(predicate, counter.val, upper), some, done)
        b.place(some)
        for operand in self.packers.values():
            operand.begin_run(past.val)
        start = b.block
        b.place(fill)
        slot, index = b.phi(I64), b.phi(lower.type)
        slot.add(b.int(0, I64), start)
        index.add(counter.val, start)
        inner = self._phis()
        self._pass(inner, [phi.val for phi in outer], start)
        scalars[self.body.args[0]] = index.val
        scalars.update((a, phi.val) for a, phi in zip(self.carried, inner, strict=True))
        self._iteration(slot.val)
        following, filled = b.add(index.val, stride), b.add(slot.val, b.int(1, I64))
        terminator = self.body.terminator.operands
        passed = [scalars[v] for a, v in zip(self.body.args[1:], terminator, strict=True) if not a.shape]
        slot.add(filled, b.block)
        index.add(following, b.block)
        self._pass(inner, passed, b.block)
        more = b.and_(b.icmp(predicate, following, upper), b.icmp("ult", filled, b.int(self.loop.slots, I64)))
        b.cond_br(more, fill, multiply)
        b.place(multiply)
        slotted = self._set_slots(b.int(0, I64))
        for product in self.loop.products:
            rows = self.rows[product.in_place.nest].rows() if product.in_place else None
            known = [
                panels.was_there(filled)
                for panels in self.panels.values()
                if panels.operand.buffer is product.b
            ]
            emit_product(self.context, product, filled, rows, known[0] if known else None)
        for buffer in slotted:
            self.context.slots.pop(buffer, None)
        counter.add(following, b.block)
        past.add(b.add(past.val, filled), b.block)
        self._pass(outer, passed, b.block)
        b.br(header)
        b.place(done)
        results = [r for r in op.results if not r.shape]
        scalars.update((r, phi.val) for r, phi in zip(results, outer, strict=True))
        self.context.available.update(r for r in op.results if r.shape)

    def _phis(self) -> list[Phi]:
        return [self.b.phi(register_type(a.element)) for a in self.carried]

    def _pass(self, phis: list[Phi], values: list[Val], label: str) -> None:
        for phi, value in zip(phis, values, strict=True):
            phi.add(value, label)

    def _iteration(self, slot: Val) -> None:
        self.context.available.update(a for a in self.body.args[1:] if a.shape)
        self._set_slots(slot)
        for step in self.loop.body:
            operand = self.packers.get(step)
            if operand is None:
                emit(self.context, [step])
            else:
                operand.iteration(slot)

    def _set_slots(self, slot: Val) -> list[Buffer]:
        """Let the packed operands be those of slot `slot` of the run at hand."""
        slots = {buffer: slot for product in self.loop.products for buffer in (product.a, product.b)}
        slots |= {panels.operand.buffer: panels.slot(slot) for panels in self.panels.values()}
        self.context.slots.update(slots)
        return [*slots, *(p.operand.bias for p in self.panels.values() if p.operand.bias is not None)]


class PackedOncePanels:
    """An operand whose tiles are packed only if the program before did not pack the same.

    Tiles are packed in the order of the iterations: it is enough to know how many of them are there.
    """

    def __init__(self, context: Context, operand: PackedOnce, slots: int):
        b = self.b = context.b
        self.context = context
        self.operand = operand
        self.slots = slots
        self.room = b.int(1 if operand.constant else operand.runs * slots, I64)
        self.count = b.variable(b.int(0, I64))
        self.known = [b.variable(b.null(register_type(key.element))) for key in operand.keys]
        self.past = self.there = self.first_slot = b.int(0, I64)

    def begin(self) -> None:
        """Before the loop: compare the scalars with those of the program before."""
        b = self.b
        same = Val("true", I1)
        for key, slot in zip(self.operand.keys, self.known, strict=True):
            value = self.context.scalars[key]
            before = b.load(value.type, slot, 1)
            b.store(value, slot, 1)
            if value.type.is_float:
                bits = f"i{value.type.bits}"
                value, before = b.cast("bitcast", value, bits), b.cast("bitcast", before, bits)
            same = b.and_(same, b.icmp("eq", value, before))
        there = b.load(I64, self.count, 8)
        b.store(b.select(same, there, b.int(0, I64)), self.count, 8)

    def begin_run(self, past: Val) -> None:
        """Before the first iteration of a run, which `past` iterations came before."""
        b = self.b
        self.there = b.load(I64, self.count, 8)
        if self.operand.constant:
            return
        self.past = past
        self.first_slot = b.call("llvm.umin.i64", I64, [past, self.room])
        if self.operand.bias is not None:
            run = b.lshr(self.first_slot, b.int(self.slots.bit_length() - 1, I64))
            self.context.slots[self.operand.bias] = run

    def slot(self, slot: Val) -> Val:
        """Where slot `slot` of the run at hand is in the buffer."""
        return self.first_slot if self.operand.constant else self.b.add(self.first_slot, slot)

    def was_there(self, filled: Val) -> Val:
        """Whether the `filled` tiles of the run were packed before it began."""
        return self.b.icmp("ule", self.b.add(self.past, filled), self.there)

    def iteration(self, slot: Val) -> None:
        """Pack the tile of one iteration, unless it is there."""
        b = self.b
        number = self.past if self.operand.constant else b.add(self.past, slot)
        pack, done = b.label("pack"), b.label("packed")
        count = b.load(I64, self.count, 8)
        b.cond_br(b.icmp("ult", number, count), done, pack)
        b.place(pack)
        NestEmitter(self.context, self.operand.nest).emit()
        following = b.add(number, b.int(1, I64))
        b.store(b.select(b.icmp("ule", following, self.room), following, count), self.count, 8)
        b.place(done)


class LeftRows:
    """Where the rows of a left operand are: in the user's memory as long as whole tiles of it are
    loaded, else packed.

    The addresses of the rows are found once, in the first iteration. A tile with a masked element makes the
    run of iterations at hand use packed rows: what the run has loaded so far is copied.
    """

    def __init__(self, context: Context, product: Dot, operand: InPlaceOperand):
        self.context = context
        self.b = context.b
        self.buffer = product.a
        self.operand = operand
        self.tile_bytes = self.buffer.shape[-1] * self.buffer.element.bytes
        self.past = self.b.int(0, I64)
        self.unknown = self.b.alloca(I1)
        self.in_place = self.b.alloca(I1)

    def begin(self) -> None:
        """Before the loop."""
        self._set(self.unknown, True)

    def begin_run(self, past: Val) -> None:
        """Before the first iteration of a run, which `past` iterations came before."""
        self._set(self.in_place, True)
        self.past = past

    def rows(self) -> Rows:
        """The rows of the run."""
        moved = self.b.mul(self.past, self.b.int(self.tile_bytes, I64))
        in_place = self.b.load(I1, self.in_place, 1)
        packed = self.context.buffer_start(self.buffer)
        table = self.context.buffer_address(self.operand.table)
        return Rows(table, moved, in_place, packed)

    def iteration(self, slot: Val) -> None:
        """Pack the tile of one iteration, unless it need not be."""
        b = self.b
        whole = self._is_whole()
        if whole is None:
            self._set(self.in_place, False)
            NestEmitter(self.context, self.operand.nest).emit()
            return
        self.context.note(self.operand.load, "load", "in place", "bound")
        first, known = b.label("first"), b.label("known")
        b.cond_br(b.load(I1, self.unknown, 1), first, known)
        b.place(first)
        self._find_rows()
        self._set(self.unknown, False)
        b.place(known)
        so_far = b.load(I1, self.in_place, 1)
        pack, copy, fill, done = (b.label(n) for n in ("pack", "copy", "fill", "packed"))
        b.cond_br(b.and_(so_far, whole), done, pack)
        b.place(pack)
        b.cond_br(so_far, copy, fill)
        b.place(copy)
        self._set(self.in_place, False)
        self._copy(slot)
        b.place(fill)
        NestEmitter(self.context, self.operand.nest).emit()
        b.place(done)

    def _set(self, flag: Val, value: bool) -> None:
        self.b.store(self.b.int(int(value), I1), flag, 1)

    def _is_whole(self) -> Val | None:
        """Whether no element of the tile is masked; None when only looking at each can tell.

        A linear index is smallest and largest at corners of the tile.
        """
        op = self.operand.load
        if len(op.operands) < 2:
            return Val("true", I1)
        rows, columns = self.buffer.shape
        corners = (0, rows - 1, 0, rows - 1), (0, 0, columns - 1, columns - 1)
        bounds = MaskBounds(Evaluation(self.context, 4))
        point = tuple(Index(0, pattern, ("axis", a)) for a, pattern in enumerate(corners))
        bounds.collect([(op.result, point)], [])
        if (op.operands[1], tuple(i.tag for i in point)) not in bounds.assumed:
            return None
        return bounds.condition or Val("true", I1)

    def _find_rows(self) -> None:
        """Fill the table with the addresses of the rows."""
        b = self.b

        def row(number: Val | int) -> None:
            point = (Index(number, None, "row"), ZERO)
            address = Evaluation(self.context, 1).value(self.operand.load.operands[0], point)
            b.store(address, self._entry(number), TABLE_ENTRY, self.context.arena_memory)

        loop(b, self.buffer.shape[0], 1, row)

    def _copy(self, slot: Val) -> None:
        """Copy what the iterations before `slot` loaded into the packed rows."""
        b, type = self.b, LLType("i8", min(self.tile_bytes, max(8, self.context.target.vector_bits // 8)))
        end = b.mul(slot, b.int(self.tile_bytes, I64))
        moved = b.mul(self.past, b.int(self.tile_bytes, I64))
        stride = self.buffer.strides[0] * self.buffer.element.bytes
        packed = self.context.buffer_start(self.buffer)

        def row(number: Val | int) -> None:
            source = b.gep(b.load(PTR, self._entry(number), TABLE_ENTRY, self.context.arena_memory), moved)
            index = b.int(number) if isinstance(number, int) else number
            target = b.gep(packed, b.mul(b.cast("zext", index, "i64"), b.int(stride, I64)))
            header, move, done = b.label("copied"), b.label("move"), b.label("row")
            before = b.block
            b.place(header)
            at = b.phi(I64)
            at.add(b.int(0, I64), before)
            b.cond_br(b.icmp("ult", at.val, end), move, done)
            b.place(move)
            piece = b.load(type, b.gep(source, at.val), 1, self.context.user_memory)
            b.store(piece, b.gep(target, at.val), 1, self.context.arena_memory)
            at.add(b.add(at.val, b.int(type.lanes, I64)), b.block)
            b.br(header)
            b.place(done)

        loop(b, self.buffer.shape[0], 1, row)

    def _entry(self, number: Val | int) -> Val:
        b, table = self.b, self.context.buffer_address(self.operand.table)
        if isinstance(number, int):
            return b.gep(table, number * TABLE_ENTRY)
        return b.gep(table, b.mul(b.cast("zext", number, "i64"), b.int(TABLE_ENTRY, I64)))
