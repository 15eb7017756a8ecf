"""Conversions between number formats, in LLVM IR that every target can run.

A register value of one element type comes in, one of another goes out, for scalars and vectors
alike. bf16 and fp8 are integer bit patterns in registers; f16 uses the target's conversion
instructions when it has them and integer arithmetic when it has not, so that no conversion ever
becomes a call into a run-time library. Conversions round once.

Overflow follows PyTorch, whose tensors the results are (docs/number-formats.md has the table): f16, bf16
and f8E5M2 go to infinity, f8E4M3FN to its largest finite value, infinities included, the FNUZ kinds to NaN.
Towards zero, only an infinity overflows. NaN stays NaN where the format has one; f8E4M3B11FNUZ (Triton's
fp8e4b15: bias 15, no NaN and no infinity, unknown to PyTorch) takes its largest value for all of these.
From f64 to the kinds of fp8 that PyTorch has, f32 lies in between, as in PyTorch.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from ..ir.types import ElementType
from ..llvm.builder import Builder
from ..llvm.types import LLType, Val
from ..targets.target import Target


@dataclass(frozen=True, slots=True)
class NarrowFormat:
    """A binary floating-point format of at most 16 bits.

    `largest` is the bit pattern of the largest finite value, `nan` that of the NaN to produce.
    `infinity` says that exponent 2^e-1 holds infinity and NaN, as in IEEE 754; `saturates` that
    overflow gives `largest`, and not the pattern after it (infinity, or the NaN of the formats with
    `unsigned_zero`, where the pattern of -0 is the only NaN). `through_f32`: f64 is rounded to f32 first.
    """

    bits: int
    mantissa: int
    bias: int
    largest: int
    nan: int
    infinity: bool = False
    saturates: bool = False
    unsigned_zero: bool = False
    through_f32: bool = False

    @property
    def sign(self) -> int:
        """The mask of the sign bit."""
        return 1 << (self.bits - 1)

    @property
    def magnitude(self) -> int:
        """The mask of all bits but the sign."""
        return self.sign - 1

    @property
    def drop(self) -> int:
        """How many mantissa bits of f32 the format does not have."""
        return 23 - self.mantissa

    def f32_bits(self, code: int) -> int:
        """The f32 bit pattern of the finite, normal, positive value `code`."""
        return (code << self.drop) + ((127 - self.bias) << 23)


FORMATS: dict[str, NarrowFormat] = {
    "f16": NarrowFormat(16, 10, 15, 0x7BFF, 0x7E00, infinity=True),
    "bf16": NarrowFormat(16, 7, 127, 0x7F7F, 0x7FC0, infinity=True),
    "f8E5M2": NarrowFormat(8, 2, 15, 0x7B, 0x7F, infinity=True, through_f32=True),
    "f8E4M3FN": NarrowFormat(8, 3, 7, 0x7E, 0x7F, saturates=True, through_f32=True),
    "f8E5M2FNUZ": NarrowFormat(8, 2, 16, 0x7F, 0x80, unsigned_zero=True, through_f32=True),
    "f8E4M3FNUZ": NarrowFormat(8, 3, 8, 0x7F, 0x80, unsigned_zero=True, through_f32=True),
    "f8E4M3B11FNUZ": NarrowFormat(8, 3, 15, 0x7F, 0x7F, saturates=True),
}
"""Every format narrower than f32, by the name that TTIR prints."""


def _f32(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0]


def _int(b: Builder, value: int, like: Val, element: str = "i32") -> Val:
    return b.int(value, LLType(element, like.lanes))


def _as_f32(b: Builder, bits: Val) -> Val:
    return b.cast("bitcast", bits, "float")


def _has_nan_code(form: NarrowFormat) -> bool:
    """Whether a pattern other than those of IEEE infinity's exponent or -0 means NaN."""
    return not form.infinity and not form.unsigned_zero and form.largest != form.magnitude


def widen(b: Builder, val: Val, element: ElementType, target: Target) -> Val:
    """An f16, bf16 or fp8 register as `float`, exactly; f32 and f64 come back unchanged."""
    form = FORMATS.get(str(element))
    if form is None:
        return val
    if str(element) == "bf16":
        return _as_f32(b, b.shl(b.cast("zext", val, "i32"), _int(b, 16, val)))
    if target.f16_conversion:
        if str(element) == "f16":
            return b.cast("fpext", val, "float")
        if str(element) == "f8E5M2":
            return b.cast(
                "fpext", _half(b, b.shl(b.cast("zext", val, "i16"), _int(b, 8, val, "i16"))), "float"
            )
        if form.mantissa == 3:
            return _widen_through_f16(b, val, form)
    return _widen_by_integers(b, val, form)


def _half(b: Builder, bits: Val) -> Val:
    return b.cast("bitcast", bits, "half")


def _widen_through_f16(b: Builder, val: Val, form: NarrowFormat) -> Val:
    """Four exponent bits fit into those of f16: convert, then correct the bias by a product."""
    wide = b.cast("sext", val, "i16")
    half = b.and_(b.shl(wide, _int(b, 7, val, "i16")), _int(b, 0xBF80, val, "i16"))
    value = b.cast("fpext", _half(b, half), "float")
    if form.bias != 15:
        value = b.fmul(value, b.float(2.0 ** (15 - form.bias), value.type))
    return _insert_nan(b, value, val, form)


def _insert_nan(b: Builder, value: Val, val: Val, form: NarrowFormat) -> Val:
    nan = b.float(float("nan"), value.type)
    if form.unsigned_zero:
        return b.select(b.icmp("eq", val, _int(b, 0x80, val, "i8")), nan, value)
    if _has_nan_code(form):
        code = b.and_(val, _int(b, 0x7F, val, "i8"))
        return b.select(b.icmp("eq", code, _int(b, 0x7F, val, "i8")), nan, value)
    return value


def _widen_by_integers(b: Builder, val: Val, form: NarrowFormat) -> Val:
    """Shift the fields into place; denormals are normalised by one exact subtraction."""
    narrow = "i16" if form.bits == 16 else "i8"
    code = b.cast("zext", b.cast("bitcast", val, narrow), "i32")
    field = b.shl(b.and_(code, _int(b, form.magnitude, val)), _int(b, form.drop, val))
    rebias = (127 - form.bias) << 23
    normal = b.add(field, _int(b, rebias, val))
    one_up = b.add(field, _int(b, rebias + (1 << 23), val))
    tiny = b.fsub(_as_f32(b, one_up), b.float(2.0 ** (1 - form.bias), LLType("float", val.lanes)))
    is_tiny = b.icmp("ult", field, _int(b, 1 << 23, val))
    bits = b.select(is_tiny, b.cast("bitcast", tiny, "i32"), normal)
    if form.infinity:
        top = ((1 << (form.bits - 1 - form.mantissa)) - 1) << 23
        special = b.icmp("uge", field, _int(b, top, val))
        bits = b.select(special, b.or_(field, _int(b, 0x7F800000, val)), bits)
    sign = b.shl(b.and_(code, _int(b, form.sign, val)), _int(b, 32 - form.bits, val))
    value = _as_f32(b, b.or_(bits, sign))
    return value if form.infinity else _insert_nan(b, value, b.cast("bitcast", val, narrow), form)


def narrow(
    b: Builder, val: Val, element: ElementType, target: Target, rounding: str = "rtne", saturate: bool = False
) -> Val:
    """A `float` register rounded to f16, bf16 or fp8 (`rounding`: `"rtne"` or `"rtz"`). With `saturate`
    (for fp8) overflow gives the largest finite value of any format, for infinities too."""
    form = FORMATS.get(str(element))
    if form is None:
        return val
    if saturate:
        form = replace(form, saturates=True)
    if str(element) == "bf16":
        return _narrow_to_bf16(b, val, rounding)
    if str(element) == "f16" and target.f16_conversion and rounding == "rtne":
        return b.cast("fptrunc", val, "half")
    code = _narrow_by_integers(b, val, form, rounding)
    return _half(b, code) if str(element) == "f16" else code


def _narrow_to_bf16(b: Builder, val: Val, rounding: str) -> Val:
    bits = b.cast("bitcast", val, "i32")
    sixteen = _int(b, 16, val)
    top = b.lshr(bits, sixteen)
    rounded = top
    if rounding == "rtne":
        odd = b.and_(top, _int(b, 1, val))
        rounded = b.lshr(b.add(b.add(bits, _int(b, 0x7FFF, val)), odd), sixteen)
    quiet = b.or_(top, _int(b, 0x40, val))
    return b.cast("trunc", b.select(b.fcmp("uno", val, val), quiet, rounded), "i16")


def _narrow_by_integers(b: Builder, val: Val, form: NarrowFormat, rounding: str) -> Val:
    """Normal results are rounded as integers, denormal ones by adding a power of two whose
    last place is theirs (or, towards zero, by scaling and truncating)."""
    bits = b.cast("bitcast", val, "i32")
    magnitude = b.and_(bits, _int(b, 0x7FFFFFFF, val))
    is_nan = b.icmp("ugt", magnitude, _int(b, 0x7F800000, val))
    limit = form.f32_bits(form.largest)
    if not form.saturates and rounding == "rtne":
        limit = form.f32_bits(form.largest + 1)
    clamped = b.intrinsic("llvm.umin", magnitude, _int(b, limit, val))
    if not form.saturates and rounding == "rtz":
        is_infinite = b.icmp("eq", magnitude, _int(b, 0x7F800000, val))
        clamped = b.select(is_infinite, _int(b, form.f32_bits(form.largest + 1), val), clamped)

    drop = _int(b, form.drop, val)
    rebias = (127 - form.bias) << 23
    lowest = 2.0 ** (1 - form.bias - form.mantissa)
    absolute = _as_f32(b, clamped)
    if rounding == "rtne":
        odd = b.and_(b.lshr(clamped, drop), _int(b, 1, val))
        bias = (1 << (form.drop - 1)) - 1 - rebias
        normal = b.lshr(b.add(b.add(clamped, _int(b, bias, val)), odd), drop)
        magic = lowest * 2.0**23
        added = b.fadd(absolute, b.float(magic, absolute.type))
        tiny = b.sub(b.cast("bitcast", added, "i32"), _int(b, _f32(magic), val))
    else:
        normal = b.lshr(b.sub(clamped, _int(b, rebias, val)), drop)
        tiny = b.cast("fptosi", b.fmul(absolute, b.float(1.0 / lowest, absolute.type)), "i32")
    is_tiny = b.icmp("ult", clamped, _int(b, (128 - form.bias) << 23, val))
    code = b.select(is_tiny, tiny, normal)

    sign = b.and_(b.lshr(bits, _int(b, 32 - form.bits, val)), _int(b, form.sign, val))
    if form.unsigned_zero:
        sign = b.select(b.icmp("eq", code, _int(b, 0, val)), _int(b, 0, val), sign)
        code = b.select(is_nan, _int(b, form.nan, val), b.or_(code, sign))
    else:
        code = b.or_(b.select(is_nan, _int(b, form.nan, val), code), sign)
    return b.cast("trunc", code, "i16" if form.bits == 16 else "i8")


def _f64_to_f32_odd(b: Builder, val: Val) -> Val:
    """f64 to f32, inexact results with their last bit set: a second rounding to a narrower
    format then gives what one rounding would have given (round to odd; Boldo & Melquiond,
    IEEE Transactions on Computers 57(4), 2008)."""
    near = b.cast("fptrunc", val, "float")
    back = b.cast("fpext", near, "double")
    bits = b.cast("bitcast", near, "i32")
    absolute = b.intrinsic("llvm.fabs", val)
    too_far = b.fcmp("ogt", b.intrinsic("llvm.fabs", back), absolute)
    towards_zero = b.add(bits, b.cast("sext", too_far, "i32"))
    inexact = b.cast("zext", b.fcmp("one", back, val), "i32")
    return _as_f32(b, b.or_(towards_zero, inexact))


def _f64_to_f32_truncated(b: Builder, val: Val) -> Val:
    near = b.cast("fptrunc", val, "float")
    absolute = b.intrinsic("llvm.fabs", val)
    too_far = b.fcmp("ogt", b.intrinsic("llvm.fabs", b.cast("fpext", near, "double")), absolute)
    return _as_f32(b, b.add(b.cast("bitcast", near, "i32"), b.cast("sext", too_far, "i32")))


def float_to_float(
    b: Builder, val: Val, src: ElementType, dst: ElementType, target: Target, rounding: str = "rtne"
) -> Val:
    """`val` of element `src` as element `dst`, rounded once (from f64 to fp8 as PyTorch does: twice)."""
    if str(src) == str(dst):
        return val
    if str(src) == "f64":
        if str(dst) == "f32":
            return b.cast("fptrunc", val, "float") if rounding == "rtne" else _f64_to_f32_truncated(b, val)
        form = FORMATS[str(dst)]
        twice = form.through_f32 and rounding == "rtne"
        single = b.cast("fptrunc", val, "float") if twice else _f64_to_f32_odd(b, val)
        return narrow(b, single, dst, target, rounding)
    single = widen(b, val, src, target)
    if str(dst) == "f64":
        return b.cast("fpext", single, "double")
    return narrow(b, single, dst, target, rounding)


def int_to_float(
    b: Builder, val: Val, src: ElementType, dst: ElementType, signed: bool, target: Target
) -> Val:
    """An integer register as a floating-point one, rounded once to nearest, ties to even."""
    opcode = "sitofp" if signed else "uitofp"
    if str(dst) in ("f32", "f64"):
        return b.cast(opcode, val, "float" if str(dst) == "f32" else "double")
    if val.type.bits > 16:
        if str(dst) != "bf16":
            val = _clamp(b, val, 1 << 17, signed)
        elif val.type.bits == 32:
            val = _sticky(b, val, 24, 8, signed)
        else:
            double = b.cast(opcode, _sticky(b, val, 53, 11, signed), "double")
            return narrow(b, _f64_to_f32_odd(b, double), dst, target)
    return narrow(b, b.cast(opcode, val, "float"), dst, target)


def _clamp(b: Builder, val: Val, limit: int, signed: bool) -> Val:
    """Limit an integer to a range that f32 holds exactly and that overflows every f16 and fp8."""
    top = b.int(limit, val.type)
    if not signed:
        return b.intrinsic("llvm.umin", val, top)
    return b.intrinsic("llvm.smax", b.intrinsic("llvm.smin", val, top), b.int(-limit, val.type))


def _sticky(b: Builder, val: Val, precision: int, drop: int, signed: bool) -> Val:
    """Round an integer of more than `precision` bits to odd at bit `drop`: exact afterwards."""
    low = b.and_(val, b.int((1 << drop) - 1, val.type))
    inexact = b.cast("zext", b.icmp("ne", low, b.int(0, val.type)), val.type.element)
    odd = b.or_(b.xor(val, low), b.shl(inexact, b.int(drop, val.type)))
    limit = b.int(1 << precision, val.type)
    distance = b.intrinsic("llvm.abs", val, extra=[Val("false", LLType("i1"))]) if signed else val
    return b.select(b.icmp("ult", distance, limit), val, odd)


def float_to_int(
    b: Builder, val: Val, src: ElementType, dst: ElementType, signed: bool, target: Target
) -> Val:
    """A floating-point register as an integer, towards zero.

    What is out of range becomes the nearest integer of the type, NaN becomes 0 (LLVM's plain
    conversions would be undefined there). So the 32-bit conversions of the GPUs do that kernels are
    written for, and so it is the same on every chip; x86's own instruction gives the smallest integer
    for all of these. To `i1`: whether the value is not zero.
    """
    single = widen(b, val, src, target)
    if str(dst) == "i1":
        return b.fcmp("une", single, b.float(0.0, single.type))
    result = LLType(str(dst), val.lanes)
    name = {"float": "f32", "double": "f64"}[single.type.element]
    lanes = f"v{val.lanes}" if val.lanes > 1 else ""
    kind = "s" if signed else "u"
    return b.call(f"llvm.fpto{kind}i.sat.{lanes}{dst!s}.{lanes}{name}", result, [single])


def int_to_int(b: Builder, val: Val, src: ElementType, dst: ElementType, signed: bool, target: Target) -> Val:
    """An integer register truncated (wrapping) or extended to the width of `dst`; `signed`
    tells how to extend. `i1` counts as unsigned: true is 1."""
    if dst.bits == src.bits:
        return val
    if dst.bits < src.bits:
        return b.cast("trunc", val, str(dst))
    return b.cast("sext" if signed and src.bits > 1 else "zext", val, str(dst))
