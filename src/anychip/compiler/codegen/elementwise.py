"""Elementwise operations on registers, scalar or vector alike.

`apply` takes an operation of the tile IR and registers for its operands and gives registers for
its results. Small floats (f16, bf16, fp8) are computed in f32 and rounded after each operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import UnsupportedOperation
from ..ir.core import Op
from ..ir.types import ElementType, PointerType, ScalarType
from ..llvm.builder import Builder
from ..llvm.types import LLType, Val
from ..targets.target import Target
from . import casts
from .dispatch import Rules
from .math import table as math_table
from .register_types import register_type

Rule = Callable[[Builder, Op, list[Val], Target], Val]
"""Computes the result of an operation from the registers of its operands."""

RULES: Rules[Rule] = Rules()
computes = RULES.register

SEVERAL: Rules[Callable[[Builder, Op, list[Val], Target], list[Val]]] = Rules()
"""The same for operations with several results."""

computes_several = SEVERAL.register

_INTEGER = {
    "arith.addi": "add", "arith.subi": "sub", "arith.muli": "mul", "arith.andi": "and", "arith.ori": "or",
    "arith.xori": "xor",
}  # fmt: skip
_INTRINSIC = {
    "arith.maxsi": "llvm.smax", "arith.minsi": "llvm.smin", "arith.maxui": "llvm.umax",
    "arith.minui": "llvm.umin",
}  # fmt: skip
_FLOAT = {"arith.addf": "fadd", "arith.subf": "fsub", "arith.mulf": "fmul", "arith.divf": "fdiv",
          "tt.precise_divf": "fdiv", "tt.approx_divf": "fdiv"}  # fmt: skip
_SHIFT = {"arith.shli": "shl", "arith.shrsi": "ashr", "arith.shrui": "lshr"}
_DIVISION = {
    "arith.divsi": ("sdiv", True), "arith.divui": ("udiv", False), "arith.remsi": ("srem", True),
    "arith.remui": ("urem", False),
}  # fmt: skip
MATH = {
    "math.absf": "abs", "math.powf": "pow", "math.round": "round", "math.roundeven": "rint",
    "tt.precise_sqrt": "sqrt", "math.ctlz": "clz", "math.ctpop": "popc", "arith.remf": "fmod",
}  # fmt: skip
"""Names of `codegen.math` for operations whose own name differs."""

WIDE = frozenset({"f32", "f64"})


def apply(b: Builder, op: Op, args: list[Val], target: Target) -> list[Val]:
    """The results of `op` on `args`. Raises `UnsupportedOperation` when there is no rule."""
    if op.name in SEVERAL:
        return SEVERAL[op.name](b, op, args, target)
    rule = RULES.get(op.name)
    if rule is None and op.name.startswith("math."):
        rule = _math
    if rule is None:
        raise UnsupportedOperation(op, "no rule computes this operation", "please report the kernel")
    return [rule(b, op, args, target)]


def constant(b: Builder, value: Any, element: ElementType, target: Target) -> Val:
    """A scalar constant of a tile IR element type."""
    if isinstance(element, PointerType):
        return (
            b.cast("inttoptr", b.int(int(value), LLType("i64")), "ptr")
            if value
            else Val("null", LLType("ptr"))
        )
    if element.is_integer:
        return b.int(int(value), register_type(element))
    number = float(value)
    if element.name in WIDE or element.name == "f16":
        return b.float(number, register_type(element))
    return casts.narrow(b, b.float(number), element, target)


def _element(op: Op, index: int = 0) -> ScalarType:
    element = op.operands[index].element
    assert isinstance(element, ScalarType), op
    return element


def _in_f32(b: Builder, op: Op, args: list[Val], target: Target, compute: Callable[..., Val]) -> Val:
    """Run `compute` on the operands, widened to f32 and rounded back when they are small floats."""
    element = _element(op)
    if element.name in WIDE or element.is_integer:
        return compute(*args)
    wide = [casts.widen(b, v, element, target) for v in args]
    return casts.narrow(b, compute(*wide), element, target)


@computes(*_INTEGER)
def _integer(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    x, y = args
    return b.and_(x, y) if op.name == "arith.andi" else b.binary(_INTEGER[op.name], x, y)


@computes(*_INTRINSIC)
def _intrinsic(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    return b.intrinsic(_INTRINSIC[op.name], *args)


@computes(*_FLOAT)
def _float(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    return _in_f32(b, op, args, target, lambda x, y: b.binary(_FLOAT[op.name], x, y))


@computes(*_SHIFT)
def _shift(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    """Shifting by the width or more gives 0 (or the sign), where LLVM would leave it undefined."""
    value, amount = args
    bits = value.type.bits
    known = amount.constant_int
    if known is not None and 0 <= known < bits:
        return b.binary(_SHIFT[op.name], value, amount)
    value, amount = b.unify(value, amount)
    inside = b.icmp("ult", amount, b.int(bits, amount.type))
    if op.name == "arith.shrsi":
        return b.ashr(value, b.select(inside, amount, b.int(bits - 1, amount.type)))
    shifted = b.binary(_SHIFT[op.name], value, b.select(inside, amount, b.int(0, amount.type)))
    return b.select(inside, shifted, b.int(0, value.type))


def divide(b: Builder, opcode: str, signed: bool, x: Val, y: Val) -> Val:
    """Integer division or remainder that never traps: a divisor of zero, and the smallest integer
    by -1, give some value instead of killing the process."""
    known = y.constant_int
    if known is not None and known not in (0, -1):
        return b.binary(opcode, x, y)
    x, y = b.unify(x, y)
    one = b.int(1, y.type)
    bad = b.icmp("eq", y, b.int(0, y.type))
    if signed:
        minus_one = b.icmp("eq", y, b.int(-1, y.type))
        safe = b.select(b.or_(bad, minus_one), one, y)
        result = b.binary(opcode, x, safe)
        other = b.int(0, x.type) if opcode == "srem" else b.sub(b.int(0, x.type), x)
        return b.select(minus_one, other, result)
    return b.binary(opcode, x, b.select(bad, one, y))


@computes(*_DIVISION)
def _division(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    opcode, signed = _DIVISION[op.name]
    x, y = args
    bits = x.type.bits
    if x.lanes > 1 and bits <= 32 and y.constant_int is None and x.type.element != "i1":
        return _divide_in_double(b, opcode, signed, x, y)
    return divide(b, opcode, signed, x, y)


def _divide_in_double(b: Builder, opcode: str, signed: bool, x: Val, y: Val) -> Val:
    """Vectors of integers of up to 32 bits: a double quotient truncates to the exact integer one."""
    x, y = b.unify(x, y)
    bad = b.icmp("eq", y, b.int(0, y.type))
    safe = b.select(bad, b.int(1, y.type), y)
    if signed and x.type.bits == 32:
        negate = b.icmp("eq", safe, b.int(-1, y.type))
        divisor = b.select(negate, b.int(1, y.type), safe)
    else:
        negate, divisor = None, safe
    convert, back = ("sitofp", "fptosi") if signed else ("uitofp", "fptoui")
    quotient = b.cast(
        back, b.fdiv(b.cast(convert, x, "double"), b.cast(convert, divisor, "double")), x.type.element
    )
    if negate is not None:
        quotient = b.select(negate, b.sub(b.int(0, x.type), x), quotient)
    if opcode in ("srem", "urem"):
        return b.sub(x, b.mul(quotient, safe))
    return quotient


@computes("arith.ceildivsi", "arith.ceildivui", "arith.floordivsi")
def _rounded_division(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    """ceildivsi, ceildivui and floordivsi by way of quotient and remainder."""
    signed = op.name.endswith("si")
    x, y = b.unify(*args)
    quotient = divide(b, "sdiv" if signed else "udiv", signed, x, y)
    remainder = b.sub(x, b.mul(quotient, y))
    zero = b.int(0, x.type)
    inexact = b.icmp("ne", remainder, zero)
    if signed:
        same_sign = b.icmp("sge", b.xor(x, y), zero)
        up = op.name == "arith.ceildivsi"
        inexact = b.and_(inexact, same_sign if up else b.icmp("slt", b.xor(x, y), zero))
    one = b.cast("zext", inexact, x.type.element)
    return b.sub(quotient, one) if op.name == "arith.floordivsi" else b.add(quotient, one)


def minimum_maximum(b: Builder, greater: bool, propagate_nan: bool, x: Val, y: Val) -> Val:
    """The larger (or smaller) of two floats; with a NaN operand either NaN or the other one. Of two
    zeros it is either: the instruction that tells them apart is dear where it exists at all."""
    if propagate_nan:
        return b.intrinsic(f"llvm.{'maximum' if greater else 'minimum'}", *b.unify(x, y), flags="nsz")
    picked = b.select(b.fcmp("ogt" if greater else "olt", x, y), x, y)
    return b.select(b.fcmp("uno", y, y), x, picked)


@computes("arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf")
def _minmax(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    greater = "max" in op.name
    propagate = "imum" in op.name
    return _in_f32(b, op, args, target, lambda x, y: minimum_maximum(b, greater, propagate, x, y))


@computes("tt.clampf", "math.clampf")
def _clamp(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    propagate = bool(op.attrs.get("propagate_nan"))

    def compute(x: Val, low: Val, high: Val) -> Val:
        above = minimum_maximum(b, True, False, x, low)
        clamped = minimum_maximum(b, False, False, above, high)
        return b.select(b.fcmp("uno", x, x), x, clamped) if propagate else clamped

    return _in_f32(b, op, b.unify(*args), target, compute)


@computes("arith.negf")
def _negate(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    return _in_f32(b, op, args, target, b.fneg)


@computes("arith.cmpi")
def _compare_integers(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    return b.icmp(op.attrs["predicate"], *args)


@computes("arith.cmpf")
def _compare_floats(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    element = _element(op)
    predicate = op.attrs["predicate"]
    if predicate in ("true", "false"):
        return b.int(int(predicate == "true"), LLType("i1"))
    wide = [casts.widen(b, v, element, target) for v in args]
    return b.fcmp(predicate, *wide)


@computes("arith.select")
def _select(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    cond, x, y = args
    if cond.lanes == 1 and max(x.lanes, y.lanes) > 1:
        x, y = b.unify(x, y)
    return b.select(cond, x, y)


@computes("arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast", "arith.index_castui")
def _cast_integer(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    source, result = _element(op), op.results[0].element
    assert isinstance(result, ScalarType)
    if op.name in ("arith.extsi", "arith.index_cast"):
        if source.bits < result.bits:
            return b.cast("sext", args[0], result.name)
        return b.cast("trunc", args[0], result.name)
    return casts.int_to_int(b, args[0], source, result, False, target)


@computes("arith.extf", "arith.truncf", "tt.fp_to_fp")
def _cast_float(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    rounding = op.attrs.get("rounding") or "rtne"
    return casts.float_to_float(b, args[0], _element(op), op.results[0].element, target, rounding)


@computes("arith.sitofp", "arith.uitofp")
def _int_to_float(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    signed = op.name == "arith.sitofp"
    return casts.int_to_float(b, args[0], _element(op), op.results[0].element, signed, target)


@computes("arith.fptosi", "arith.fptoui")
def _float_to_int(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    signed = op.name == "arith.fptosi"
    return casts.float_to_int(b, args[0], _element(op), op.results[0].element, signed, target)


@computes("tt.int_to_ptr")
def _to_pointer(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    return b.cast("inttoptr", args[0], "ptr")


@computes("tt.ptr_to_int")
def _from_pointer(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    return b.cast("ptrtoint", args[0], "i64")


@computes("arith.bitcast", "tt.bitcast")
def _bitcast(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    return b.cast("bitcast", args[0], register_type(op.results[0].element).element)


@computes("arith.remf", "tt.precise_sqrt")
def _math(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    name = MATH.get(op.name, op.name.removeprefix("math."))
    if op.name == "math.absi":
        return b.intrinsic("llvm.abs", args[0], extra=[Val("false", LLType("i1"))])
    if op.name == "math.fma":
        element = _element(op)
        if element.name in WIDE and target.fma:
            return b.fma(*b.unify(*args))
    if name not in math_table.FUNCTIONS:
        raise UnsupportedOperation(op, f"there is no function {name!r}", "please report the kernel")
    element = op.operands[0].element
    if isinstance(element, ScalarType) and element.is_float and op.results[0].element.is_integer:
        return math_table.emit(b, name, [casts.widen(b, v, element, target) for v in args], target)
    return _in_f32(b, op, args, target, lambda *vals: math_table.emit(b, name, list(vals), target))


@computes("tt.extern_elementwise")
def _extern(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    from . import libdevice

    symbol = op.attrs["symbol"]
    try:
        return libdevice.emit_libdevice(b, symbol, b.unify(*args) if args else args, target)
    except KeyError as error:
        raise UnsupportedOperation(
            op, f"no function {symbol!r} is known: {error.args[0]}", "use a name of tl.extra.libdevice"
        ) from error


@computes("tt.mulhiui")
def _multiply_high(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    x, y = args
    bits = x.type.bits
    wide = f"i{2 * bits}"
    product = b.mul(b.cast("zext", x, wide), b.cast("zext", y, wide))
    high = b.lshr(product, b.int(bits, LLType(wide)))
    return b.cast("trunc", high, x.type.element)


@computes("tt.addptr")
def _add_pointer(b: Builder, op: Op, args: list[Val], target: Target) -> Val:
    pointer = op.operands[0].element
    assert isinstance(pointer, PointerType)
    offset = b.cast("sext", args[1], "i64")
    size = pointer.pointee.bytes
    return b.gep(args[0], b.mul(offset, b.int(size, LLType("i64"))))


@computes_several("arith.mulsi_extended", "arith.mului_extended")
def _extended(b: Builder, op: Op, args: list[Val], target: Target) -> list[Val]:
    """A full product, as its low and high halves."""
    x, y = b.unify(*args)
    extend = "sext" if op.name == "arith.mulsi_extended" else "zext"
    wide = f"i{2 * x.type.bits}"
    product = b.mul(b.cast(extend, x, wide), b.cast(extend, y, wide))
    high = b.lshr(product, b.int(x.type.bits, LLType(wide, x.lanes)))
    return [b.cast("trunc", product, x.type.element), b.cast("trunc", high, x.type.element)]


@computes_several("arith.addui_extended")
def _add_with_carry(b: Builder, op: Op, args: list[Val], target: Target) -> list[Val]:
    x, y = b.unify(*args)
    total = b.add(x, y)
    return [total, b.icmp("ult", total, x)]
