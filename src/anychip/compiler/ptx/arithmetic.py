"""PTX's instructions on integers, bits, floats and predicates, as operations of tile IR.

Each rule is a function of the registers and the instruction, in one table by the instruction's name. The
meaning is that of NVIDIA's "PTX ISA", chapter 9.7. Approximate functions (`tanh.approx`, `ex2.approx`) are
computed to the accuracy of this compiler's own functions, which is better; `.ftz` keeps subnormals.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir.core import Value
from ..ir.types import F32, F64, I1, I32, I64, ScalarType
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


# ---- bits ---------------------------------------------------------------------------------------------

_LOGIC = {"and": "arith.andi", "or": "arith.ori", "xor": "arith.xori"}
_BIT_COUNTS = {"popc": "math.ctpop", "clz": "math.ctlz"}


def _logic(r: Registers, step: Instruction) -> Value:
    kind = kind_of(step)
    args = [r.read(o, kind) for o in step.operands[1:]]
    element = TYPES[kind]
    if step.name == "not":
        return r.op("arith.xori", [*args, r.constant(-1, element)], element)
    if step.name == "cnot":
        zero = r.op("arith.cmpi", [*args, r.constant(0, element)], I1, predicate="eq")
        return r.resize(zero, element.bits)
    return r.op(_LOGIC[step.name], args, element)


def _shift(r: Registers, step: Instruction) -> Value:
    """Amounts beyond the width give zeros, or copies of the sign, as in tile IR."""
    kind = kind_of(step)
    element = TYPES[kind]
    value = r.read(step.operands[1], kind)
    amount = r.read(step.operands[2], "u32")
    if element.bits < 32:
        amount = r.op("arith.minui", [amount, r.constant(element.bits, I32)], I32)
    name = "arith.shli" if step.name == "shl" else "arith.shrsi" if is_signed(kind) else "arith.shrui"
    return r.op(name, [value, r.resize(amount, element.bits)], element)


def _count(r: Registers, step: Instruction) -> Value:
    kind = kind_of(step)
    count = r.op(_BIT_COUNTS[step.name], [r.read(step.operands[1], kind)], TYPES[kind])
    return r.resize(count, 32)


def _reversed(r: Registers, step: Instruction) -> Value:
    kind = kind_of(step)
    symbol = "__nv_brev" if TYPES[kind].bits == 32 else "__nv_brevll"
    return extern(r, symbol, [r.read(step.operands[1], kind)], TYPES[kind])


def _ones(r: Registers, count: Value, element: ScalarType) -> Value:
    """As many low bits set, all of them from the width on."""
    one = r.op("arith.shli", [r.constant(1, element), count], element)
    return r.op("arith.subi", [one, r.constant(1, element)], element)


def _byte(r: Registers, operand: str, bits: int) -> Value:
    """The low byte of an operand, as an integer of this width."""
    low = r.op("arith.andi", [r.read(operand, "u32"), r.constant(0xFF, I32)], I32)
    return r.resize(low, bits)


def _extract(r: Registers, step: Instruction) -> Value:
    """`bfe`: the bits from a position on, zeros or copies of the sign above them."""
    kind = kind_of(step)
    element = TYPES[kind]
    value = r.read(step.operands[1], kind)
    position, length = (_byte(r, o, element.bits) for o in step.operands[2:4])
    if not is_signed(kind):
        moved = r.op("arith.shrui", [value, position], element)
        return r.op("arith.andi", [moved, _ones(r, length, element)], element)
    moved = r.op("arith.shrsi", [value, position], element)
    kept = r.op("arith.minui", [length, r.constant(element.bits, element)], element)
    up = r.op("arith.subi", [r.constant(element.bits, element), kept], element)
    return r.op("arith.shrsi", [r.op("arith.shli", [moved, up], element), up], element)


def _insert(r: Registers, step: Instruction) -> Value:
    """`bfi`: the low bits of the first source put into the second at a position."""
    kind = kind_of(step)
    element = TYPES[kind]
    bits, base = (r.read(o, kind) for o in step.operands[1:3])
    position, length = (_byte(r, o, element.bits) for o in step.operands[3:5])
    mask = r.op("arith.shli", [_ones(r, length, element), position], element)
    outside = r.op("arith.xori", [mask, r.constant(-1, element)], element)
    moved = r.op("arith.andi", [r.op("arith.shli", [bits, position], element), mask], element)
    return r.op("arith.ori", [r.op("arith.andi", [base, outside], element), moved], element)


def _permute(r: Registers, step: Instruction) -> Value:
    """`prmt` in its plain mode: each nibble of the selector names one of eight bytes, or its sign."""
    unknown(step)
    low, high, selector = (r.read(o, "b32") for o in step.operands[1:4])
    top = r.op("arith.shli", [r.resize(high, 64), r.constant(32, I64)], I64)
    both = r.op("arith.ori", [r.resize(low, 64), top], I64)
    total: Value | None = None
    for k in range(4):
        nibble = r.op("arith.shrui", [selector, r.constant(4 * k, I32)], I32)
        index = r.op("arith.andi", [nibble, r.constant(7, I32)], I32)
        amount = r.resize(r.op("arith.shli", [index, r.constant(3, I32)], I32), 64)
        byte = r.resize(r.op("arith.shrui", [both, amount], I64), 32)
        byte = r.op("arith.andi", [byte, r.constant(0xFF, I32)], I32)
        sign = r.op("arith.cmpi", [byte, r.constant(0x80, I32)], I1, predicate="uge")
        filled = r.select(sign, r.constant(0xFF, I32), r.constant(0, I32))
        asked = r.op("arith.andi", [nibble, r.constant(8, I32)], I32)
        asked = r.op("arith.cmpi", [asked, r.constant(0, I32)], I1, predicate="ne")
        byte = r.op("arith.shli", [r.select(asked, filled, byte), r.constant(8 * k, I32)], I32)
        total = byte if total is None else r.op("arith.ori", [total, byte], I32)
    assert total is not None
    return total


def _table(r: Registers, step: Instruction) -> Value:
    """`lop3`: any function of three bits, given as its table of eight results."""
    unknown(step)
    *sources, table = step.operands[1:]
    try:
        results = int(table.rstrip("uU"), 0)
    except ValueError:
        raise Malformed(f"{step.text!r}: the table of lop3 is a number") from None
    values = [r.read(o, "b32") for o in sources]
    inverse = [r.op("arith.xori", [v, r.constant(-1, I32)], I32) for v in values]
    total = r.constant(0, I32)
    for row in range(8):
        if results >> row & 1:
            a, b, c = (values[k] if row >> (2 - k) & 1 else inverse[k] for k in range(3))
            term = r.op("arith.andi", [r.op("arith.andi", [a, b], I32), c], I32)
            total = r.op("arith.ori", [total, term], I32)
    return total


def _funnel(r: Registers, step: Instruction) -> Value:
    """`shf`: 32 bits of the pair of the second and first source, shifted."""
    unknown(step, "l", "r", "clamp", "wrap")
    low, high, amount = (r.read(o, "b32") for o in step.operands[1:4])
    if "wrap" in step.modifiers:
        amount = r.op("arith.andi", [amount, r.constant(31, I32)], I32)
    else:
        amount = r.op("arith.minui", [amount, r.constant(32, I32)], I32)
    top = r.op("arith.shli", [r.resize(high, 64), r.constant(32, I64)], I64)
    both = r.op("arith.ori", [r.resize(low, 64), top], I64)
    if "r" in step.modifiers:
        return r.resize(r.op("arith.shrui", [both, r.resize(amount, 64)], I64), 32)
    moved = r.op("arith.shli", [both, r.resize(amount, 64)], I64)
    return r.resize(r.op("arith.shrui", [moved, r.constant(32, I64)], I64), 32)


def _dot_of_bytes(r: Registers, step: Instruction) -> Value:
    a, b, total = (r.read(o, "b32") for o in step.operands[1:4])
    left, right = ("s8" if is_signed(kind) else "u8" for kind in step.modifiers[-2:])
    return r.op("anychip.dot_bytes", [a, b, total], I32, left=_narrowed(a, left), right=_narrowed(b, right))


def _narrowed(value: Value, kind: str) -> str:
    """ "u7" where a mask shows that no byte is above 127, so that it is the same signed and unsigned."""
    masks = (_constant(operand) for operand in _operands_of(value, "arith.andi"))
    return "u7" if any(mask is not None and mask & 0x80808080 == 0 for mask in masks) else kind


def _operands_of(value: Value, name: str) -> list[Value]:
    op = value.defining_op
    return op.operands if op is not None and op.name == name else []


def _constant(value: Value) -> int | None:
    """The number that every element of a value is, where it is a constant."""
    if _operands_of(value, "tt.splat"):
        return _constant(_operands_of(value, "tt.splat")[0])
    op = value.defining_op
    number = op.attrs.get("value") if op is not None and op.name == "arith.constant" else None
    return number if isinstance(number, int) else None


# ---- predicates ---------------------------------------------------------------------------------------

_SIGNED = {"eq": "eq", "ne": "ne", "lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge"}
_UNSIGNED = {
    "eq": "eq",
    "ne": "ne",
    "lt": "ult",
    "le": "ule",
    "gt": "ugt",
    "ge": "uge",
    "lo": "ult",
    "ls": "ule",
    "hi": "ugt",
    "hs": "uge",
}
_FLOATING = {
    "eq": "oeq",
    "ne": "one",
    "lt": "olt",
    "le": "ole",
    "gt": "ogt",
    "ge": "oge",
    "equ": "ueq",
    "neu": "une",
    "ltu": "ult",
    "leu": "ule",
    "gtu": "ugt",
    "geu": "uge",
    "num": "ord",
    "nan": "uno",
}


def _comparison(r: Registers, step: Instruction) -> tuple[Value, ...]:
    kind = kind_of(step)
    words = [m for m in step.modifiers[:-1] if m not in IGNORED]
    element = HALVES.get(kind, TYPES[kind])
    table = _FLOATING if element.is_float else _SIGNED if is_signed(kind) else _UNSIGNED
    if words[0] not in table or any(word not in _LOGIC for word in words[1:]):
        raise Malformed(f"{step.text!r}: the comparison is not known here")
    operation = "arith.cmpf" if element.is_float else "arith.cmpi"
    a, b = (r.read(o, kind) for o in step.operands[1:3])
    if kind in HALVES:
        found = []
        for k in range(2):
            halves = [r.op("arith.shrui", [v, r.constant(16 * k, I32)], I32) if k else v for v in (a, b)]
            halves = [r.cast(r.resize(v, 16), element) for v in halves]
            found.append(r.op(operation, halves, I1, predicate=table[words[0]]))
        return tuple(found)
    truth = r.op(operation, [a, b], I1, predicate=table[words[0]])
    opposite = r.op("arith.xori", [truth, r.constant(1, I1)], I1)
    if len(words) > 1:
        other = r.read(step.operands[3], "pred")
        return tuple(r.op(_LOGIC[words[1]], [v, other], I1) for v in (truth, opposite))
    return truth, opposite


def _choice(r: Registers, step: Instruction) -> Value:
    kind = kind_of(step)
    a, b = (r.read(o, kind) for o in step.operands[1:3])
    return r.select(r.read(step.operands[3], "pred"), a, b)


def _nothing(r: Registers, step: Instruction) -> None:
    """Programs of a CPU are one thread: it waits for nobody, and launches are in order."""


RULES: dict[str, Rule] = {
    **dict.fromkeys(("add", "sub", "mul"), _sum),
    "mad": _mad,
    "fma": _fma,
    **dict.fromkeys(("div", "rem"), _quotient),
    **dict.fromkeys(("min", "max"), _extreme),
    **dict.fromkeys(("abs", "neg"), _magnitude),
    **dict.fromkeys(_REAL, _function),
    "copysign": _copysign,
    **dict.fromkeys((*_LOGIC, "not", "cnot"), _logic),
    **dict.fromkeys(("shl", "shr"), _shift),
    **dict.fromkeys(_BIT_COUNTS, _count),
    "brev": _reversed,
    "bfe": _extract,
    "bfi": _insert,
    "prmt": _permute,
    "lop3": _table,
    "shf": _funnel,
    "dp4a": _dot_of_bytes,
    "setp": _comparison,
    "selp": _choice,
    **dict.fromkeys(("bar", "barrier", "griddepcontrol", "membar", "fence", "nanosleep"), _nothing),
}
"""The instructions by name, conversions and moves aside."""
