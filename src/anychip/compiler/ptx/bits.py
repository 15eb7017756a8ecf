"""PTX's instructions on bits, bytes and predicates, as operations of tile IR.

Rules as in `arithmetic.py`, in a table by the instruction's name.
"""

from __future__ import annotations

from ..ir.core import Value
from ..ir.types import I1, I32, I64, ScalarType
from .arithmetic import IGNORED, Rule, extern, is_signed, kind_of, unknown
from .registers import HALVES, TYPES, Registers
from .text import Instruction, Malformed

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
    """ "u1" to "u7" where a mask shows that bytes have so few bits, and are the same signed and unsigned."""
    masks = (_constant(operand) for operand in _operands_of(value, "arith.andi"))
    least = min((_most_bits(mask) for mask in masks if mask is not None), default=8)
    return f"u{max(least, 1)}" if least < 8 else kind


def _most_bits(mask: int) -> int:
    """Bits of the largest of a word's four bytes."""
    return max((mask >> shift & 255).bit_length() for shift in (0, 8, 16, 24))


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
"""The instructions by name."""
