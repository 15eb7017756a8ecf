"""Routines that 32-bit processors lack instructions for, in LLVM IR, so that a library brings them along.

LLVM calls them by the names of the Arm run-time ABI (Run-time ABI for the Arm Architecture, IHI 0043,
section 4.2) where it meets 64-bit division or a conversion between 64-bit integers and floating point, and
where a number that a kernel takes as f64 becomes f32 on a core that has no f64.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..compiler.llvm.flow import Flow
from ..compiler.llvm.module import LLModule
from ..compiler.llvm.routine import Definition, Routine, routine
from ..compiler.llvm.types import F32, F64, I1, I32, I64, LLType, Val, aggregate

QUOTIENT_AND_REMAINDER = aggregate(I64, I64)

F32_MANTISSA, F32_BIAS = 23, 127
"""Bits of an f32's mantissa that are stored, and its exponent of 1.0. Behind them: 8 bits of exponent, a
sign."""

F64_MANTISSA, F64_BIAS = 52, 1023

_F32_INFINITY, _F32_NAN = 0x7F80_0000, 0x7FC0_0000


def _arm(name: str, result: LLType, **parameters: LLType) -> Definition:
    """The decorator of a routine of the run-time ABI; the linker prefers one of the C compiler's own
    library."""
    return routine(name, result, linkage="weak hidden arm_aapcscc", attributes="nounwind", **parameters)


def _magnitude(f: Flow, value: Val) -> tuple[Val, Val]:
    """The absolute value of a signed number, and its sign: 0 or -1."""
    sign = f.ashr(value, value.type.bits - 1)
    return _with_sign(f, value, sign), sign


def _with_sign(f: Flow, value: Val, sign: Val) -> Val:
    """`value`, negated where `sign` is -1 and not where it is 0."""
    return f.sub(f.xor(value, sign), sign)


# --- division ---------------------------------------------------------------------------


@routine("divide", QUOTIENT_AND_REMAINDER, attributes="nounwind", n=I64, d=I64)
def _divide(f: Flow, n: Val, d: Val) -> Val:
    """Quotient and remainder; by 32 bits at once where both fit, else bit by bit (division by 0 gives 0)."""
    with f.if_(f.eq(f.lshr(f.or_(n, d), 32), 0)):
        n32, d32 = f.trunc(n, I32), f.trunc(d, I32)
        with f.if_(f.eq(d32, 0)):
            f.return_(f.together(f.int(0, I64), n))
        quotient = f.udiv(n32, d32)
        remainder = f.sub(n32, f.mul(quotient, d32))
        f.return_(f.together(f.zext(quotient), f.zext(remainder)))
    with f.loop(f.int(64), f.int(0, I64), n) as turn:
        left, rest, bits = turn.carried
        overflows = f.slt(rest, 0)
        with_bit = f.or_(f.shl(rest, 1), f.lshr(bits, 63))
        takes = f.or_(overflows, f.uge(with_bit, d))
        rest = f.select(takes, f.sub(with_bit, d), with_bit)
        bits = f.or_(f.shl(bits, 1), f.zext(takes))
        left = f.sub(left, 1)
        turn.repeat_if(f.ne(left, 0), left, rest, bits)
    _, remainder, quotient = turn.results
    return f.together(quotient, remainder)


@_arm("__aeabi_uldivmod", QUOTIENT_AND_REMAINDER, n=I64, d=I64)
def _divide_unsigned(f: Flow, n: Val, d: Val) -> Val:
    return _divide(f, n, d)


@_arm("__aeabi_ldivmod", QUOTIENT_AND_REMAINDER, n=I64, d=I64)
def _divide_signed(f: Flow, n: Val, d: Val) -> Val:
    """Rounded towards zero: the remainder has the sign of `n`."""
    (n_size, n_sign), (d_size, d_sign) = _magnitude(f, n), _magnitude(f, d)
    both = _divide(f, n_size, d_size)
    quotient, remainder = (f.extract_member(both, k, I64) for k in range(2))
    return f.together(
        _with_sign(f, quotient, f.xor(n_sign, d_sign)),
        _with_sign(f, remainder, n_sign),
    )


# --- integers to floating point ----------------------------------------------------------


def _to_f64(f: Flow, n: Val, high: Val, signed: bool) -> Val:
    """2^32 times the upper half plus the lower one, which is rounded once."""
    upper = f.convert("sitofp" if signed else "uitofp", f.trunc(high, I32), F64)
    lower = f.convert("uitofp", f.trunc(n, I32), F64)
    return f.fadd(f.fmul(upper, f.float(2.0**32, F64)), lower)


@_arm("__aeabi_ul2d", F64, n=I64)
def _unsigned_to_f64(f: Flow, n: Val) -> Val:
    return _to_f64(f, n, f.lshr(n, 32), signed=False)


@_arm("__aeabi_l2d", F64, n=I64)
def _signed_to_f64(f: Flow, n: Val) -> Val:
    return _to_f64(f, n, f.ashr(n, 32), signed=True)


@routine("nearest", I32, attributes="nounwind", n=I64)
def _nearest_f32(f: Flow, n: Val) -> Val:
    """The bit pattern of the f32 nearest to an unsigned number, ties to even."""
    dropped = 64 - (F32_MANTISSA + 1)
    zeros = f.call("llvm.ctlz.i64", I64, [n, f.int(0, I1)])
    is_zero = f.eq(n, 0)
    shift = f.select(is_zero, 0, zeros)
    normal = f.shl(n, shift)
    kept = f.trunc(f.lshr(normal, dropped), I32)
    rest = f.and_(normal, (1 << dropped) - 1)
    rounded = _to_even(f, kept, rest, f.int(1 << (dropped - 1), I64))
    exponent = f.sub(F32_BIAS + 63 - 1, f.trunc(shift, I32))
    bits = f.add(f.shl(exponent, F32_MANTISSA), rounded)
    return f.select(is_zero, 0, bits)


def _to_even(f: Flow, kept: Val, rest: Val, half: Val) -> Val:
    """`kept` (i32), one more where the `rest` that was cut off is above `half`, or is that and `kept` is
    odd."""
    tie = f.and_(f.eq(rest, half), f.trunc(kept, I1))
    return f.add(kept, f.zext(f.or_(f.ugt(rest, half), tie), I32))


@_arm("__aeabi_ul2f", F32, n=I64)
def _unsigned_to_f32(f: Flow, n: Val) -> Val:
    return f.convert("bitcast", _nearest_f32(f, n), F32)


@_arm("__aeabi_l2f", F32, n=I64)
def _signed_to_f32(f: Flow, n: Val) -> Val:
    size, sign = _magnitude(f, n)
    bits = _nearest_f32(f, size)
    return f.convert("bitcast", f.or_(bits, f.shl(f.trunc(sign, I32), 31)), F32)


# --- floating point to integers ----------------------------------------------------------


@routine("whole", I64, attributes="nounwind", bits=I32)
def _whole(f: Flow, bits: Val) -> Val:
    """The whole part of an f32's magnitude, below 2^64."""
    exponent = f.and_(f.lshr(bits, F32_MANTISSA), 0xFF)
    mantissa = f.or_(f.and_(bits, (1 << F32_MANTISSA) - 1), 1 << F32_MANTISSA)
    place = f.sub(exponent, F32_BIAS)
    count = f.zext(f.smax(f.smin(place, 63), 0))
    at_the_top = f.shl(f.zext(mantissa), 63 - F32_MANTISSA)
    moved = f.lshr(at_the_top, f.sub(63, count))
    return f.select(f.slt(place, 0), f.int(0, I64), moved)


@_arm("__aeabi_f2lz", I64, x=F32)
def _f32_to_signed(f: Flow, x: Val) -> Val:
    """Rounded towards zero."""
    bits = f.convert("bitcast", x, I32)
    size = _whole(f, bits)
    return _with_sign(f, size, f.sext(f.ashr(bits, 31)))


@_arm("__aeabi_f2ulz", I64, x=F32)
def _f32_to_unsigned(f: Flow, x: Val) -> Val:
    return _whole(f, f.convert("bitcast", x, I32))


# --- f64 to f32 --------------------------------------------------------------------------


@_arm("__aeabi_d2f", F32, x=F64)
def _f64_to_f32(f: Flow, x: Val) -> Val:
    """To nearest, ties to even, on the bit pattern: a carry out of the mantissa raises the exponent."""
    dropped = F64_MANTISSA - F32_MANTISSA
    bits = f.convert("bitcast", x, I64)
    exponent = f.trunc(f.and_(f.lshr(bits, F64_MANTISSA), 0x7FF), I32)
    fraction = f.and_(bits, (1 << F64_MANTISSA) - 1)
    leading = f.select(f.eq(exponent, 0), 0, f.int(1 << F64_MANTISSA, I64))
    mantissa = f.or_(fraction, leading)
    single = f.sub(exponent, F64_BIAS - F32_BIAS)
    is_normal = f.sgt(single, 0)
    deeper = f.sub(dropped + 1, single)
    limited = f.select(f.sgt(deeper, 60), 60, deeper)
    drop = f.zext(f.select(is_normal, dropped, limited))
    kept = f.lshr(mantissa, drop)
    rest = f.sub(mantissa, f.shl(kept, drop))
    half = f.shl(f.int(1, I64), f.sub(drop, 1))
    rounded = _to_even(f, f.trunc(kept, I32), rest, half)
    base = f.select(is_normal, f.shl(f.sub(single, 1), F32_MANTISSA), 0)
    finite = f.add(base, rounded)
    magnitude = f.select(f.sgt(single, 0xFE), _F32_INFINITY, finite)
    is_nan = f.and_(f.eq(exponent, 0x7FF), f.ne(fraction, 0))
    value = f.select(is_nan, _F32_NAN, magnitude)
    sign = f.shl(f.trunc(f.lshr(bits, 63), I32), 31)
    return f.convert("bitcast", f.or_(value, sign), F32)


_ROUTINES: dict[str, Routine] = {
    each.name: each
    for each in (
        _divide_unsigned,
        _divide_signed,
        _unsigned_to_f64,
        _signed_to_f64,
        _f64_to_f32,
        _f32_to_signed,
        _f32_to_unsigned,
        _signed_to_f32,
        _unsigned_to_f32,
    )
}


def supplied(undefined: Iterable[str]) -> str:
    """A module with those of `undefined` that are known here; "" if none is."""
    wanted = [name for name in sorted(undefined) if name in _ROUTINES]
    if not wanted:
        return ""
    module = LLModule()
    for name in wanted:
        _ROUTINES[name].define(module)
    module.keep(wanted)
    return str(module)


MEMORY = frozenset(
    {"memcpy", "memset", "memmove"}
    | {
        f"__aeabi_{name}{width}"
        for name in ("memcpy", "memmove", "memset", "memclr")
        for width in ("", "4", "8")
    }
)
"""Symbols that every freestanding C compiler's library has."""

MATHEMATICS = frozenset(
    f"{name}{suffix}"
    for name in (
        "fma",
        "fmod",
        "rint",
        "roundeven",
        "nearbyint",
        "floor",
        "ceil",
        "trunc",
        "sqrt",
        "ldexp",
        "round",
    )
    for suffix in ("", "f")
)
"""Functions of the C library's mathematics that LLVM calls where a chip has no instruction."""


def kind_of(symbol: str) -> str:
    """ "memory", "mathematics", "compiler" (run-time routines of the C compiler) or "" for others."""
    if symbol in MEMORY:
        return "memory"
    if symbol in MATHEMATICS:
        return "mathematics"
    return "compiler" if symbol.startswith("__") else ""
