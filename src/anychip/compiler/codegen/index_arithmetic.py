"""Integer arithmetic that stays linear: sums, products, quotients and comparisons of indices, and addresses.

In: operands at a point, as vectors or linear forms (`Lin`). Out: a linear form wherever there is one, with
what it depends on (`guards`) and the way to the exact vector.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir.core import Op, Value
from ..ir.types import PointerType, element_of
from ..llvm.types import I32, Val
from . import elementwise
from .evaluation import Evaluation, evaluates, evaluates_pointwise
from .linear import Lane, Lin, with_exact
from .point import Point
from .register_types import register_type

_NARROW_SPAN = 1 << 14
"""Lanes that lie closer together than this are compared in at most 32 bits."""


@evaluates("tt.make_range")
def make_range(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """The index along the only axis, from the start of the range on."""
    index = point[0]
    return ev.linear.index(I32, index.base, op.attrs["start"], index.pattern, ev.lanes)


@evaluates_pointwise("arith.addi", "arith.subi")
def add(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """A sum or a difference."""
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


@evaluates_pointwise("arith.muli")
def multiply(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """A product, linear where one factor is the same in all lanes."""
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


@evaluates_pointwise("arith.extsi", "arith.index_cast", "arith.trunci")
def extend(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """An index with more bits or fewer."""
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


@evaluates_pointwise("arith.divsi", "arith.divui", "arith.remsi", "arith.remui")
def divide(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
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
"""Predicates with their operands exchanged."""


@evaluates_pointwise("arith.cmpi")
def compare(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """Compare an index, `scalar + constant of the lane`, with a bound: the lanes' constants are compared
    with the bound less the scalar. They are narrow and the same in every chunk, whatever the index's type."""
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


@evaluates_pointwise("tt.addptr")
def add_pointer(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """Addresses of elements, some elements on."""
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


@evaluates_pointwise("tt.bitcast")
def bitcast(ev: Evaluation, op: Op, value: Value, point: Point) -> Lane:
    """The same bits; an address stays one."""
    if isinstance(value.element, PointerType):
        return ev.lane(op.operands[0], point)
    return elementwise.apply(ev.b, op, [ev.value(op.operands[0], point)], ev.context.target)[0]
