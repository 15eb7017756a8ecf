"""Lane values that are still known as arithmetic: `base + pattern`, one base for a whole chunk.

Evaluating an index or an address for a chunk of lanes gives a `Lin` as long as the lanes differ
by constants or by constants times a scalar; a memory access then sees whether it is contiguous.
Only when a real vector is needed is one made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..llvm.builder import Builder
from ..llvm.types import I64, LLType, Val

Lanes = tuple[int, ...]

WRAP_SPAN = 1 << 16
"""Lanes of 32 bits that lie closer together are indices, which do not overflow; what is farther apart
may be a hash."""


@dataclass(frozen=True, eq=False, slots=True)
class Lin:
    """Lane l is `sum(parts) + offset + pattern[l] + sum(t.lanes[l] * t.stride)`.

    `parts` are scalars of `type` (of a pointer: one pointer first, then byte offsets as i64);
    `pattern` constants per lane. With `guards` the form only holds where all of them are true;
    `exact` makes the vector that always holds.
    """

    type: LLType
    parts: tuple[Val, ...]
    offset: int
    pattern: Lanes
    terms: tuple[tuple[Lanes, Val], ...] = ()
    guards: tuple[Val, ...] = ()
    exact: Callable[[], Val] | None = None

    @property
    def lanes(self) -> int:
        """Lanes of the value."""
        return len(self.pattern)

    @property
    def is_uniform(self) -> bool:
        """Whether all lanes are the same."""
        return not self.terms and not any(self.pattern)


Lane = Val | Lin
"""What evaluating a tile value for a chunk gives: a scalar (the same in all lanes), a vector, or
a linear form."""


class LinearArithmetic:
    """Arithmetic on linear forms, emitting scalar instructions only."""

    def __init__(self, b: Builder):
        self.b = b

    def index(self, type: LLType, base: Val | int, start: int, pattern: Lanes | None, lanes: int) -> Lane:
        """The index `base + start + pattern` of a chunk."""
        constant = start + (base if isinstance(base, int) else 0) + (pattern[0] if pattern else 0)
        parts = () if isinstance(base, int) else (base,)
        spread = tuple(p - pattern[0] for p in pattern) if pattern else (0,) * lanes
        if not any(spread):
            return self.base(Lin(type, parts, constant, (0,) * lanes))
        return Lin(type, parts, constant, spread)

    def of(self, value: Lane, lanes: int) -> Lin | None:
        """`value` as a linear form; None for a vector."""
        if isinstance(value, Lin):
            return value
        if value.lanes != 1:
            return None
        constant = value.constant_int
        if constant is not None:
            return Lin(value.type, (), constant, (0,) * lanes)
        return Lin(value.type, (value,), 0, (0,) * lanes)

    def base(self, lin: Lin) -> Val:
        """The scalar `sum(parts) + offset`."""
        b = self.b
        if lin.type.element == "ptr":
            pointer = lin.parts[0]
            for part in lin.parts[1:]:
                pointer = b.gep(pointer, part)
            return b.gep(pointer, lin.offset) if lin.offset else pointer
        total: Val | None = None
        for part in lin.parts:
            total = part if total is None else b.add(total, part)
        if total is None:
            return b.int(lin.offset, lin.type)
        return b.add(total, b.int(lin.offset, lin.type))

    def vector(self, value: Lane, lanes: int) -> Val:
        """The vector (or uniform scalar) that a lane value stands for."""
        if isinstance(value, Val):
            return value
        if value.guards and value.exact is not None:
            return value.exact()
        base = self.base(value)
        if value.is_uniform:
            return base
        if value.type.element == "ptr":
            offsets = self._offsets(value, I64)
            return self.b.raw(
                LLType("ptr", lanes), f"getelementptr i8, {base}, {self.b.splat(offsets, lanes)}"
            )
        return self.b.add(self.b.splat(base, lanes), self._offsets(value, value.type))

    def _offsets(self, value: Lin, type: LLType) -> Val:
        total = self.b.ints(value.pattern, type.element)
        for pattern, stride in value.terms:
            lanes = self.b.ints(pattern, type.element)
            total = self.b.add(total, self.b.mul(lanes, self.b.splat(stride, len(pattern))))
        return total

    # --- operations --------------------------------------------------------------------------
    def add(self, x: Lin, y: Lin, sign: int = 1) -> Lin:
        """x + y, or x - y with `sign` -1."""
        b = self.b
        if sign > 0:
            more = y.parts
            terms = y.terms
        else:
            more = tuple(b.sub(b.int(0, y.type), p) for p in y.parts)
            terms = tuple((lanes, b.sub(b.int(0, y.type), s)) for lanes, s in y.terms)
        pattern = tuple(p + sign * q for p, q in zip(x.pattern, y.pattern, strict=True))
        return Lin(
            x.type, x.parts + more, x.offset + sign * y.offset, pattern, x.terms + terms, x.guards + y.guards
        )

    def scale(self, x: Lin, factor: Val) -> Lin:
        """x times a scalar."""
        b = self.b
        constant = factor.constant_int
        if constant is not None:
            parts = tuple(b.mul(p, factor) for p in x.parts)
            terms = tuple((lanes, b.mul(s, factor)) for lanes, s in x.terms)
            pattern = tuple(p * constant for p in x.pattern)
            return Lin(x.type, parts, x.offset * constant, pattern, terms, x.guards)
        parts = [b.mul(p, factor) for p in x.parts]
        if x.offset:
            parts.append(b.mul(b.int(x.offset, x.type), factor))
        terms = [(lanes, b.mul(s, factor)) for lanes, s in x.terms]
        if any(x.pattern):
            terms.append((x.pattern, factor))
        return Lin(x.type, tuple(parts), 0, (0,) * x.lanes, tuple(terms), x.guards)

    def cast(self, x: Lin, opcode: str, element: str, separate: bool) -> Lin:
        """Sign-extend or truncate. `separate`: the parts may be extended one by one, which is
        right where the sum does not wrap (an offset about to be added to a pointer)."""
        b = self.b
        type = LLType(element)
        if (separate and x.type.bits >= 32) or opcode == "trunc":
            parts = tuple(b.cast(opcode, p, element) for p in x.parts)
            offset = x.offset
        else:
            parts, offset = (b.cast(opcode, self.base(x), element),), 0
        terms = tuple((lanes, b.cast(opcode, s, element)) for lanes, s in x.terms)
        return Lin(type, parts, offset, x.pattern, terms, x.guards)

    def add_to_pointer(self, pointer: Lin, offset: Lin, size: int) -> Lin:
        """Pointer plus `size` bytes times `offset`; the arithmetic on the offset does not wrap."""
        wide = offset if offset.type.element == "i64" else self.cast(offset, "sext", "i64", separate=True)
        wide = self.scale(wide, self.b.int(size, I64))
        pattern = tuple(p + q for p, q in zip(pointer.pattern, wide.pattern, strict=True))
        return Lin(
            pointer.type,
            pointer.parts + wide.parts,
            pointer.offset + wide.offset,
            pattern,
            pointer.terms + wide.terms,
            pointer.guards + wide.guards,
        )

    def may_wrap(self, x: Lin) -> bool:
        """Whether single lanes may overflow, so that the form only holds modulo the type's range."""
        if x.type.bits >= 64 or x.is_uniform:
            return False
        return x.type.bits < 32 or max(x.pattern) - min(x.pattern) >= WRAP_SPAN

    def extremes(self, x: Lin) -> tuple[Val, Val] | None:
        """The smallest and largest lane as scalars; None when lanes differ by run-time strides or may
        overflow."""
        if x.terms or x.guards or self.may_wrap(x):
            return None
        base = self.base(x)
        low, high = min(x.pattern), max(x.pattern)
        return self.b.add(base, self.b.int(low, x.type)), self.b.add(base, self.b.int(high, x.type))


def with_exact(lin: Lin, exact: Callable[[], Val], guards: Sequence[Val] = ()) -> Lin:
    """`lin` with further guards and the way to make the vector that always holds."""
    return Lin(lin.type, lin.parts, lin.offset, lin.pattern, lin.terms, lin.guards + tuple(guards), exact)
