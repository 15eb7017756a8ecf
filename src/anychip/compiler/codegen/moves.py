"""Operations that move elements of a tile without computing: what is asked for is an operand elsewhere.

In: a point of the result. Out: the operand, or one of two operands, at the point that belongs to it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..analysis.structure import reshape_groups
from ..ir.core import Op, Value
from ..llvm.types import LLType, Val
from .dispatch import Rules
from .evaluation import Evaluation, evaluates
from .linear import Lane
from .point import ZERO, Index, Point

Move = Callable[[Evaluation, Op, Value, Point], Point]
"""Gives the point of the operand for a point of a result."""

MOVES: Rules[Move] = Rules()
"""The operations of one operand that only move elements."""


def moves(name: str) -> Callable[[Move], Move]:
    """Register the decorated function for the operation `name`, and with it the rule that evaluates this."""

    def register(source: Move) -> Move:
        @evaluates(name)
        def move(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
            return ev.lane(op.operands[0], source(ev, op, value, point))

        return MOVES.register(name)(source)

    return register


@evaluates("tt.splat")
def splat(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """The only element there is."""
    operand = op.operands[0]
    return ev.lane(operand, (ZERO,) * len(operand.shape))


@moves("tt.broadcast")
def broadcast_point(ev: Evaluation, op: Op, value: Value, point: Point) -> Point:
    """The same index along each axis but those of size 1, where there is only one."""
    return tuple(ZERO if n == 1 else i for n, i in zip(op.operands[0].shape, point, strict=True))


@moves("tt.expand_dims")
def expand_dims_point(ev: Evaluation, op: Op, value: Value, point: Point) -> Point:
    """Without the index along the new axis."""
    axis = op.attrs["axis"]
    return point[:axis] + point[axis + 1 :]


@moves("tt.trans")
def trans_point(ev: Evaluation, op: Op, value: Value, point: Point) -> Point:
    """Each index along the axis that its own came from."""
    source: list[Index] = list(point)
    for axis, origin in enumerate(op.attrs["order"]):
        source[origin] = point[axis]
    return tuple(source)


@moves("tt.split")
def split_point(ev: Evaluation, op: Op, value: Value, point: Point) -> Point:
    """Along the last axis, the number of the result."""
    return (*point, ev.fixed(value.index))


@moves("tt.reshape")
def reshape_point(ev: Evaluation, op: Op, value: Value, point: Point) -> Point:
    """The bits of all indices in row-major order, divided among the operand's axes."""
    key = (op, point)
    found = ev.reshaped.get(key)
    if found is None:
        groups = reshape_groups(op.operands[0].shape, value.shape)
        found = tuple(_gather_bits(ev, fields, point, value.shape) for fields in groups)
        ev.reshaped[key] = found
    return found


def _gather_bits(
    ev: Evaluation, fields: list[tuple[int, int, int]], point: Point, shape: tuple[int, ...]
) -> Index:
    """The index whose bits are the given fields, from high to low, of the axes of `point`."""
    b = ev.b
    if len(fields) == 1 and fields[0][1] == 0 and 1 << fields[0][2] == shape[fields[0][0]]:
        return point[fields[0][0]]
    base: Val | int = 0
    pattern: list[int] = [0] * ev.lanes
    tags: list[object] = []
    for axis, low, count in fields:
        index, ones = point[axis], (1 << count) - 1
        part = index.base
        if isinstance(part, int):
            part = part >> low & ones
        else:
            part = b.lshr(part, b.int(low))
            if 1 << (low + count) != shape[axis]:
                part = b.and_(part, b.int(ones))
        if isinstance(base, int) and isinstance(part, int):
            base = base << count | part
        else:
            high = b.int(base) if isinstance(base, int) else base
            right = b.int(part) if isinstance(part, int) else part
            base = b.add(b.shl(high, b.int(count)), right)
        lanes = index.pattern or (0,) * ev.lanes
        pattern = [p << count | (q >> low & ones) for p, q in zip(pattern, lanes, strict=True)]
        tags.append((index.tag, low, count))
    return Index(base, tuple(pattern) if any(pattern) else None, tuple(tags))


@evaluates("tt.join")
def join(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """By the last index, the one or the other tile."""
    rest, last = point[:-1], point[-1]
    return _choose(ev, last, 0, lambda k: ev.value(op.operands[k], rest))


@evaluates("tt.cat")
def cat(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """The one tile, and the other one behind it along the first axis."""
    half = op.operands[0].shape[0]
    bit = half.bit_length() - 1
    index = point[0]
    low: Val | int = (
        index.base & (half - 1) if isinstance(index.base, int) else ev.b.and_(index.base, ev.b.int(half - 1))
    )
    pattern = None if index.pattern is None else tuple(p & (half - 1) for p in index.pattern)
    inner = (Index(low, pattern, (index.tag, 0, bit)), *point[1:])
    return _choose(ev, index, bit, lambda k: ev.value(op.operands[k], inner))


def _choose(ev: Evaluation, index: Index, bit: int, side: Callable[[int], Val]) -> Lane:
    """side(0) or side(1) by one bit of an index."""
    lanes = [(p >> bit) & 1 for p in index.pattern or (0,) * ev.lanes]
    if isinstance(index.base, int):
        chosen = [(index.base >> bit & 1) | k for k in lanes]
        if len(set(chosen)) == 1:
            return side(chosen[0])
        cond = ev.b.vector([("true" if k else "false") for k in chosen], LLType("i1", ev.lanes))
        return ev.b.select(cond, ev.b.splat(side(1), ev.lanes), ev.b.splat(side(0), ev.lanes))
    if any(lanes):
        cond = ev.b.vector([("true" if k else "false") for k in lanes], LLType("i1", ev.lanes))
    else:
        shifted = ev.b.and_(ev.b.lshr(index.base, ev.b.int(bit)), ev.b.int(1))
        cond = ev.b.icmp("ne", shifted, ev.b.int(0))
    return ev.b.select(cond, *ev.b.unify(side(1), side(0)))
