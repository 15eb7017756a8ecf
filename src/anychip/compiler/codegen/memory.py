"""One access to memory by a chunk of lanes.

The shape of the address decides: one address for all lanes is a scalar access, neighbouring
addresses a vector access, constant distances a wider load and a shuffle, anything else a gather.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir.types import ElementType
from ..llvm.builder import Builder
from ..llvm.types import I1, LLType, Val, mangle
from .context import Context
from .linear import Lane, Lin
from .register_types import register_type

WIDEST_SPAN = 4
"""A load with constant distances between lanes may touch this many times as many elements."""
MOST_SHARED = 4
"""Of a masked load, so many lanes may read one element."""


def memory_type(element: ElementType, lanes: int = 1) -> LLType:
    """The LLVM type of `lanes` elements in memory: `i1` is a byte there."""
    type = register_type(element, lanes)
    return LLType("i8", lanes) if type.element == "i1" else type


def from_memory(b: Builder, val: Val, element: ElementType) -> Val:
    """What was loaded as it is held in a register."""
    if element.bits != 1:
        return val
    return b.icmp("ne", val, b.int(0, val.type))


def to_memory(b: Builder, val: Val) -> Val:
    """A register as it is stored."""
    return b.cast("zext", val, "i8") if val.type.element == "i1" else val


class Memory:
    """Reads and writes chunks of `lanes` elements of one type.

    `meta` is the alias metadata; `overread`: bytes after the last element may be touched.
    """

    def __init__(
        self,
        context: Context,
        lanes: int,
        element: ElementType,
        meta: str,
        *,
        overread: bool = False,
        volatile: bool = False,
    ):
        self.context = context
        self.b = context.b
        self.linear = context.linear
        self.lanes = lanes
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
            return self._read_one(self.linear.base(pointer), mask, other), "broadcast"
        if pointer.terms:
            return self.gather(self.linear.vector(pointer, self.lanes), mask, other), "strided"
        if self._is_contiguous(pointer.pattern):
            return self._read_vector(self.linear.base(pointer), mask, other), "vector"
        spread = self._read_spread(pointer, mask, other)
        if spread is not None:
            return spread, "vector"
        return self.gather(self.linear.vector(pointer, self.lanes), mask, other), "strided"

    def _is_contiguous(self, pattern: tuple[int, ...]) -> bool:
        return all(p == k * self.size for k, p in enumerate(pattern))

    def _load(self, address: Val, lanes: int) -> Val:
        type = memory_type(self.element, lanes)
        loaded = self.b.load(type, address, self.size, self.meta, self.volatile)
        return from_memory(self.b, loaded, self.element)

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
            if not self.context.target.masked_memory:
                return self._branch(mask, lambda: self._load(address, self.lanes), lambda: other)
            mask = self.b.splat(mask, self.lanes)
        type = memory_type(self.element, self.lanes)
        passthrough = to_memory(self.b, other)
        loaded = self.b.call(
            f"llvm.masked.load.{mangle(type)}.p0",
            type,
            [address, self.b.int(self.size), mask, passthrough],
        )
        return from_memory(self.b, loaded, self.element)

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
        base = self.linear.base(pointer)
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
        if not self.context.target.masked_memory or most > MOST_SHARED:
            return None
        count = 1 << max(places).bit_length()
        wanted: Val | None = None
        for turn in range(most):
            lanes = [[k for k, p in enumerate(places) if p == at][turn : turn + 1] for at in range(count)]
            chosen = [found[0] if found else self.lanes for found in lanes]
            some = self.b.shuffle(mask, chosen, self.b.splat(self.b.int(0, I1), self.lanes))
            wanted = some if wanted is None else self.b.or_(wanted, some)
        assert wanted is not None
        address = self.b.gep(self.linear.base(pointer), low)
        type = memory_type(self.element, count)
        zeros = self.b.null(type)
        name = f"llvm.masked.load.{mangle(type)}.p0"
        wide = self.b.call(name, type, [address, self.b.int(self.size), wanted, zeros])
        value = self.b.shuffle(from_memory(self.b, wide, self.element), places)
        return self.b.select(mask, value, other)

    def gather(self, addresses: Val, mask: Val | None, other: Val | None) -> Val:
        """One load for each lane."""
        type = memory_type(self.element, self.lanes)
        lanes_mask = self.b.splat(mask if mask is not None else Val("true", I1), self.lanes)
        passthrough = Val("poison", type)
        if mask is not None and other is not None:
            passthrough = to_memory(self.b, self.b.splat(other, self.lanes))
        loaded = self.b.call(
            f"llvm.masked.gather.{mangle(type)}.v{self.lanes}p0",
            type,
            [addresses, self.b.int(self.size), lanes_mask, passthrough],
        )
        return from_memory(self.b, loaded, self.element)

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
            self._write_one(self.linear.base(pointer), value, mask)
            return "broadcast"
        order = sorted(range(self.lanes), key=lambda k: pointer.pattern[k])
        lowest = pointer.pattern[order[0]]
        if not pointer.terms and self._is_contiguous(tuple(pointer.pattern[k] - lowest for k in order)):
            value = self.b.splat(value, self.lanes)
            if order != list(range(self.lanes)):
                value = self.b.shuffle(value, order)
                mask = self.b.shuffle(mask, order) if mask is not None else None
            self._write_vector(self.b.gep(self.linear.base(pointer), lowest), value, mask)
            return "vector"
        self._scatter(self.linear.vector(pointer, self.lanes), value, mask)
        return "strided"

    def _write_one(self, address: Val, value: Val, mask: Val | None) -> None:
        """All lanes have one address: the last lane that is on wins."""
        if mask is None:
            last = self.b.extract(value, value.lanes - 1)
            self.b.store(to_memory(self.b, last), address, self.size, self.meta, self.volatile)
            return
        self._scatter(self.b.splat(address, self.lanes), value, mask)

    def _write_vector(self, address: Val, value: Val, mask: Val | None) -> None:
        stored = to_memory(self.b, value)
        if mask is None:
            self.b.store(stored, address, self.size, self.meta, self.volatile)
            return
        if stored.type.element[0] == "i":
            mask = self.b.and_(mask, self.context.truth)
        args = [stored, address, self.b.int(self.size), self.b.splat(mask, self.lanes)]
        self.b.call(f"llvm.masked.store.{mangle(stored.type)}.p0", "void", args)

    def _scatter(self, addresses: Val, value: Val, mask: Val | None) -> None:
        stored = to_memory(self.b, self.b.splat(value, self.lanes))
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
        return b.merge([(first_end, [first]), (second_end, [second])])[0]


def _unguarded(pointer: Lin) -> Lin:
    return Lin(pointer.type, pointer.parts, pointer.offset, pointer.pattern, pointer.terms)
