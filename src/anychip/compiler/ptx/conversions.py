"""PTX's `mov` and `cvt`: bits moved, packed and unpacked, and numbers converted between formats."""

from __future__ import annotations

from ..ir.core import Value
from ..ir.types import F8E4M3FN, F8E5M2, F32, F64, I32, I64, ScalarType
from .arithmetic import Rule, extern, is_signed, saturated, unknown
from .registers import HALVES, INTEGERS, TYPES, Registers
from .text import Instruction, Malformed

EIGHT_BITS = {"e4m3x2": (F8E4M3FN, 448.0), "e5m2x2": (F8E5M2, 57344.0)}
"""Packed types of two 8-bit floats -> the type of each and its largest value."""
_TO_WHOLE = {"rni": "", "rzi": "math.trunc", "rmi": "math.floor", "rpi": "math.ceil"}
"""How a float is rounded to a whole number (to nearest even by libdevice's `rint`)."""
_PAIRS = {**HALVES, **{name: element for name, (element, _) in EIGHT_BITS.items()}}


def _move(r: Registers, step: Instruction) -> Value:
    if len(step.modifiers) != 1 or step.modifiers[0] not in TYPES:
        raise Malformed(f"{step.text!r} has no type that is known here")
    kind = step.modifiers[0]
    source = step.operands[1]
    special = _SPECIAL.get(source)
    if special is None:
        return r.read(source, kind)
    return r.resize(special(r), TYPES[kind].bits)


def _program(axis: str, name: str):
    def read(r: Registers) -> Value:
        value = r.insert.op(name, [], I32, {"axis": axis})
        return r.insert.op("tt.splat", [value], r.type(I32)) if r.shape else value

    return read


def _clock(r: Registers) -> Value:
    value = r.insert.op("anychip.clock", [], I64)
    return r.insert.op("tt.splat", [value], r.type(I64)) if r.shape else value


_SPECIAL = {
    **{f"%ctaid.{axis}": _program(axis, "tt.get_program_id") for axis in "xyz"},
    **{f"%nctaid.{axis}": _program(axis, "tt.get_num_programs") for axis in "xyz"},
    **dict.fromkeys(("%globaltimer", "%clock64", "%clock"), _clock),
    "%smid": lambda r: r.constant(0, I32),
    "%nsmid": lambda r: r.constant(1, I32),
}
"""Special registers that a CPU has a meaning for. All programs run on multiprocessor 0."""


def _convert(r: Registers, step: Instruction) -> Value:
    unknown(step, "rz", "rm", "rp", "rna", *_TO_WHOLE, "sat", "satfinite", "relu")
    kinds = [m for m in step.modifiers if m in TYPES]
    if len(kinds) != 2:
        raise Malformed(f"{step.text!r} is a conversion of formats that are not known here")
    to, source = kinds
    if to in _PAIRS:
        return _to_pair(r, step, to, source)
    if source in _PAIRS:
        raise Malformed(f"{step.text!r} is a conversion of formats that are not known here")
    value = r.read(step.operands[1], source)
    if to == "tf32":
        return _to_tf32(r, step, value)
    return _number(r, step, value, source, to)


def _to_pair(r: Registers, step: Instruction, to: str, source: str) -> Value:
    """Two numbers in one register: of two sources, the first in the upper half, or of another pair."""
    element = _PAIRS[to]
    if source in _PAIRS:
        both = r.read(step.operands[1], source)
        each = _PAIRS[source].bits
        high = r.op("arith.shrui", [both, r.constant(each, INTEGERS[2 * each])], INTEGERS[2 * each])
        sources = [r.cast(r.resize(v, each), _PAIRS[source]) for v in (both, high)]
    elif len(step.operands) == 3:
        sources = [r.read(step.operands[k], source) for k in (2, 1)]
    else:
        raise Malformed(f"{step.text!r} needs two sources")
    bits = 2 * element.bits
    parts = [r.resize(r.bits(_to_float(r, step, v, element)), bits) for v in sources]
    shifted = r.op("arith.shli", [parts[1], r.constant(element.bits, INTEGERS[bits])], INTEGERS[bits])
    return r.op("arith.ori", [parts[0], shifted], INTEGERS[bits])


_LARGEST = {"f16": 65504.0, "bf16": float.fromhex("0x1.fep127"), "f8E4M3FN": 448.0, "f8E5M2": 57344.0}


def _to_float(r: Registers, step: Instruction, value: Value, element: ScalarType) -> Value:
    """A float as another: to nearest even or towards zero; `.satfinite` keeps to finite values."""
    if any(mode in step.modifiers for mode in ("rm", "rp", "rna")):
        raise Malformed(f"{step.text!r}: this rounding mode is not known here")
    have = value.element
    assert isinstance(have, ScalarType)
    if "satfinite" in step.modifiers and element.name in _LARGEST and have.bits > element.bits:
        for name, limit in (("minimumf", _LARGEST[element.name]), ("maximumf", -_LARGEST[element.name])):
            value = r.op(f"arith.{name}", [value, r.constant(limit, have)], have)
    if have != element:
        down = element.bits < have.bits
        rounding = (
            ("rtz" if "rz" in step.modifiers else "rtne") if down or have.bits == element.bits else None
        )
        value = r.op("tt.fp_to_fp", [value], element, rounding=rounding)
    return saturated(r, value, step)


def _to_tf32(r: Registers, step: Instruction, value: Value) -> Value:
    """f32 with 10 bits of mantissa, as f32 bits: `.rna` to nearest, ties away from zero, or `.rn`, `.rz`."""
    bits = r.bits(value)
    if "rz" in step.modifiers:
        rounded = bits
    elif "rna" in step.modifiers:
        rounded = r.op("arith.addi", [bits, r.constant(0x1000, I32)], I32)
    else:
        odd = r.op(
            "arith.andi", [r.op("arith.shrui", [bits, r.constant(13, I32)], I32), r.constant(1, I32)], I32
        )
        up = r.op("arith.addi", [bits, r.constant(0xFFF, I32)], I32)
        rounded = r.op("arith.addi", [up, odd], I32)
    cut = r.op("arith.andi", [rounded, r.constant(-0x2000, I32)], I32)
    exponent = r.op("arith.andi", [bits, r.constant(0x7F800000, I32)], I32)
    special = r.op("arith.cmpi", [exponent, r.constant(0x7F800000, I32)], INTEGERS[1], predicate="eq")
    return r.select(special, bits, cut)


def _number(r: Registers, step: Instruction, value: Value, source: str, to: str) -> Value:
    have, want = TYPES[source], TYPES[to]
    if want.is_float:
        if have.is_float:
            whole = next((m for m in _TO_WHOLE if m in step.modifiers), None)
            return _to_float(r, step, value if whole is None else _whole(r, value, whole), want)
        if any(mode in step.modifiers for mode in ("rz", "rm", "rp")):
            raise Malformed(f"{step.text!r}: integers are converted to the nearest float here")
        number = r.op("arith.sitofp" if is_signed(source) else "arith.uitofp", [value], want)
        return saturated(r, number, step)
    if have.is_float:
        mode = next((m for m in _TO_WHOLE if m in step.modifiers), None)
        if mode is None:
            raise Malformed(f"{step.text!r} does not say how it rounds")
        if have.bits < 32:
            value = r.op("tt.fp_to_fp", [value], F32, rounding=None)
        return r.op("arith.fptosi" if is_signed(to) else "arith.fptoui", [_whole(r, value, mode)], want)
    if "sat" in step.modifiers:
        return _clamped(r, value, is_signed(source), want.bits, is_signed(to))
    return r.resize(value, want.bits, is_signed(source))


def _whole(r: Registers, value: Value, mode: str) -> Value:
    element = value.element
    assert isinstance(element, ScalarType)
    if element not in (F32, F64):
        wide = _whole(r, r.op("tt.fp_to_fp", [value], F32, rounding=None), mode)
        return r.op("tt.fp_to_fp", [wide], element, rounding="rtne")
    if _TO_WHOLE[mode]:
        return r.op(_TO_WHOLE[mode], [value], element)
    return extern(r, "__nv_rintf" if element == F32 else "__nv_rint", [value], element)


def _clamped(r: Registers, value: Value, from_signed: bool, bits: int, to_signed: bool) -> Value:
    """The nearest number of the type that an integer is converted to."""
    have = value.element
    assert isinstance(have, ScalarType)
    low = -(1 << (bits - 1)) if to_signed else 0
    high = (1 << (bits - 1 if to_signed else bits)) - 1
    least = -(1 << (have.bits - 1)) if from_signed else 0
    most = (1 << (have.bits - 1 if from_signed else have.bits)) - 1
    kind = "si" if from_signed else "ui"
    if low > least:
        value = r.op(f"arith.max{kind}", [value, r.constant(low, have)], have)
    if high < most:
        value = r.op(f"arith.min{kind}", [value, r.constant(high, have)], have)
    return r.resize(value, bits, from_signed)


RULES: dict[str, Rule] = {"mov": _move, "cvt": _convert}
