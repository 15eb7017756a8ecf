"""Address structure: every integer and pointer tile as `base + sum over axes (stride * index)`.

Given a value and how its axes follow the axes of a nest, `Structure.of` tells the stride along
each nest axis as a polynomial over run-time scalars, or `None` where there is no fixed stride.
The scheduler chooses the innermost axis by it and decides which loads may move.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from ..ir.core import Op, Value
from ..ir.types import TileType
from .exchanges import EXCHANGE
from .polynomial import ONE, ZERO, Polynomial

Strides = tuple[Polynomial | None, ...]


@dataclass(frozen=True, slots=True)
class Linear:
    """`base + sum(strides[a] * index[a])` over the nest's axes.

    A `None` stride: the dependence on that axis is not linear. `base` is None when it is not a
    polynomial of scalars. `wrapped` marks axes where the value is linear up to a modulus, `gentle` axes of
    no stride along which neighbours are equal or next to each other. The hash is computed once: the forms of
    an address are looked up far more often than they are made.
    """

    base: Polynomial | None
    strides: Strides
    wrapped: frozenset[int] = frozenset()
    gentle: frozenset[int] = frozenset()
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.base, self.strides, self.wrapped)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def is_uniform(self) -> bool:
        """Whether the value is the same at every index."""
        return all(s == ZERO for s in self.strides)


Point = tuple[Linear, ...]


@cache
def identity_point(rank: int) -> Point:
    """The point whose value axes are the nest's axes."""
    return tuple(Linear(ZERO, tuple(ONE if a == b else ZERO for b in range(rank))) for a in range(rank))


DEEPEST = 100
"""Values that are computed from within one another; a longer chain is computed from its far end."""


class Structure:
    """Computes and remembers structures. One instance serves one function."""

    def __init__(self) -> None:
        self._memo: dict[tuple[int, Point], Linear] = {}
        self._depth = 0

    def of(self, value: Value, point: Point, rank: int) -> Linear:
        """The structure of `value` at `point` over a nest of `rank` axes."""
        if not isinstance(value.type, TileType):
            return self._scalar(value, rank)
        key = (id(value), point)
        found = self._memo.get(key)
        if found is None:
            self._depth += 1
            if self._depth > DEEPEST:
                self._prepare(value, point, rank)
            found = self._memo[key] = self._compute(value, point, rank)
            self._depth -= 1
        return found

    def _prepare(self, value: Value, point: Point, rank: int) -> None:
        """Compute all that `value` is made of, the first of it first."""
        pending = [(value, point)]
        while pending:
            value, point = pending[-1]
            op = value.defining_op
            mapped = operand_points(op, value, point) if op is not None else None
            needed = zip(op.operands, mapped, strict=True) if op is not None and mapped is not None else ()
            missing = [(v, p) for v, p in needed if v.shape and (id(v), p) not in self._memo]
            if missing:
                pending += missing[:1]
                continue
            pending.pop()
            if pending:
                self._memo[id(value), point] = self._compute(value, point, rank)

    def _scalar(self, value: Value, rank: int) -> Linear:
        return Linear(scalar_polynomial(value), (ZERO,) * rank)

    def _compute(self, value: Value, point: Point, rank: int) -> Linear:
        op = value.defining_op
        if op is None:
            return opaque(point, rank)
        rule = _RULES.get(op.name)
        if rule is not None:
            return rule(self, op, point, rank)
        mapped = operand_points(op, value, point)
        if mapped is None:
            return opaque(point, rank)
        parts = [self.of(v, p, rank) for v, p in zip(op.operands, mapped, strict=True)]
        strides = tuple(ZERO if all(part.strides[a] == ZERO for part in parts) else None for a in range(rank))
        return Linear(None, strides)


def opaque(point: Point, rank: int) -> Linear:
    """A value about which nothing is known but on which nest axes its index depends."""
    strides = tuple(ZERO if all(i.strides[a] == ZERO for i in point) else None for a in range(rank))
    return Linear(None, strides)


def scalar_polynomial(value: Value) -> Polynomial:
    """A scalar as a polynomial: sums and products are opened, anything else is a variable."""
    op = value.defining_op
    if op is None:
        return Polynomial.of(value)
    if op.name == "arith.constant" and isinstance(op.attrs.get("value"), int):
        return Polynomial.constant(op.attrs["value"])
    if op.name in ("arith.extsi", "arith.index_cast", "arith.trunci") and value.element.bits >= 32:  # type: ignore[union-attr]
        return scalar_polynomial(op.operands[0])
    if op.name in ("arith.addi", "arith.subi", "arith.muli", "tt.addptr"):
        a, b = map(scalar_polynomial, op.operands[:2])
        return a - b if op.name == "arith.subi" else a * b if op.name == "arith.muli" else a + b
    return Polynomial.of(value)


# --- index mapping shared by every analysis and by code generation ---------------------------
@cache
def reshape_groups(source: tuple[int, ...], target: tuple[int, ...]) -> list[list[tuple[int, int, int]]]:
    """How each source axis of a reshape is made of bit fields of the target's axes.

    For each source axis, from high to low: (target axis, low bit within it, number of bits).
    Axes are powers of two, so that a reshape only regroups the bits of the flat index.
    """
    bits: list[tuple[int, int]] = []
    for axis in reversed(range(len(target))):
        bits += [(axis, k) for k in range(target[axis].bit_length() - 1)]
    groups: list[list[tuple[int, int, int]]] = []
    position = 0
    for size in reversed(source):
        fields: list[tuple[int, int, int]] = []
        for axis, k in bits[position : position + size.bit_length() - 1]:
            if fields and fields[-1][0] == axis and fields[-1][1] + fields[-1][2] == k:
                fields[-1] = (axis, fields[-1][1], fields[-1][2] + 1)
            else:
                fields.append((axis, k, 1))
        position += size.bit_length() - 1
        groups.append(fields[::-1])
    return groups[::-1]


def _map_reshape(op: Op, result: Value, point: Point) -> list[Point]:
    source, target = op.operands[0].shape, result.shape
    rank = len(point[0].strides) if point else 0
    mapped = []
    for fields in reshape_groups(source, target):
        index = Linear(ZERO, (ZERO,) * rank)
        for axis, low, count in fields:
            whole = low == 0 and 1 << count == target[axis]
            part = (
                point[axis]
                if whole
                else _high_bits(point[axis], rank)
                if low
                else opaque((point[axis],), rank)
            )
            index = _add(_scale(index, Polynomial.constant(1 << count)), part)
        mapped.append(index)
    return [tuple(mapped)]


def _high_bits(index: Linear, rank: int) -> Linear:
    """An index without its lowest bits: where the index takes single steps, this one does now and then."""
    gentle = frozenset(a for a, stride in enumerate(index.strides) if stride == ONE)
    return Linear(None, opaque((index,), rank).strides, frozenset(), gentle)


def _map_broadcast(op: Op, result: Value, point: Point) -> list[Point]:
    rank = len(point[0].strides) if point else 0
    zero = Linear(ZERO, (ZERO,) * rank)
    return [tuple(zero if size == 1 else point[a] for a, size in enumerate(op.operands[0].shape))]


def _map_trans(op: Op, result: Value, point: Point) -> list[Point]:
    source: list[Linear] = list(point)
    for axis, origin in enumerate(op.attrs["order"]):
        source[origin] = point[axis]
    return [tuple(source)]


def _map_gather(op: Op, result: Value, point: Point) -> list[Point]:
    axis = op.attrs["axis"]
    anywhere = Linear(None, (None,) * len(point[0].strides))
    return [(*point[:axis], anywhere, *point[axis + 1 :]), point]


def _map_exchange(op: Op, result: Value, point: Point) -> list[Point]:
    """Another element, but whole runs of neighbours stay neighbours."""
    axis = op.attrs["axis"]
    return [(*point[:axis], Linear(None, point[axis].strides), *point[axis + 1 :])]


_POINT_MAPS: dict[str, Callable[[Op, Value, Point], list[Point]]] = {
    "tt.broadcast": _map_broadcast,
    "tt.expand_dims": lambda op, _, p: [p[: op.attrs["axis"]] + p[op.attrs["axis"] + 1 :]],
    "tt.reshape": _map_reshape,
    "tt.trans": _map_trans,
    "tt.gather": _map_gather,
    EXCHANGE: _map_exchange,
    "tt.join": lambda op, _, p: [p[:-1], p[:-1]],
    "tt.split": lambda op, r, p: (
        [(*p, Linear(Polynomial.constant(r.index), (ZERO,) * len(p[0].strides)))]
        if p
        else [(Linear(Polynomial.constant(r.index), ()),)]
    ),
}


def operand_points(op: Op, result: Value, point: Point) -> list[Point] | None:
    """The point of each operand when `result` is read at `point`; None when unknown.

    Elementwise operations read their operands at the same point.
    """
    mapping = _POINT_MAPS.get(op.name)
    if mapping is not None:
        return mapping(op, result, point)
    if all(v.shape in ((), result.shape) for v in op.operands) and not op.regions:
        return [point if v.shape else () for v in op.operands]
    return None


# --- arithmetic of linear forms ----------------------------------------------------------------
def _add(a: Linear, b: Linear, sign: int = 1) -> Linear:
    def plus(x: Polynomial | None, y: Polynomial | None) -> Polynomial | None:
        if x is None or y is None:
            return None
        return x + y if sign > 0 else x - y

    strides = tuple(plus(x, y) for x, y in zip(a.strides, b.strides, strict=True))
    gentle = frozenset(
        axis
        for axis in a.gentle | b.gentle
        if all(axis in x.gentle or x.strides[axis] == ZERO for x in (a, b))
        and not (axis in a.gentle and axis in b.gentle)
    )
    return Linear(plus(a.base, b.base), strides, a.wrapped | b.wrapped, gentle)


def _scale(a: Linear, factor: Polynomial) -> Linear:
    strides = tuple(None if s is None else s * factor for s in a.strides)
    gentle = a.gentle if factor == ONE else frozenset[int]()
    return Linear(None if a.base is None else a.base * factor, strides, a.wrapped, gentle)


def _rule_range(self: Structure, op: Op, point: Point, rank: int) -> Linear:
    return _add(point[0], Linear(Polynomial.constant(op.attrs["start"]), (ZERO,) * rank))


def _rule_splat(self: Structure, op: Op, point: Point, rank: int) -> Linear:
    return self.of(op.operands[0], (), rank)


def _rule_constant(self: Structure, op: Op, point: Point, rank: int) -> Linear:
    value = op.attrs.get("value")
    if isinstance(value, int):
        return Linear(Polynomial.constant(value), (ZERO,) * rank)
    return opaque(point, rank) if isinstance(value, list) else Linear(None, (ZERO,) * rank)


def _rule_forward(self: Structure, op: Op, point: Point, rank: int) -> Linear:
    (mapped,) = operand_points(op, op.results[0], point) or [point]
    return self.of(op.operands[0], mapped, rank)


def _rule_truncate(self: Structure, op: Op, point: Point, rank: int) -> Linear:
    """An index fits into 32 bits; in fewer it may wrap around."""
    return _rule_forward(self, op, point, rank) if op.result.element.bits >= 32 else opaque(point, rank)


def _rule_add(self: Structure, op: Op, point: Point, rank: int) -> Linear:
    a, b = (self.of(v, point, rank) for v in op.operands)
    return _add(a, b, -1 if op.name == "arith.subi" else 1)


def _rule_multiply(self: Structure, op: Op, point: Point, rank: int) -> Linear:
    a, b = (self.of(v, point, rank) for v in op.operands)
    if not b.is_uniform:
        a, b = b, a
    if b.is_uniform:
        if b.base is not None:
            return _scale(a, b.base)
        return Linear(None, tuple(ZERO if s == ZERO else None for s in a.strides))
    both = zip(a.strides, b.strides, strict=True)
    return Linear(None, tuple(ZERO if x == ZERO and y == ZERO else None for x, y in both))


def _rule_remainder(self: Structure, op: Op, point: Point, rank: int) -> Linear:
    a, b = (self.of(v, point, rank) for v in op.operands)
    if b.is_uniform and any(s == ONE for s in a.strides):
        wrapped = frozenset(k for k, s in enumerate(a.strides) if s == ONE)
        if all(s in (ZERO, ONE) for s in a.strides):
            return Linear(None, a.strides, a.wrapped | wrapped)
    both = zip(a.strides, b.strides, strict=True)
    return Linear(None, tuple(ZERO if x == ZERO and y == ZERO else None for x, y in both))


_RULES: dict[str, Callable[[Structure, Op, Point, int], Linear]] = {
    "tt.make_range": _rule_range,
    "tt.splat": _rule_splat,
    "arith.constant": _rule_constant,
    "tt.broadcast": _rule_forward,
    "tt.expand_dims": _rule_forward,
    "tt.reshape": _rule_forward,
    "tt.trans": _rule_forward,
    "tt.bitcast": _rule_forward,
    "arith.extsi": _rule_forward,
    "arith.extui": _rule_forward,
    "arith.trunci": _rule_truncate,
    "arith.index_cast": _rule_forward,
    "arith.addi": _rule_add,
    "arith.subi": _rule_add,
    "tt.addptr": _rule_add,
    "arith.muli": _rule_multiply,
    "arith.remsi": _rule_remainder,
    "arith.remui": _rule_remainder,
}
