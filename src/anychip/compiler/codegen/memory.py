"""Loads and stores of chunks: user memory, and buffers of the arena.

The shape of the address decides: one address for all lanes is a scalar access, neighbouring
addresses a vector access, constant distances a wider load and a shuffle, anything else a gather.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..ir.core import Op
from ..ir.types import I64 as INT64
from ..ir.types import ElementType, PointerType, element_of
from ..llvm.types import I1, I64, PTR, LLType, Val, mangle
from ..schedule.steps import Buffer
from .linear import Lane, Lin
from .register_types import register_type

if TYPE_CHECKING:
    from .evaluate import Evaluation, Index, Point

WIDEST_SPAN = 4
"""A load with constant distances between lanes may touch this many times as many elements."""
MOST_SHARED = 4
"""Of a masked load, so many lanes may read one element."""


def memory_type(element: ElementType, lanes: int = 1) -> LLType:
    """The LLVM type of `lanes` elements in memory: `i1` is a byte there."""
    type = register_type(element, lanes)
    return LLType("i8", lanes) if type.element == "i1" else type


def _from_memory(ev: Evaluation, val: Val, element: ElementType) -> Val:
    if element.bits != 1:
        return val
    return ev.b.icmp("ne", val, ev.b.int(0, val.type))


def _to_memory(ev: Evaluation, val: Val) -> Val:
    return ev.b.cast("zext", val, "i8") if val.type.element == "i1" else val


# --- the tt.load and tt.store of tiles ------------------------------------------------------------
def load(ev: Evaluation, op: Op, point: Point) -> Val:
    """A `tt.load` for one chunk."""
    pointer = ev.lane(op.operands[0], point)
    element = op.results[0].element
    mask, how = _mask(ev, op, 1, point)
    if mask is not None and mask.ref == "false":
        mask_other = op.operands[2] if len(op.operands) > 2 else None
        return ev.value(mask_other, point) if mask_other else ev.b.null(register_type(element))
    other: Val | None = None
    if mask is not None:
        other = ev.value(op.operands[2], point) if len(op.operands) > 2 else ev.b.null(register_type(element))
    volatile = bool(op.attrs.get("volatile"))
    access = Memory(ev, element, ev.context.user_memory, volatile=volatile)
    value, verdict = access.read(pointer, mask, other)
    ev.context.note(op, "load", verdict, how)
    return value


def store(
    ev: Evaluation, op: Op, point: Point, value: Val, pointer: Lane, mask: Val | None, how: str
) -> None:
    """A `tt.store` for one chunk, its operands evaluated before."""
    element = element_of(op.operands[0].type)
    assert isinstance(element, PointerType)
    access = Memory(ev, element.pointee, ev.context.user_memory)
    verdict = access.write(pointer, value, mask)
    ev.context.note(op, "store", verdict, how)


def store_mask(ev: Evaluation, op: Op, point: Point) -> tuple[Val | None, str]:
    """The mask of a `tt.store` for one chunk (None: all lanes), and how it came out."""
    return _mask(ev, op, 2, point)


def _mask(ev: Evaluation, op: Op, position: int, point: Point) -> tuple[Val | None, str]:
    if len(op.operands) <= position:
        return None, "none"
    value = op.operands[position]
    if ev.is_assumed(value, point):
        return None, "bound"
    mask = ev.value(value, point)
    return (None if mask.ref == "true" else mask), "mask"


# --- buffers and constants ------------------------------------------------------------------------
def read_buffer(ev: Evaluation, buffer: Buffer, element: ElementType, point: Point) -> Val:
    """One chunk of a buffer."""
    kept = _kept_as(ev, element)
    access = Memory(ev, kept, ev.context.arena_memory, overread=True)
    val = access.read(buffer_address(ev, buffer, point), None, None)[0]
    return val if kept is element else ev.b.cast("inttoptr", val, "ptr")


def write_buffer(ev: Evaluation, buffer: Buffer, val: Val, point: Point) -> None:
    """Store one chunk into a buffer."""
    kept = _kept_as(ev, buffer.element)
    access = Memory(ev, kept, ev.context.arena_memory)
    stored = val if kept is buffer.element else ev.b.cast("ptrtoint", val, "i64")
    access.write(buffer_address(ev, buffer, point), stored, None)


def _kept_as(ev: Evaluation, element: ElementType) -> ElementType:
    """What a buffer holds an element as: an address takes 8 bytes there, also where a pointer has 4."""
    is_short = ev.context.target.pointer_bits < INT64.bits
    return INT64 if is_short and isinstance(element, PointerType) else element


def buffer_address(ev: Evaluation, buffer: Buffer, point: Point) -> Lin:
    """The addresses of one chunk of a buffer."""
    return _address(ev, ev.context.buffer_address(buffer), buffer.strides, buffer.element.bytes, point)


def group_address(
    ev: Evaluation, buffer: Buffer, batch: tuple[Index, ...], inner: Index, line: int, last: Index
) -> Val:
    """Where group `line` after the one at `inner` begins, at column `last`, in a grouped buffer."""
    b, size = ev.b, buffer.element.bytes
    columns = buffer.shape[-1]
    address = ev.context.buffer_address(buffer)
    steps = [*(s * size for s in buffer.strides[:-2]), columns * size, buffer.group * size]
    for index, step in zip((*batch, inner, last), steps, strict=True):
        if isinstance(index.base, int):
            address = b.gep(address, index.base * step)
        else:
            address = b.gep(address, b.mul(b.cast("zext", index.base, "i64"), b.int(step, I64)))
    return b.gep(address, line * columns * buffer.group * size)


def _address(ev: Evaluation, base: Val, strides: tuple[int, ...], size: int, point: Point) -> Lin:
    b = ev.b
    parts, offset = [base], 0
    pattern = [0] * ev.lanes
    for index, stride in zip(point, strides, strict=True):
        step = stride * size
        if isinstance(index.base, int):
            offset += index.base * step
        else:
            parts.append(b.mul(b.cast("zext", index.base, "i64"), b.int(step, I64)))
        if index.pattern is not None:
            pattern = [p + q * step for p, q in zip(pattern, index.pattern, strict=True)]
    first = pattern[0]
    return Lin(PTR, tuple(parts), offset + first, tuple(p - first for p in pattern))


def read_constant(ev: Evaluation, op: Op, data: list, point: Point) -> Val:
    """One chunk of a constant tile with different elements."""
    from .elementwise import constant

    element = op.result.element
    texts = [constant(ev.b, item, element, ev.context.target).ref for item in data]
    type = memory_type(element)
    if type.element == "i8" and element.bits == 1:
        texts = [{"true": "1", "false": "0"}.get(t, t) for t in texts]
    name = f"anychip.table.{len(ev.b.module.declarations)}"
    table = ev.b.module.table(name, type, texts)
    shape = op.result.shape
    strides = tuple(_row_major(shape))
    access = Memory(ev, element, "", overread=False)
    return access.read(_address(ev, table, strides, element.bytes, point), None, None)[0]


def _row_major(shape: tuple[int, ...]) -> list[int]:
    strides = [1] * len(shape)
    for axis in reversed(range(len(shape) - 1)):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return strides


def gather_buffer(
    ev: Evaluation, buffer: Buffer, element: ElementType, point: Point, axis: int, index: Val
) -> Val:
    """Elements of a buffer at `point`, with `index` along `axis` (kept inside the axis)."""
    from .evaluate import ZERO

    b = ev.b
    at = (*point[:axis], ZERO, *point[axis + 1 :])
    rest = buffer_address(ev, buffer, at)
    inside = b.and_(index, b.int(buffer.shape[axis] - 1, index.type))
    step = b.int(buffer.strides[axis] * buffer.element.bytes, I64)
    offset = b.mul(b.cast("zext", inside, "i64"), step)
    access = Memory(ev, element, ev.context.arena_memory, overread=True)
    if offset.lanes == 1:
        moved = Lin(rest.type, (*rest.parts, offset), rest.offset, rest.pattern)
        return access.read(moved, None, None)[0]
    return access.gather(b.gep(ev.linear.vector(rest, ev.lanes), offset), None, None)


# --- one access -----------------------------------------------------------------------------------
class Memory:
    """Reads and writes chunks of one element type.

    `meta` is the alias metadata; `overread`: bytes after the last element may be touched.
    """

    def __init__(
        self, ev: Evaluation, element: ElementType, meta: str, overread: bool = False, volatile: bool = False
    ):
        self.ev = ev
        self.b = ev.b
        self.lanes = ev.lanes
        self.element = element
        self.size = element.bytes
        self.meta = meta
        self.overread = overread
        self.volatile = volatile

    # --- reading -----------------------------------------------------------------------------
    def read(self, pointer: Lane, mask: Val | None, other: Val | None) -> tuple[Val, str]:
        """The chunk at `pointer`; lanes whose mask is false are `other`. Also what it became."""
        if isinstance(pointer, Val):
            if pointer.lanes == 1:
                return self._read_one(pointer, mask, other), "broadcast" if self.lanes > 1 else "scalar"
            return self.gather(pointer, mask, other), "gather"
        if pointer.guards:
            return self._read_guarded(pointer, mask, other)
        if pointer.is_uniform:
            return self._read_one(self.ev.linear.base(pointer), mask, other), "broadcast"
        if pointer.terms:
            return self.gather(self.ev.linear.vector(pointer, self.lanes), mask, other), "strided"
        if self._is_contiguous(pointer.pattern):
            return self._read_vector(self.ev.linear.base(pointer), mask, other), "vector"
        spread = self._read_spread(pointer, mask, other)
        if spread is not None:
            return spread, "vector"
        return self.gather(self.ev.linear.vector(pointer, self.lanes), mask, other), "strided"

    def _is_contiguous(self, pattern: tuple[int, ...]) -> bool:
        return all(p == k * self.size for k, p in enumerate(pattern))

    def _load(self, address: Val, lanes: int) -> Val:
        type = memory_type(self.element, lanes)
        loaded = self.b.load(type, address, self.size, self.meta, self.volatile)
        return _from_memory(self.ev, loaded, self.element)

    def _read_one(self, address: Val, mask: Val | None, other: Val | None) -> Val:
        """One element for all lanes."""
        if mask is None:
            return self._load(address, 1)
        assert other is not None
        if mask.lanes == 1:
            lanes = other.lanes
            return self._branch(mask, lambda: self.b.splat(self._load(address, 1), lanes), lambda: other)
        loaded = self._branch(
            self.any(mask), lambda: self._load(address, 1), lambda: self.b.null(register_type(self.element))
        )
        return self.b.select(mask, *self.b.unify(self.b.splat(loaded, self.lanes), other))

    def _read_vector(self, address: Val, mask: Val | None, other: Val | None) -> Val:
        if mask is None:
            return self._load(address, self.lanes)
        assert other is not None
        other = self.b.splat(other, self.lanes)
        if mask.lanes == 1:
            if not self.ev.context.target.masked_memory:
                return self._branch(mask, lambda: self._load(address, self.lanes), lambda: other)
            mask = self.b.splat(mask, self.lanes)
        type = memory_type(self.element, self.lanes)
        passthrough = _to_memory(self.ev, other)
        loaded = self.b.call(
            f"llvm.masked.load.{mangle(type)}.p0",
            type,
            [address, self.b.int(self.size), mask, passthrough],
        )
        return _from_memory(self.ev, loaded, self.element)

    def _read_spread(self, pointer: Lin, mask: Val | None, other: Val | None) -> Val | None:
        """Constant distances: load what lies between and shuffle; None when that is too much."""
        low, high = min(pointer.pattern), max(pointer.pattern)
        if any((p - low) % self.size for p in pointer.pattern):
            return None
        count = (high - low) // self.size + 1
        if count > WIDEST_SPAN * self.lanes or self.volatile:
            return None
        places = [(p - low) // self.size for p in pointer.pattern]
        if mask is not None:
            return self._read_spread_masked(pointer, low, places, mask, other)
        if self.overread and count & (count - 1) and low == 0 and count * self.size <= 64:
            count = 1 << count.bit_length()
        base = self.ev.linear.base(pointer)
        wide = self._load(self.b.gep(base, low) if low else base, count)
        return wide if count == 1 else self.b.shuffle(wide, places)

    def _read_spread_masked(
        self, pointer: Lin, low: int, places: list[int], mask: Val, other: Val | None
    ) -> Val | None:
        """The same where single lanes may be off: an element is loaded if a lane that wants it is on."""
        assert other is not None
        other = self.b.splat(other, self.lanes)
        if mask.lanes == 1:
            return self._branch(mask, lambda: self.read(pointer, None, None)[0], lambda: other)
        most = max(places.count(place) for place in set(places))
        if not self.ev.context.target.masked_memory or most > MOST_SHARED:
            return None
        count = 1 << max(places).bit_length()
        wanted: Val | None = None
        for turn in range(most):
            lanes = [[k for k, p in enumerate(places) if p == at][turn : turn + 1] for at in range(count)]
            chosen = [found[0] if found else self.lanes for found in lanes]
            some = self.b.shuffle(mask, chosen, self.b.splat(self.b.int(0, I1), self.lanes))
            wanted = some if wanted is None else self.b.or_(wanted, some)
        assert wanted is not None
        address = self.b.gep(self.ev.linear.base(pointer), low)
        type = memory_type(self.element, count)
        zeros = self.b.null(type)
        name = f"llvm.masked.load.{mangle(type)}.p0"
        wide = self.b.call(name, type, [address, self.b.int(self.size), wanted, zeros])
        value = self.b.shuffle(_from_memory(self.ev, wide, self.element), places)
        return self.b.select(mask, value, other)

    def gather(self, addresses: Val, mask: Val | None, other: Val | None) -> Val:
        """One load for each lane."""
        type = memory_type(self.element, self.lanes)
        lanes_mask = self.b.splat(mask if mask is not None else Val("true", I1), self.lanes)
        passthrough = Val("poison", type)
        if mask is not None and other is not None:
            passthrough = _to_memory(self.ev, self.b.splat(other, self.lanes))
        loaded = self.b.call(
            f"llvm.masked.gather.{mangle(type)}.v{self.lanes}p0",
            type,
            [addresses, self.b.int(self.size), lanes_mask, passthrough],
        )
        return _from_memory(self.ev, loaded, self.element)

    def _read_guarded(self, pointer: Lin, mask: Val | None, other: Val | None) -> tuple[Val, str]:
        """The linear form where its guards hold, the exact addresses elsewhere."""
        verdicts: list[str] = []
        exact = pointer.exact
        assert exact is not None

        def fast() -> Val:
            value, verdict = self.read(_unguarded(pointer), mask, other)
            verdicts.append(verdict)
            return self.b.splat(value, self.lanes)

        def slow() -> Val:
            return self.b.splat(self.read(exact(), mask, other)[0], self.lanes)

        return self._branch(self._all(pointer.guards), fast, slow), verdicts[0]

    # --- writing -----------------------------------------------------------------------------
    def write(self, pointer: Lane, value: Val, mask: Val | None) -> str:
        """Store the chunk where `mask` is true; returns what it became."""
        if mask is not None and mask.ref == "false":
            return "none"
        if mask is not None and mask.lanes == 1 and self.lanes >= 1:
            verdict: list[str] = []
            self._when(mask, lambda: verdict.append(self.write(pointer, value, None)))
            return verdict[0]
        if isinstance(pointer, Val):
            if pointer.lanes == 1:
                self._write_one(pointer, value, mask)
                return "broadcast" if self.lanes > 1 else "scalar"
            self._scatter(pointer, value, mask)
            return "gather"
        if pointer.guards:
            return self._write_guarded(pointer, value, mask)
        if pointer.is_uniform:
            self._write_one(self.ev.linear.base(pointer), value, mask)
            return "broadcast"
        order = sorted(range(self.lanes), key=lambda k: pointer.pattern[k])
        lowest = pointer.pattern[order[0]]
        if not pointer.terms and self._is_contiguous(tuple(pointer.pattern[k] - lowest for k in order)):
            value = self.b.splat(value, self.lanes)
            if order != list(range(self.lanes)):
                value = self.b.shuffle(value, order)
                mask = self.b.shuffle(mask, order) if mask is not None else None
            self._write_vector(self.b.gep(self.ev.linear.base(pointer), lowest), value, mask)
            return "vector"
        self._scatter(self.ev.linear.vector(pointer, self.lanes), value, mask)
        return "strided"

    def _write_one(self, address: Val, value: Val, mask: Val | None) -> None:
        """All lanes have one address: the last lane that is on wins."""
        if mask is None:
            last = self.b.extract(value, value.lanes - 1)
            self.b.store(_to_memory(self.ev, last), address, self.size, self.meta, self.volatile)
            return
        self._scatter(self.b.splat(address, self.lanes), value, mask)

    def _write_vector(self, address: Val, value: Val, mask: Val | None) -> None:
        stored = _to_memory(self.ev, value)
        if mask is None:
            self.b.store(stored, address, self.size, self.meta, self.volatile)
            return
        if stored.type.element[0] == "i":
            mask = self.b.and_(mask, self.ev.context.truth)
        args = [stored, address, self.b.int(self.size), self.b.splat(mask, self.lanes)]
        self.b.call(f"llvm.masked.store.{mangle(stored.type)}.p0", "void", args)

    def _scatter(self, addresses: Val, value: Val, mask: Val | None) -> None:
        stored = _to_memory(self.ev, self.b.splat(value, self.lanes))
        if self.lanes == 1:
            self.b.store(stored, addresses, self.size, self.meta, self.volatile)
            return
        lanes_mask = self.b.splat(mask if mask is not None else Val("true", I1), self.lanes)
        args = [stored, addresses, self.b.int(self.size), lanes_mask]
        self.b.call(f"llvm.masked.scatter.{mangle(stored.type)}.v{self.lanes}p0", "void", args)

    def _write_guarded(self, pointer: Lin, value: Val, mask: Val | None) -> str:
        verdict: list[str] = []
        exact = pointer.exact
        assert exact is not None
        cond = self._all(pointer.guards)
        fast, slow, done = (self.b.label(n) for n in ("linear", "exact", "written"))
        self.b.cond_br(cond, fast, slow)
        self.b.place(fast)
        verdict.append(self.write(_unguarded(pointer), value, mask))
        self.b.br(done)
        self.b.place(slow)
        self.write(exact(), value, mask)
        self.b.place(done)
        return verdict[0]

    # --- control flow ------------------------------------------------------------------------
    def any(self, mask: Val) -> Val:
        """Whether any lane of a mask is on."""
        return self.b.call(f"llvm.vector.reduce.or.{mangle(mask.type)}", I1, [mask])

    def _all(self, guards: tuple[Val, ...]) -> Val:
        total = guards[0]
        for guard in guards[1:]:
            if guard is not total:
                total = self.b.and_(total, guard)
        return total

    def _when(self, cond: Val, body: Callable[[], object]) -> None:
        then, done = self.b.label("on"), self.b.label("off")
        self.b.cond_br(cond, then, done)
        self.b.place(then)
        body()
        self.b.place(done)

    def _branch(self, cond: Val, then: Callable[[], Val], otherwise: Callable[[], Val]) -> Val:
        """`then()` or `otherwise()`, doing only the one."""
        b = self.b
        yes, no, done = b.label("on"), b.label("off"), b.label("joined")
        b.cond_br(cond, yes, no)
        b.place(yes)
        first = then()
        first_end = b.block
        b.br(done)
        b.place(no)
        second = otherwise()
        if second.lanes != first.lanes:
            second = b.splat(second, first.lanes)
        second_end = b.block
        b.place(done)
        phi = b.phi(first.type)
        phi.add(first, first_end)
        phi.add(second, second_end)
        return phi.val


def _unguarded(pointer: Lin) -> Lin:
    return Lin(pointer.type, pointer.parts, pointer.offset, pointer.pattern, pointer.terms)
