"""PTX's arithmetic on integers and floats, as operations of tile IR.

Each rule is a function of the registers and the instruction, in one table by the instruction's name. The
meaning is that of NVIDIA's "PTX ISA", chapter 9.7. Approximate functions (`tanh.approx`, `ex2.approx`) are
computed to the accuracy of this compiler's own functions, which is better; `.ftz` keeps subnormals.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir.core import Value
from ..ir.types import F32, F64, I32, I64, ScalarType
from .registers import HALVES, INTEGERS, TYPES, Registers
from .text import Instruction, Malformed

Rule = Callable[[Registers, Instruction], Value | tuple[Value, ...] | None]
"""Gives the result, or one value for each of `p|q`, or None where nothing is written."""

IGNORED = {"ftz", "approx", "full", "rn", "sync", "aligned"}
"""Modifiers that change nothing here."""
_DIRECTED = {"rz": "rz", "rm": "rd", "rp": "ru"}
"""PTX's rounding modes -> the endings of libdevice's names."""


def kind_of(step: Instruction) -> str:
    """The type of an instruction, its last modifier."""
    if not step.modifiers or step.modifiers[-1] not in TYPES:
        raise Malformed(f"{step.text!r} has no type that is known here")
    return step.modifiers[-1]


def is_signed(kind: str) -> bool:
    """Whether a type is a signed integer."""
    return kind.startswith("s")


def extern(r: Registers, symbol: str, args: list[Value], element: ScalarType) -> Value:
    """A function of libdevice."""
    return r.op("tt.extern_elementwise", args, element, symbol=symbol, libname="", libpath="", pure=True)


def unknown(step: Instruction, *known: str) -> None:
    """Raises `Malformed` for a modifier that has no meaning here."""
    for modifier in step.modifiers:
        if modifier not in IGNORED and modifier not in TYPES and modifier not in known:
            raise Malformed(f"the modifier .{modifier} of {step.text!r} has no meaning here")


def elementwise(
    r: Registers, step: Instruction, kind: str, compute: Callable[[list[Value], str], Value]
) -> Value:
    """`compute` of the sources, for both halves where the type is packed."""
    sources = [r.read(operand, kind) for operand in step.operands[1:]]
    if kind not in HALVES:
        return compute(sources, kind)
    half = HALVES[kind]
    parts = []
    for k in range(2):
        each = [r.op("arith.shrui", [v, r.constant(16 * k, I32)], I32) if k else v for v in sources]
        parts.append(r.bits(compute([r.cast(r.resize(v, 16), half) for v in each], kind[:-2])))
    high = r.op("arith.shli", [r.resize(parts[1], 32), r.constant(16, I32)], I32)
    return r.op("arith.ori", [r.resize(parts[0], 32), high], I32)


def saturated(r: Registers, value: Value, step: Instruction) -> Value:
    """`.sat` of floats: within [0, 1], NaN gives 0; `.relu`: not below 0."""
    element = value.element
    assert isinstance(element, ScalarType)
    if "sat" in step.modifiers:
        low = r.op("arith.maxnumf", [value, r.constant(0.0, element)], element)
        return r.op("arith.minnumf", [low, r.constant(1.0, element)], element)
    if "relu" in step.modifiers:
        return r.op("arith.maximumf", [value, r.constant(0.0, element)], element)
    return value


# ---- sums and products --------------------------------------------------------------------------------

_FLOAT_OPS = {"add": "arith.addf", "sub": "arith.subf", "mul": "arith.mulf"}
_INTEGER_OPS = {"add": "arith.addi", "sub": "arith.subi", "mul": "arith.muli"}


def _directed(step: Instruction) -> str:
    return next((_DIRECTED[m] for m in step.modifiers if m in _DIRECTED), "")


def _sum(r: Registers, step: Instruction) -> Value:
    kind = kind_of(step)
    if TYPES[kind].is_integer and kind not in HALVES:
        if step.name == "mul":
            return _product(r, step)
        unknown(step)
        return r.op(_INTEGER_OPS[step.name], [r.read(o, kind) for o in step.operands[1:]], TYPES[kind])
    unknown(step, "sat", "rz", "rm", "rp")
    mode = _directed(step)

    def compute(args: list[Value], kind: str) -> Value:
        element = TYPES[kind]
        if not mode:
            return saturated(r, r.op(_FLOAT_OPS[step.name], args, element), step)
        if element not in (F32, F64):
            raise Malformed(f"{step.text!r}: rounding modes are for f32 and f64")
        letter = "f" if element == F32 else "d"
        return saturated(r, extern(r, f"__nv_{letter}{step.name}_{mode}", args, element), step)

    return elementwise(r, step, kind, compute)


def _product(r: Registers, step: Instruction) -> Value:
    """`mul` and the product of `mad` of integers: `.lo`, `.hi` or `.wide`."""
    unknown(step, "lo", "hi", "wide")
    kind = kind_of(step)
    element = TYPES[kind]
    a, b = (r.read(o, kind) for o in step.operands[1:3])
    if "lo" in step.modifiers:
        return r.op("arith.muli", [a, b], element)
    if element.bits == 64 and "hi" in step.modifiers:
        symbol = "__nv_mul64hi" if is_signed(kind) else "__nv_umul64hi"
        return extern(r, symbol, [a, b], I64)
    bits = 2 * element.bits
    wide = [r.resize(v, bits, is_signed(kind)) for v in (a, b)]
    product = r.op("arith.muli", wide, INTEGERS[bits])
    if "wide" in step.modifiers:
        return product
    if "hi" not in step.modifiers:
        raise Malformed(f"{step.text!r} says neither .lo nor .hi nor .wide")
    high = r.op("arith.shrui", [product, r.constant(element.bits, INTEGERS[bits])], INTEGERS[bits])
    return r.resize(high, element.bits)


def _mad(r: Registers, step: Instruction) -> Value:
    kind = kind_of(step)
    if not TYPES[kind].is_integer:
        return _fma(r, step)
    product = _product(r, step)
    bits = product.element.bits
    addend = r.read(step.operands[3], f"{kind[0]}{bits}")
    return r.op("arith.addi", [product, addend], INTEGERS[bits])


def _fma(r: Registers, step: Instruction) -> Value:
    unknown(step, "sat", "relu", "rz", "rm", "rp")
    mode = _directed(step)

    def compute(args: list[Value], kind: str) -> Value:
        element = TYPES[kind]
        if mode:
            symbol = "__nv_fmaf" if element == F32 else "__nv_fma"
            return saturated(r, extern(r, f"{symbol}_{mode}", args, element), step)
        return saturated(r, r.op("math.fma", args, element), step)

    return elementwise(r, step, kind_of(step), compute)


def _quotient(r: Registers, step: Instruction) -> Value:
    unknown(step, "rz", "rm", "rp")
    kind = kind_of(step)
    args = [r.read(o, kind) for o in step.operands[1:]]
    element = TYPES[kind]
    if element.is_float:
        mode = _directed(step)
        if mode:
            return extern(r, f"__nv_{'f' if element == F32 else 'd'}div_{mode}", args, element)
        return r.op("tt.precise_divf" if element == F32 else "arith.divf", args, element)
    name = {"div": "div", "rem": "rem"}[step.name] + ("si" if is_signed(kind) else "ui")
    return r.op(f"arith.{name}", args, element)


# ---- one or two operands ------------------------------------------------------------------------------


def _extreme(r: Registers, step: Instruction) -> Value:
    unknown(step, "NaN")
    word = step.name
    suffix = "imumf" if "NaN" in step.modifiers else "numf"

    def compute(args: list[Value], kind: str) -> Value:
        element = TYPES[kind]
        if element.is_float:
            return r.op(f"arith.{word}{suffix}", args, element)
        return r.op(f"arith.{word}{'si' if is_signed(kind) else 'ui'}", args, element)

    return elementwise(r, step, kind_of(step), compute)


def _magnitude(r: Registers, step: Instruction) -> Value:
    unknown(step)

    def compute(args: list[Value], kind: str) -> Value:
        element = TYPES[kind]
        if step.name == "abs":
            return r.op("math.absf" if element.is_float else "math.absi", args, element)
        if element.is_float:
            return r.op("arith.negf", args, element)
        return r.op("arith.subi", [r.constant(0, element), *args], element)

    return elementwise(r, step, kind_of(step), compute)


_REAL = {
    "ex2": ("math.exp2", "tt"),
    "lg2": ("math.log2", "tt"),
    "sqrt": ("tt.precise_sqrt", "sqrt"),
    "rsqrt": ("math.rsqrt", "rsqrt"),
    "sin": ("math.sin", "tt"),
    "cos": ("math.cos", "tt"),
    "tanh": ("math.tanh", "tt"),
    "rcp": ("", "rcp"),
}
"""Functions of one real: the operation, and libdevice's stem for rounding modes."""


def _function(r: Registers, step: Instruction) -> Value:
    unknown(step, "rz", "rm", "rp")
    operation, stem = _REAL[step.name]
    mode = _directed(step)

    def compute(args: list[Value], kind: str) -> Value:
        element = TYPES[kind]
        if not element.is_float:
            raise Malformed(f"{step.text!r}: {step.name} is for floats")
        if mode:
            if stem == "tt":
                raise Malformed(f"{step.text!r} has no rounding mode")
            return extern(r, f"__nv_{'f' if element == F32 else 'd'}{stem}_{mode}", args, element)
        if step.name == "rcp":
            divide = "tt.precise_divf" if element == F32 else "arith.divf"
            return r.op(divide, [r.constant(1.0, element), *args], element)
        if element not in (F32, F64):
            wide = r.op("arith.extf", args, F32)
            return r.op("arith.truncf", [r.op(operation, [wide], F32)], element)
        if element == F64 and step.name == "sqrt":
            return r.op("math.sqrt", args, element)
        return r.op(operation, args, element)

    return elementwise(r, step, kind_of(step), compute)


def _copysign(r: Registers, step: Instruction) -> Value:
    kind = kind_of(step)
    sign, magnitude = (r.read(o, kind) for o in step.operands[1:3])
    return r.op("math.copysign", [magnitude, sign], TYPES[kind])


RULES: dict[str, Rule] = {
    **dict.fromkeys(("add", "sub", "mul"), _sum),
    "mad": _mad,
    "fma": _fma,
    **dict.fromkeys(("div", "rem"), _quotient),
    **dict.fromkeys(("min", "max"), _extreme),
    **dict.fromkeys(("abs", "neg"), _magnitude),
    **dict.fromkeys(_REAL, _function),
    "copysign": _copysign,
}
"""The instructions by name."""
