"""Evaluates tile values for one chunk of a nest.

An `Evaluation` is one body of a nest: it computes each value at most once, at any point that is
asked for, keeping indices and addresses linear (`Lin`) as long as it can. A point gives, for each
axis of the value, an `Index`: a scalar base and a constant pattern over the lanes.
"""

from __future__ import annotations

from collections.abc import Callable

from ..analysis.exchanges import EXCHANGE
from ..analysis.structure import reshape_groups
from ..errors import UnsupportedOperation
from ..ir.core import Op, Region, Value
from ..ir.types import PointerType, element_of
from ..llvm.builder import Builder
from ..llvm.types import I32, LLType, Val
from ..schedule.placement import is_inline_op
from . import elementwise, memory
from .context import Context
from .exchange import exchange
from .linear import Lane, Lanes, Lin, with_exact
from .register_types import register_type


class Index:
    """The index along one axis: `base + pattern[lane]`, whose bits never overlap.

    `tag` names what the index is made of without its position, so that chunks can be compared.
    """

    __slots__ = ("base", "pattern", "tag")

    def __init__(self, base: Val | int, pattern: Lanes | None, tag: object):
        self.base = base
        self.pattern = pattern
        self.tag = tag


Point = tuple[Index, ...]
ZERO = Index(0, None, 0)
Assumption = tuple[Value, tuple[object, ...]]
Rule = Callable[["Evaluation", Op, Value, Point], Lane]


class Evaluation:
    """One body of a nest over `lanes` lanes. Masks in `assumed` are known to be true here."""

    def __init__(self, context: Context, lanes: int, assumed: frozenset[Assumption] = frozenset()):
        self.context = context
        self.b: Builder = context.b
        self.lanes = lanes
        self.assumed = assumed
        self.linear = context.linear
        self._memo: dict[tuple[Value, Point], Lane] = {}
        self._points: dict[tuple[Op, Point], Point] = {}
        self._fixed: dict[int, Index] = {}
        self.exchanged: dict[tuple[Index, int, int], Index] = {}

    # --- entry points --------------------------------------------------------------------------
    def lane(self, value: Value, point: Point) -> Lane:
        """`value` at `point`, linear if it is."""
        if not value.shape:
            return self.context.scalars[value]
        found = self._memo.get((value, point))
        return self._in_order(value, point) if found is None else found

    def _in_order(self, value: Value, point: Point) -> Lane:
        """Evaluate `value` after what it needs at the same point, however long a chain that is."""
        pending = [value]
        while pending:
            value = pending[-1]
            missing = next((v for v in self._operands(value, point) if (v, point) not in self._memo), None)
            if missing is not None:
                pending.append(missing)
                continue
            if (value, point) not in self._memo:
                self._memo[value, point] = self._evaluate(value, point)
            pending.pop()
        return self._memo[value, point]

    def _operands(self, value: Value, point: Point) -> list[Value]:
        """The tiles from whose elements at the same point `value` is always computed."""
        op = value.defining_op
        if op is None or value in self.context.available or (op.name in RULES and op.name not in SAME_POINT):
            return []
        if self.assumed and self.is_assumed(value, point):
            return []
        return [v for v in op.operands if v.shape] if is_inline_op(op) else []

    def value(self, value: Value, point: Point) -> Val:
        """`value` at `point` as a scalar (the same in all lanes) or a vector."""
        return self.linear.vector(self.lane(value, point), self.lanes)

    def vector(self, value: Value, point: Point) -> Val:
        """`value` at `point` with all lanes spelled out."""
        return self.b.splat(self.value(value, point), self.lanes)

    def is_assumed(self, mask: Value, point: Point) -> bool:
        return (mask, tuple(i.tag for i in point)) in self.assumed

    def bind(self, value: Value, point: Point, register: Val) -> None:
        """Take `register` for `value` at `point`."""
        self._memo[value, point] = register

    # --- evaluation ----------------------------------------------------------------------------
    def _evaluate(self, value: Value, point: Point) -> Lane:
        if self.assumed and self.is_assumed(value, point):
            return self.b.int(1, register_type(value.element))  # type: ignore[arg-type]
        if value in self.context.available:
            return memory.read_buffer(self, self.context.buffers[value], value.element, point)
        op = value.defining_op
        if op is None:
            raise AssertionError(f"{value} is neither available nor computed")
        rule = RULES.get(op.name)
        if rule is not None:
            return rule(self, op, value, point)
        if not is_inline_op(op):
            raise UnsupportedOperation(op, "its tile result is needed before it is computed")
        args = self.b.unify(*[self.value(v, point) for v in op.operands]) if op.operands else []
        if any(a.lanes > 1 for a in args):
            args = [self.b.splat(a, self.lanes) for a in args]
        return elementwise.apply(self.b, op, args, self.context.target)[value.index]

    def region(self, region: Region, args: list[Val]) -> list[Val]:
        """Apply a straight-line region of scalars to registers; the operands of its terminator."""
        env: dict[Value, Val] = dict(zip(region.entry.args, args, strict=True))
        for op in region.entry.ops[:-1]:
            if op.name == "arith.constant":
                env[op.result] = elementwise.constant(
                    self.b, op.attrs["value"], op.result.element, self.context.target
                )
                continue
            operands = [env[v] if v in env else self.context.scalars[v] for v in op.operands]
            operands = self.b.unify(*operands) if operands else []
            results = elementwise.apply(self.b, op, operands, self.context.target)
            env.update(zip(op.results, results, strict=True))
        return [env[v] if v in env else self.context.scalars[v] for v in region.entry.terminator.operands]

    # --- points --------------------------------------------------------------------------------
    def reshape_point(self, op: Op, value: Value, point: Point) -> Point:
        key = (op, point)
        found = self._points.get(key)
        if found is None:
            groups = reshape_groups(op.operands[0].shape, value.shape)
            found = tuple(self._gather_bits(fields, point, value.shape) for fields in groups)
            self._points[key] = found
        return found

    def _gather_bits(self, fields: list[tuple[int, int, int]], point: Point, shape: tuple[int, ...]) -> Index:
        """The index whose bits are the given fields, from high to low, of the axes of `point`."""
        b = self.b
        if len(fields) == 1 and fields[0][1] == 0 and 1 << fields[0][2] == shape[fields[0][0]]:
            return point[fields[0][0]]
        base: Val | int = 0
        pattern: list[int] = [0] * self.lanes
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
            lanes = index.pattern or (0,) * self.lanes
            pattern = [p << count | (q >> low & ones) for p, q in zip(pattern, lanes, strict=True)]
            tags.append((index.tag, low, count))
        return Index(base, tuple(pattern) if any(pattern) else None, tuple(tags))

    def fixed(self, position: int) -> Index:
        """The index that is `position` in all lanes."""
        if position == 0:
            return ZERO
        if position not in self._fixed:
            self._fixed[position] = Index(position, None, position)
        return self._fixed[position]


# --- indices and shapes --------------------------------------------------------------------------
def _range(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    index = point[0]
    return ev.linear.index(I32, index.base, op.attrs["start"], index.pattern, ev.lanes)


def _splat(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    operand = op.operands[0]
    return ev.lane(operand, (ZERO,) * len(operand.shape))


def _constant(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    data = op.attrs["value"]
    if not isinstance(data, list):
        return elementwise.constant(ev.b, data, value.element, ev.context.target)
    return memory.read_constant(ev, op, data, point)


def _broadcast_point(ev: Evaluation, op: Op, value: Value, point: Point) -> Point:
    return tuple(ZERO if n == 1 else i for n, i in zip(op.operands[0].shape, point, strict=True))


def _expand_dims_point(ev: Evaluation, op: Op, value: Value, point: Point) -> Point:
    axis = op.attrs["axis"]
    return point[:axis] + point[axis + 1 :]


def _trans_point(ev: Evaluation, op: Op, value: Value, point: Point) -> Point:
    source: list[Index] = list(point)
    for axis, origin in enumerate(op.attrs["order"]):
        source[origin] = point[axis]
    return tuple(source)


def _split_point(ev: Evaluation, op: Op, value: Value, point: Point) -> Point:
    return (*point, ev.fixed(value.index))


MOVES: dict[str, Callable[[Evaluation, Op, Value, Point], Point]] = {
    "tt.broadcast": _broadcast_point,
    "tt.expand_dims": _expand_dims_point,
    "tt.reshape": lambda ev, op, value, point: ev.reshape_point(op, value, point),
    "tt.trans": _trans_point,
    "tt.split": _split_point,
}
"""Operations that only move elements: the point of their operand for a point of their result."""


def _move(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    return ev.lane(op.operands[0], MOVES[op.name](ev, op, value, point))


def _join(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    rest, last = point[:-1], point[-1]
    return _choose(ev, last, 0, lambda k: ev.value(op.operands[k], rest))


def _cat(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
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


def _gather(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    source, indices = op.operands
    buffer = ev.context.buffers[source]
    return memory.gather_buffer(ev, buffer, source.element, point, op.attrs["axis"], ev.value(indices, point))


def _reduce(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """A reduction over an axis of one or two elements, as an expression."""
    axis = op.attrs["axis"]
    columns = []
    for position in range(op.operands[0].shape[axis]):
        at = (*point[:axis], ev.fixed(position), *point[axis:])
        columns.append([ev.vector(v, at) for v in op.operands])
    total = columns[0]
    for column in columns[1:]:
        total = ev.region(op.regions[0], [*total, *column])
    return total[value.index]


def _map_elementwise(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    return ev.region(op.regions[0], [ev.vector(v, point) for v in op.operands])[value.index]


def _load(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    return memory.load(ev, op, point)


# --- integer arithmetic that stays linear -------------------------------------------------------
def _add(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    x, y = (ev.lane(v, point) for v in op.operands)
    sign = -1 if op.name == "arith.subi" else 1
    if isinstance(x, Val) and isinstance(y, Val):
        return ev.b.binary("sub" if sign < 0 else "add", x, y)
    left, right = ev.linear.of(x, ev.lanes), ev.linear.of(y, ev.lanes)
    exact = _exact(ev, op, x, y)
    if left is None or right is None:
        return exact()
    total = ev.linear.add(left, right, sign)
    return with_exact(total, exact) if total.guards else total


def _multiply(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    x, y = (ev.lane(v, point) for v in op.operands)
    if isinstance(x, Val) and isinstance(y, Val):
        return ev.b.mul(x, y)
    exact = _exact(ev, op, x, y)
    for a, c in ((x, y), (y, x)):
        if isinstance(a, Lin) and isinstance(c, Val) and c.lanes == 1:
            product = ev.linear.scale(a, c)
            return with_exact(product, exact) if product.guards else product
    return exact()


def _exact(ev: Evaluation, op: Op, x: Lane, y: Lane) -> Callable[[], Val]:
    """The vector of a two-operand integer operation, made where it is called."""

    def make() -> Val:
        args = ev.b.unify(ev.linear.vector(x, ev.lanes), ev.linear.vector(y, ev.lanes))
        return elementwise.apply(ev.b, op, args, ev.context.target)[0]

    return make


def _extend(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    x = ev.lane(op.operands[0], point)
    if isinstance(x, Val):
        return elementwise.apply(ev.b, op, [x], ev.context.target)[0]
    element = value.element
    narrow = element.bits < x.type.bits
    opcode = "trunc" if narrow else "sext"
    if element.bits == x.type.bits:
        return x

    def exact() -> Val:
        return elementwise.apply(ev.b, op, [ev.linear.vector(x, ev.lanes)], ev.context.target)[0]

    if not narrow and ev.linear.may_wrap(x):
        return exact()
    result = ev.linear.cast(x, opcode, register_type(element).element, separate=False)
    return with_exact(result, exact) if result.guards else result


def _divide(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """Quotient and remainder of an index by a scalar: within a chunk the quotient rarely changes."""
    x, y = (ev.lane(v, point) for v in op.operands)
    exact = _exact(ev, op, x, y)
    if not isinstance(x, Lin) or not isinstance(y, Val) or y.lanes != 1 or x.terms or x.guards:
        return exact()
    if ev.linear.may_wrap(x):
        return exact()
    b = ev.b
    if max(x.pattern) - min(x.pattern) > 4 * ev.lanes or min(x.pattern) < 0:
        return exact()
    signed = op.name.endswith("si")
    base = ev.linear.base(x)
    remainder = elementwise.divide(b, "srem" if signed else "urem", signed, base, y)
    inside = b.icmp("slt" if signed else "ult", b.add(remainder, b.int(max(x.pattern), x.type)), y)
    if signed:
        inside = b.and_(inside, b.icmp("sge", base, b.int(0, x.type)))
    if "rem" in op.name:
        result = Lin(x.type, (remainder,), 0, x.pattern)
    else:
        quotient = elementwise.divide(b, "sdiv" if signed else "udiv", signed, base, y)
        result = Lin(x.type, (quotient,), 0, (0,) * ev.lanes)
    return with_exact(result, exact, [inside])


_MIRRORED = {"slt": "sgt", "sle": "sge", "sgt": "slt", "sge": "sle"}


def _compare(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """An index against a bound, as what is left to the bound against the lanes' constants: these are
    narrow and the same in every chunk, whatever the index's type."""
    x, y = (ev.lane(v, point) for v in op.operands)
    exact = _exact(ev, op, x, y)
    predicate = op.attrs["predicate"]
    if predicate not in _MIRRORED:
        return exact()
    if isinstance(x, Val) and isinstance(y, Lin):
        x, y, predicate = y, x, _MIRRORED[predicate]
    if not isinstance(x, Lin) or not isinstance(y, Val) or y.lanes != 1:
        return exact()
    span = max(x.pattern) - min(x.pattern)
    if x.terms or x.guards or x.is_uniform or ev.linear.may_wrap(x) or span > _NARROW_SPAN:
        return exact()
    b, low = ev.b, min(x.pattern)
    room = b.intrinsic("llvm.ssub.sat", y, b.add(ev.linear.base(x), b.int(low, x.type)))
    room = b.intrinsic(
        "llvm.smin", b.intrinsic("llvm.smax", room, b.int(-1, x.type)), b.int(span + 1, x.type)
    )
    bits = min(32, max(8, ev.context.target.vector_bits // ev.lanes), x.type.bits)
    bits = bits if span + 1 < 1 << (bits - 1) else min(32, x.type.bits)
    if bits != x.type.bits:
        room = b.cast("trunc", room, f"i{bits}")
    lanes = b.ints([p - low for p in x.pattern], f"i{bits}")
    return b.icmp(predicate, lanes, b.splat(room, ev.lanes))


_NARROW_SPAN = 1 << 14
"""Lanes that lie closer together than this are compared in at most 32 bits."""


def _add_pointer(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    x, y = (ev.lane(v, point) for v in op.operands)
    pointer_type = element_of(value.type)
    assert isinstance(pointer_type, PointerType)
    left, right = ev.linear.of(x, ev.lanes), ev.linear.of(y, ev.lanes)

    def exact() -> Val:
        args = [ev.linear.vector(x, ev.lanes), ev.linear.vector(y, ev.lanes)]
        if any(a.lanes > 1 for a in args):
            args = [ev.b.splat(a, ev.lanes) for a in args]
        return elementwise.apply(ev.b, op, args, ev.context.target)[0]

    if left is None or right is None or ev.linear.may_wrap(right):
        return exact()
    total = ev.linear.add_to_pointer(left, right, pointer_type.pointee.bytes)
    return with_exact(total, exact) if total.guards else total


def _bitcast(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    if isinstance(value.element, PointerType):
        return ev.lane(op.operands[0], point)
    return elementwise.apply(ev.b, op, [ev.value(op.operands[0], point)], ev.context.target)[0]


def _poison(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    return ev.b.null(register_type(value.element))


ARITHMETIC = (_add, _multiply, _extend, _divide, _compare, _add_pointer, _bitcast)

RULES: dict[str, Rule] = {
    "tt.make_range": _range,
    "tt.splat": _splat,
    "arith.constant": _constant,
    "ub.poison": _poison,
    **dict.fromkeys(MOVES, _move),
    "tt.join": _join,
    "tt.cat": _cat,
    "tt.gather": _gather,
    "tt.reduce": _reduce,
    "tt.map_elementwise": _map_elementwise,
    EXCHANGE: exchange,
    "tt.load": _load,
    "arith.addi": _add,
    "arith.subi": _add,
    "arith.muli": _multiply,
    "arith.extsi": _extend,
    "arith.index_cast": _extend,
    "arith.trunci": _extend,
    "arith.divsi": _divide,
    "arith.divui": _divide,
    "arith.remsi": _divide,
    "arith.remui": _divide,
    "arith.cmpi": _compare,
    "tt.addptr": _add_pointer,
    "tt.bitcast": _bitcast,
}

SAME_POINT = frozenset(name for name, rule in RULES.items() if rule in ARITHMETIC)
"""Operations with a rule that read each of their tiles at their own point."""
