"""Operations done element by element, in order: atomics, printing and assertions.

They come as scalars of a program (`Scalar` steps) or as roots of a scalar nest (`PerElement`); both end
here, with one element's registers.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import UnsupportedOperation
from ..ir.core import Op
from ..ir.types import PointerType, ScalarType, element_of
from ..llvm.types import I1, I32, I64, PTR, LLType, Val, mangle
from ..schedule.steps import Graph, PerElement
from . import casts, check_routines, graphs
from .buffers import write_buffer
from .check_table import MISALIGNED
from .checked_access import CheckedAccess
from .checks import KINDS, Checks
from .context import Context
from .dispatch import Rules
from .evaluation import Evaluation
from .point import Index, Point
from .register_types import register_type

ORDERINGS = {"relaxed": "monotonic", "acquire": "acquire", "release": "release", "acq_rel": "acq_rel"}
FAILURE_ORDERINGS = {
    "monotonic": "monotonic",
    "acquire": "acquire",
    "release": "monotonic",
    "acq_rel": "acquire",
}
UPDATES = {
    "and": "and", "or": "or", "xor": "xor", "add": "add", "max": "max", "min": "min", "umax": "umax",
    "umin": "umin", "exch": "xchg", "fadd": "fadd",
}  # fmt: skip

Action = Callable[[Context, Op, list[Val], list[Val]], list[Val]]
"""Does an operation on the registers of its operands, which are at an index (i32 for each axis) of a tile."""

ACTIONS: Rules[Action] = Rules()
performs = ACTIONS.register


def element(ev: Evaluation, root: PerElement, point: Point) -> Callable[[], None]:
    """Evaluate one element's operands; the call that is returned does the operation."""
    op = root.op
    if root.body is not None:
        return _mapped(ev, root, root.body, point)
    args = [ev.value(v, point) if v.shape else ev.context.scalars[v] for v in op.operands]
    index = [i.base if isinstance(i.base, Val) else ev.b.int(i.base) for i in point]
    checked = _checked(ev, op, point)

    def commit() -> None:
        results = perform(ev.context, op, args, index, checked)
        for buffer, result in zip(root.buffers, results, strict=True):
            if buffer is not None:
                write_buffer(ev.context, ev.lanes, buffer, result, point)

    return commit


def _mapped(ev: Evaluation, root: PerElement, body: Graph, point: Point) -> Callable[[], None]:
    """Run a function of scalars on `root.pack` neighbouring elements."""
    op, context = root.op, ev.context
    last = point[-1]
    points = []
    for k in range(root.pack):
        base = last.base + k if isinstance(last.base, int) else ev.b.add(last.base, ev.b.int(k))
        points.append((*point[:-1], Index(base, None, (last.tag, k))))
    args = [ev.value(v, at) for v in op.operands for at in points]

    def commit() -> None:
        context.scalars.update(zip(op.regions[0].entry.args, args, strict=True))
        results = graphs.call(context, body)
        for k, buffer in enumerate(root.buffers):
            for j, at in enumerate(points):
                if buffer is not None:
                    write_buffer(context, ev.lanes, buffer, results[k * root.pack + j], at)

    return commit


def perform(
    context: Context, op: Op, args: list[Val], index: list[Val], checked: CheckedAccess | None = None
) -> list[Val]:
    """Do `op` on scalars; `index` is the element's position in its tile. An access may be `checked`."""
    if op.name.startswith("tt.atomic"):
        masked = op.name == "tt.atomic_rmw" and len(args) > 2
        context.note(op, "atomic", "scalar", "mask" if masked else "none")
        if checked is not None:
            return [_checked_update(context, op, args, index, checked)]
    return ACTIONS[op.name](context, op, args, index)


def perform_scalar(context: Context, op: Op, args: list[Val]) -> list[Val]:
    """Do `op` once, on scalars."""
    return perform(context, op, args, [], _checked(Evaluation(context, 1), op, ()))


def _checked(ev: Evaluation, op: Op, point: Point) -> CheckedAccess | None:
    """The checks of an access, if it is one and they are wanted."""
    checks = ev.context.checks
    return CheckedAccess(checks, ev, op, point) if checks is not None and op.name in KINDS else None


def _checked_update(
    context: Context, op: Op, args: list[Val], index: list[Val], checked: CheckedAccess
) -> Val:
    """An atomic operation that is done where its mask, if it has one, and the checks allow it."""
    b = context.b
    masked = op.name == "tt.atomic_rmw" and len(args) > 2
    mask = args[2] if masked and args[2].ref != "true" else None
    unmasked = args[:2] if masked else args

    def run(on: Val) -> Val:
        if on.ref == "true":
            return ACTIONS[op.name](context, op, unmasked, index)[0]
        then, done = b.label("atomic"), b.label("updated")
        before = b.block
        b.cond_br(on, then, done)
        b.place(then)
        old = ACTIONS[op.name](context, op, unmasked, index)[0]
        end = b.block
        b.place(done)
        return b.merge([(before, [b.null(old.type)]), (end, [old])])[0]

    return checked.update(args[0], mask, run)


def _pointee(op: Op) -> ScalarType:
    pointer = element_of(op.operands[0].type)
    assert isinstance(pointer, PointerType)
    if not isinstance(pointer.pointee, ScalarType):
        raise UnsupportedOperation(op, "atomics on pointers to pointers are not defined")
    return pointer.pointee


@performs("tt.atomic_rmw")
def _update(context: Context, op: Op, args: list[Val], index: list[Val]) -> list[Val]:
    b = context.b
    type = register_type(op.operands[1].element)
    if len(args) < 3 or args[2].ref == "true":
        return [_read_modify_write(context, op, args[0], args[1])]
    then, done = b.label("atomic"), b.label("updated")
    before = b.block
    b.cond_br(args[2], then, done)
    b.place(then)
    old = _read_modify_write(context, op, args[0], args[1])
    end = b.block
    b.place(done)
    return b.merge([(before, [b.null(type)]), (end, [old])])


def _read_modify_write(context: Context, op: Op, pointer: Val, value: Val) -> Val:
    b = context.b
    kind, ordering = op.attrs["kind"], ORDERINGS[op.attrs["sem"]]
    element = op.operands[1].element
    assert isinstance(element, ScalarType)
    if element.is_float and element.bits < 32:
        if kind == "exch":
            bits = b.cast("bitcast", value, f"i{element.bits}")
            old = b.raw(bits.type, f"atomicrmw xchg {pointer}, {bits} {ordering}")
            return b.cast("bitcast", old, value.type.element)
        return _small_float_add(context, op, element, pointer, value, ordering)
    if kind not in UPDATES:
        raise UnsupportedOperation(op, f"no atomic of kind {kind!r}")
    return b.raw(value.type, f"atomicrmw {UPDATES[kind]} {pointer}, {value} {ordering}")


def _small_float_add(
    context: Context, op: Op, element: ScalarType, pointer: Val, value: Val, ordering: str
) -> Val:
    """Repeat a compare-and-swap until no other thread has changed the element meanwhile: f16 and bf16 have
    no atomic addition."""
    b, target = context.b, context.target
    if op.attrs["kind"] != "fadd":
        raise UnsupportedOperation(op, f"atomic {op.attrs['kind']} on {element} is not defined")
    bits = LLType(f"i{element.bits}")
    register = register_type(element)
    added = casts.widen(b, value, element, target)
    first = b.load(bits, pointer, element.bytes)
    before, again, done = b.block, b.label("retry"), b.label("swapped")
    b.place(again)
    expected = b.phi(bits)
    expected.add(first, before)
    old = b.cast("bitcast", expected.val, register.element)
    total = casts.narrow(b, b.fadd(casts.widen(b, old, element, target), added), element, target)
    wanted = b.cast("bitcast", total, bits.element)
    pair = b.raw(
        LLType("pair"),
        f"cmpxchg {pointer}, {expected.val}, {wanted} {ordering} {FAILURE_ORDERINGS[ordering]}",
    )
    seen = b.raw(bits, f"extractvalue {{ {bits}, i1 }} {pair.ref}, 0")
    swapped = b.raw(I1, f"extractvalue {{ {bits}, i1 }} {pair.ref}, 1")
    expected.add(seen, b.block)
    b.cond_br(swapped, done, again)
    b.place(done)
    return b.cast("bitcast", seen, register.element)


@performs("tt.atomic_cas")
def _compare_and_swap(context: Context, op: Op, args: list[Val], index: list[Val]) -> list[Val]:
    b = context.b
    pointer, expected, value = args
    pointee = _pointee(op)
    ordering = ORDERINGS[op.attrs["sem"]]
    bits = f"i{pointee.bits}"
    a, c = (b.cast("bitcast", v, bits) for v in (expected, value))
    pair = b.raw(LLType("pair"), f"cmpxchg {pointer}, {a}, {c} {ordering} {FAILURE_ORDERINGS[ordering]}")
    seen = b.raw(LLType(bits), f"extractvalue {{ {bits}, i1 }} {pair.ref}, 0")
    return [b.cast("bitcast", seen, expected.type.element)]


@performs("tt.assert")
def _assert(context: Context, op: Op, args: list[Val], index: list[Val]) -> list[Val]:
    """A false condition leaves its number and the program id in the arena's status block."""
    b = context.b
    if context.checks is not None and op.attrs["message"].startswith(MISALIGNED):
        return _descriptor(context, context.checks, op, args[0])
    text = f"{op.attrs['message']} ({op.location})"
    if text not in context.messages:
        context.messages.append(text)
    code = context.messages.index(text) + 1
    failed, done = b.label("failed"), b.label("asserted")
    b.cond_br(_everywhere(context, args[0]), done, failed)
    b.place(failed)
    b.store(b.int(code), context.arena, 4)
    for axis in range(3):
        b.store(context.program[axis], b.gep(context.arena, 4 * (axis + 1)), 4)
    b.place(done)
    return []


def _descriptor(context: Context, checks: Checks, op: Op, aligned: Val) -> list[Val]:
    """A descriptor that is not aligned goes into the record of its check."""
    b = context.b
    failed, done = b.label("misaligned"), b.label("aligned")
    b.cond_br(aligned, done, failed, checks.likely)
    b.place(failed)
    routine = check_routines.failed
    routine.require(b.module)
    nothing = b.int(0, I64)
    record = checks.record_of_descriptor(b, op)
    b.call(routine.name, "void", [record, nothing, nothing, b.int(0), *context.program])
    b.place(done)
    return []


def _everywhere(context: Context, condition: Val) -> Val:
    """Whether a condition holds in all lanes, as a scalar."""
    if condition.lanes == 1:
        return condition
    return context.b.call(f"llvm.vector.reduce.and.{mangle(condition.type)}", I1, [condition])


@performs("tt.print")
def _print(context: Context, op: Op, args: list[Val], index: list[Val]) -> list[Val]:
    """One line for each element: program id, index in the tile, prefix, value.

    Indices are as wide as the largest of their axis, so that lines align.
    """
    prefix = op.attrs["prefix"].replace("%", "%%")
    if not args:
        _printf(context, f"pid (%d, %d, %d){prefix}\n", list(context.program))
        return []
    signs = op.attrs.get("is_signed") or []
    numbers = op.attrs.get("numbers") or (range(len(args)) if len(args) > 1 else [None])
    shape = next((v.shape for v in op.operands if v.shape), ())
    place = ", ".join(f"%{len(str(size - 1))}d" for size in shape)
    for position, (operand, value, number) in enumerate(zip(op.operands, args, numbers, strict=True)):
        signed = bool(signs[position]) if position < len(signs) else True
        spec, converted = _format(context, operand.element, value, signed, bool(op.attrs.get("hex")))
        several = "" if number is None else f"(operand {number}) "
        text = f"pid (%d, %d, %d) idx ({place}){prefix}{several}{spec}\n"
        _printf(context, text, [*context.program, *index, converted])
    return []


def _format(
    context: Context, element: object, value: Val, signed: bool, hexadecimal: bool
) -> tuple[str, Val]:
    b = context.b
    if isinstance(element, PointerType):
        return "%p", value
    assert isinstance(element, ScalarType)
    if element.is_float:
        wide = casts.widen(b, value, element, context.target)
        return "%f", b.cast("fpext", wide, "double")
    if hexadecimal:
        return f"0x%0{max(1, element.bits // 4)}llx", b.cast("zext", value, "i64")
    signed = signed and element.bits > 1
    return ("%lld" if signed else "%llu"), b.cast("sext" if signed else "zext", value, "i64")


def _printf(context: Context, text: str, args: list[Val]) -> None:
    b = context.b
    b.module.declarations.setdefault("printf", "declare i32 @printf(ptr, ...)")
    format = b.module.string(text.encode())
    b.raw(I32, f"call i32 (ptr, ...) @printf({', '.join(map(str, [format, *args]))})")
    b.call("fflush", I32, [Val("null", PTR)])
