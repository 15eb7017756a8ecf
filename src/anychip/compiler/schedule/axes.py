"""Chooses, for a nest, the innermost (vector) axis, the lanes of a chunk and the loop order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..analysis.exchanges import EXCHANGE
from ..analysis.polynomial import ONE, ZERO, Polynomial
from ..analysis.structure import Linear, Point, Structure, identity_point, operand_points
from ..ir.core import Op, Value
from ..ir.types import PointerType
from ..targets.target import Target
from .choices import Choices
from .cost import compute_bits
from .placement import is_inline_op
from .steps import Buffer, Nest, PerElement, Reduce, Store, Write

CONTIGUOUS, UNIFORM, WRAPPED, NEAR, SCATTERED = 4.0, 1.0, 3.0, 2.0, -3.0
"""How much an access gains or loses by making an axis innermost."""
REPEATED = 0.25
"""The weight of reading a buffer that is the same all along another axis: it is small, and read often."""
NEAR_STRIDES = (-1, 2, 3, 4)
"""Distances between the lanes of a load that is done as loads of all that lies between."""


def root_values(root: Store | Write | Reduce | PerElement) -> list[Value]:
    """The tile values that a root evaluates at the nest's own index."""
    if isinstance(root, Write):
        return [root.value]
    return [v for v in root.op.operands if v.shape]


def nest_values(nest: Nest) -> list[Value]:
    """The tile values that a nest evaluates at its own index: for its roots, and for its loop."""
    values = [v for root in nest.roots for v in root_values(root)]
    for loop in nest.loop.loops() if nest.loop is not None else ():
        body = loop.op.regions[0].entry
        values += [v for v in (*body.terminator.operands, *loop.op.operands[3:]) if v.shape]
    return values


def walk_inline(
    roots: list[Value],
    rank: int,
    is_placed: Callable[[Value], bool],
    known: set[tuple[Value, Point]] | None = None,
) -> Iterator[tuple[Value, Point, bool]]:
    """Every (value, point) evaluated for `roots`; the flag tells that it is read from a buffer. What an
    earlier walk came by, and put into `known`, is left out: many roots may share most of what they need."""
    seen = set() if known is None else known
    pending = [(v, identity_point(rank)) for v in roots]
    first = set(roots)
    while pending:
        value, point = pending.pop()
        if (value, point) in seen:
            continue
        seen.add((value, point))
        op = value.defining_op
        placed = is_placed(value) and value not in first
        inline = op is not None and not placed and is_inline_op(op)
        yield value, point, not inline
        if not inline or op is None:
            continue
        mapped = operand_points(op, value, point)
        if mapped is None:
            unknown = Linear(None, (None,) * rank)
            mapped = [(unknown,) * len(v.shape) for v in op.operands]
        pending += [(v, p) for v, p in zip(op.operands, mapped, strict=True) if v.shape]


_MOVES_ONLY = frozenset(
    {
        "tt.splat",
        "tt.broadcast",
        "tt.expand_dims",
        "tt.reshape",
        "tt.trans",
        "tt.bitcast",
        "arith.constant",
        "arith.select",
        "arith.bitcast",
    }
)
"""Operations that compute nothing with a float, so that it may stay as narrow as it is in memory."""


def choose_axes(
    nest: Nest, structure: Structure, buffers: dict[Value, Buffer], target: Target, choices: Choices
) -> None:
    """Fill in `nest.axes`, `nest.lanes` and `nest.lane_extents`. The chunks of a sorting network lie along
    the axis in which its elements change places."""
    rank = len(nest.domain)
    if any(isinstance(root, PerElement) and not root.whole_chunks for root in nest.roots):
        packs = [root.pack for root in nest.roots if isinstance(root, PerElement)]
        nest.axes, nest.lanes, nest.lane_extents = tuple(range(rank)), 1, (*(1,) * (rank - 1), packs[0])
        nest.vector_axis = rank - 1
        return
    values = nest_values(nest)
    own = {r.value for r in nest.roots if isinstance(r, Write) and buffers.get(r.value) is r.buffer}
    bits = 8
    score = [0.0] * rank
    accesses: list[Linear] = []
    shuffled: set[int] = set()
    for root in nest.roots:
        if isinstance(root, Store):
            accesses.append(structure.of(root.op.operands[0], identity_point(rank), rank))
            _score(accesses[-1], score, is_store=True)
            bits = max(bits, root.op.operands[1].element.bits)
        elif isinstance(root, Write):
            bits = max(bits, root.buffer.element.bits)
        else:
            bits = max(bits, *(compute_bits(v) for v in root.op.operands))
    for value, point, leaf in walk_inline(values, rank, lambda v: v in buffers and v not in own):
        op = value.defining_op
        if op is not None and op.name == EXCHANGE and op.attrs["inside"]:
            shuffled.update(a for a, step in enumerate(point[op.attrs["axis"]].strides) if step == ONE)
        if leaf and value in buffers:
            if buffers[value].any_order:
                continue
            linear = _buffer_linear(buffers[value], point, rank)
            repeated = any(s == ZERO and n > 1 for s, n in zip(linear.strides, nest.domain, strict=True))
            _score(linear, score, weight=REPEATED if repeated else 1.0)
        elif op is not None and op.name == "tt.load":
            accesses.append(structure.of(op.operands[0], point, rank))
            _score(accesses[-1], score)
            if not isinstance(value.element, PointerType):
                bits = max(bits, value.element.bits)
        elif _computes_float(op):
            bits = max(bits, compute_bits(value))
    lanes = target.lanes(min(bits, 64))
    weight = [s * min(1.0, size / lanes) if s > 0 else s for s, size in zip(score, nest.domain, strict=True)]
    candidates = [*shuffled] or [a for a in range(rank) if nest.domain[a] > 1] or [rank - 1]
    best_last = sorted(candidates, key=lambda a: (weight[a], nest.domain[a] >= lanes, a))
    vector_axis = best_last[-2 if choices.vector and len(best_last) > 1 else -1]
    group = max((r.buffer.group for r in nest.roots if isinstance(r, Write)), default=1)
    if group > 1:
        _set_groups(nest, vector_axis, group, target)
    else:
        _set_lanes(nest, vector_axis, lanes, accesses)
        if choices.loops and nest.reduce_axis != vector_axis:
            nest.axes = (vector_axis, *(a for a in nest.axes if a != vector_axis))


def _set_groups(nest: Nest, vector_axis: int, group: int, target: Target) -> None:
    """A nest that packs the right operand of a dot product: rows to interleave, or, when it is read
    along the inner dimension, square blocks of groups to transpose."""
    rank = len(nest.domain)
    inner, last = rank - 2, rank - 1
    lanes = target.lanes(32)
    nest.vector_axis = inner if vector_axis == inner else last
    nest.transposed_axis = last if nest.vector_axis == inner else None
    nest.lanes = min(lanes * group, nest.domain[nest.vector_axis])
    extents = [1] * rank
    extents[nest.vector_axis] = nest.lanes
    nest.lane_extents = tuple(extents)
    nest.axes = (*range(rank - 2), *((last, inner) if nest.vector_axis == inner else (inner, last)))


def _set_lanes(nest: Nest, vector_axis: int, lanes: int, accesses: Sequence[Linear]) -> None:
    rank = len(nest.domain)
    extents = [1] * rank
    extents[vector_axis] = covered = min(lanes, nest.domain[vector_axis])
    others = [a for a in range(rank) if a != vector_axis]
    if nest.reduce_axis is None:
        for axis in reversed(others):
            if covered >= lanes or extents[vector_axis] < nest.domain[vector_axis]:
                break
            if any(extents[b] < nest.domain[b] for b in others if b > axis):
                break
            if covered >= lanes // 4 and any(
                _is_broken(linear, vector_axis, axis, covered) for linear in accesses
            ):
                break
            extents[axis] = min(lanes // covered, nest.domain[axis])
            covered *= extents[axis]
    nest.lanes = covered
    nest.lane_extents = tuple(extents)
    outer = [a for a in others if a != nest.reduce_axis]
    inner = () if nest.reduce_axis in (None, vector_axis) else (nest.reduce_axis,)
    nest.axes = (*outer, vector_axis, *inner)
    nest.vector_axis = vector_axis
    nest.transposed_axis = _transposed_axis(nest) if nest.loop is None else None


def _is_broken(linear: Linear, vector_axis: int, axis: int, covered: int) -> bool:
    """Whether an access is contiguous along the vector axis but does not go on where `axis` steps."""
    step = linear.strides[axis]
    return linear.strides[vector_axis] == ONE and (step is None or step.as_int != covered)


def _transposed_axis(nest: Nest) -> int | None:
    """The axis along which the nest's only buffers lie, when it is not the vector axis and blocks
    of `lanes` by `lanes` elements fit."""
    if not all(isinstance(r, Write) and not r.buffer.any_order for r in nest.roots) or nest.lanes < 4:
        return None
    inner = {r.buffer.order[-1] for r in nest.roots if isinstance(r, Write)}
    axis = inner.pop()
    if inner or axis == nest.vector_axis or nest.domain[axis] < nest.lanes:
        return None
    return axis if nest.lane_extents[nest.vector_axis] == nest.lanes else None


def _computes_float(op: Op | None) -> bool:
    if op is None or not op.results or isinstance(op.results[0].element, PointerType):
        return False
    return op.results[0].element.is_float and op.name not in _MOVES_ONLY


def _buffer_linear(buffer: Buffer, point: Point, rank: int) -> Linear:
    strides: list[Polynomial | None] = [ZERO] * rank
    for axis, step in enumerate(buffer.strides):
        for a in range(rank):
            part = point[axis].strides[a]
            have = strides[a]
            strides[a] = None if part is None or have is None else have + part * Polynomial.constant(step)
    return Linear(None, tuple(strides))


def _is_near(linear: Linear, axis: int) -> bool:
    stride = linear.strides[axis]
    return axis in linear.gentle if stride is None else stride.as_int in NEAR_STRIDES


def _score(linear: Linear, score: list[float], is_store: bool = False, weight: float = 1.0) -> None:
    for axis, stride in enumerate(linear.strides):
        if stride == ONE:
            score[axis] += weight * (WRAPPED if axis in linear.wrapped else CONTIGUOUS)
        elif stride == ZERO:
            score[axis] += weight * UNIFORM
        elif not is_store and _is_near(linear, axis):
            score[axis] += weight * NEAR
        else:
            score[axis] += weight * SCATTERED
