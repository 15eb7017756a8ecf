"""Routines that 32-bit processors lack instructions for, in LLVM IR, so that a library brings them along.

LLVM calls them by the names of the Arm run-time ABI (Run-time ABI for the Arm Architecture, IHI 0043,
section 4.2) where it meets 64-bit division or a conversion between 64-bit integers and floating point, and
where a number that a kernel takes as f64 becomes f32 on a core that has no f64.
"""

from __future__ import annotations

from collections.abc import Iterable

_UNSIGNED = """
; Quotient and remainder; by 32 bits at once where both fit, else bit by bit (division by 0 gives 0).
define internal { i64, i64 } @divide(i64 %n, i64 %d) nounwind {
entry:
  %either = or i64 %n, %d
  %high = lshr i64 %either, 32
  %short = icmp eq i64 %high, 0
  br i1 %short, label %narrow, label %wide
narrow:
  %n32 = trunc i64 %n to i32
  %d32 = trunc i64 %d to i32
  %zero = icmp eq i32 %d32, 0
  br i1 %zero, label %none, label %some
none:
  %by_zero = insertvalue { i64, i64 } { i64 0, i64 undef }, i64 %n, 1
  ret { i64, i64 } %by_zero
some:
  %q32 = udiv i32 %n32, %d32
  %p32 = mul i32 %q32, %d32
  %r32 = sub i32 %n32, %p32
  %q64 = zext i32 %q32 to i64
  %r64 = zext i32 %r32 to i64
  %quick = insertvalue { i64, i64 } undef, i64 %q64, 0
  %quick_both = insertvalue { i64, i64 } %quick, i64 %r64, 1
  ret { i64, i64 } %quick_both
wide:
  %k = phi i32 [ 64, %entry ], [ %left, %wide ]
  %rest = phi i64 [ 0, %entry ], [ %rest_next, %wide ]
  %bits = phi i64 [ %n, %entry ], [ %bits_next, %wide ]
  %top = lshr i64 %bits, 63
  %carry = icmp slt i64 %rest, 0
  %doubled = shl i64 %rest, 1
  %with_bit = or i64 %doubled, %top
  %larger = icmp uge i64 %with_bit, %d
  %takes = or i1 %carry, %larger
  %less = sub i64 %with_bit, %d
  %rest_next = select i1 %takes, i64 %less, i64 %with_bit
  %moved = shl i64 %bits, 1
  %one = zext i1 %takes to i64
  %bits_next = or i64 %moved, %one
  %left = sub i32 %k, 1
  %finished = icmp eq i32 %left, 0
  br i1 %finished, label %done, label %wide
done:
  %quotient = insertvalue { i64, i64 } undef, i64 %bits_next, 0
  %both = insertvalue { i64, i64 } %quotient, i64 %rest_next, 1
  ret { i64, i64 } %both
}
"""

_WHOLE = """
; The whole part of an f32's magnitude, below 2^64.
define internal i64 @whole(i32 %bits) nounwind {
  %shifted = lshr i32 %bits, 23
  %exponent = and i32 %shifted, 255
  %fraction = and i32 %bits, 8388607
  %mantissa = or i32 %fraction, 8388608
  %wide = zext i32 %mantissa to i64
  %place = sub i32 %exponent, 127
  %above = call i32 @llvm.smin.i32(i32 %place, i32 63)
  %limited = call i32 @llvm.smax.i32(i32 %above, i32 0)
  %count = zext i32 %limited to i64
  %high = shl i64 %wide, 40
  %left = sub i64 63, %count
  %moved = lshr i64 %high, %left
  %small = icmp slt i32 %place, 0
  %result = select i1 %small, i64 0, i64 %moved
  ret i64 %result
}
declare i32 @llvm.smin.i32(i32, i32)
declare i32 @llvm.smax.i32(i32, i32)
"""

_NEAREST = """
; The bit pattern of the f32 nearest to an unsigned number, ties to even.
define internal i32 @nearest(i64 %n) nounwind {
  %zeros = call i64 @llvm.ctlz.i64(i64 %n, i1 false)
  %is_zero = icmp eq i64 %n, 0
  %shift = select i1 %is_zero, i64 0, i64 %zeros
  %normal = shl i64 %n, %shift
  %kept64 = lshr i64 %normal, 40
  %rest = and i64 %normal, 1099511627775
  %kept = trunc i64 %kept64 to i32
  %odd = trunc i32 %kept to i1
  %above = icmp ugt i64 %rest, 549755813888
  %tie = icmp eq i64 %rest, 549755813888
  %tie_up = and i1 %tie, %odd
  %up = or i1 %above, %tie_up
  %one = zext i1 %up to i32
  %rounded = add i32 %kept, %one
  %shift32 = trunc i64 %shift to i32
  %exponent = sub i32 189, %shift32
  %field = shl i32 %exponent, 23
  %bits = add i32 %field, %rounded
  %result = select i1 %is_zero, i32 0, i32 %bits
  ret i32 %result
}
declare i64 @llvm.ctlz.i64(i64, i1)
"""

_SHARED: tuple[tuple[str, str], ...] = (("@divide(", _UNSIGNED), ("@whole(", _WHOLE), ("@nearest(", _NEAREST))
"""What routines call, and its definition."""

_ROUTINES: dict[str, str] = {
    "__aeabi_uldivmod": """
define weak hidden arm_aapcscc { i64, i64 } @__aeabi_uldivmod(i64 %n, i64 %d) nounwind {
  %both = call { i64, i64 } @divide(i64 %n, i64 %d)
  ret { i64, i64 } %both
}
""",
    "__aeabi_ldivmod": """
define weak hidden arm_aapcscc { i64, i64 } @__aeabi_ldivmod(i64 %n, i64 %d) nounwind {
  %n_sign = ashr i64 %n, 63
  %n_flipped = xor i64 %n, %n_sign
  %n_size = sub i64 %n_flipped, %n_sign
  %d_sign = ashr i64 %d, 63
  %d_flipped = xor i64 %d, %d_sign
  %d_size = sub i64 %d_flipped, %d_sign
  %both = call { i64, i64 } @divide(i64 %n_size, i64 %d_size)
  %q = extractvalue { i64, i64 } %both, 0
  %r = extractvalue { i64, i64 } %both, 1
  %q_sign = xor i64 %n_sign, %d_sign
  %q_flipped = xor i64 %q, %q_sign
  %q_signed = sub i64 %q_flipped, %q_sign
  %r_flipped = xor i64 %r, %n_sign
  %r_signed = sub i64 %r_flipped, %n_sign
  %first = insertvalue { i64, i64 } undef, i64 %q_signed, 0
  %second = insertvalue { i64, i64 } %first, i64 %r_signed, 1
  ret { i64, i64 } %second
}
""",
    "__aeabi_ul2d": """
define weak hidden arm_aapcscc double @__aeabi_ul2d(i64 %n) nounwind {
  %high64 = lshr i64 %n, 32
  %high = trunc i64 %high64 to i32
  %low = trunc i64 %n to i32
  %high_value = uitofp i32 %high to double
  %low_value = uitofp i32 %low to double
  %scaled = fmul double %high_value, 4294967296.0
  %sum = fadd double %scaled, %low_value
  ret double %sum
}
""",
    "__aeabi_l2d": """
define weak hidden arm_aapcscc double @__aeabi_l2d(i64 %n) nounwind {
  %high64 = ashr i64 %n, 32
  %high = trunc i64 %high64 to i32
  %low = trunc i64 %n to i32
  %high_value = sitofp i32 %high to double
  %low_value = uitofp i32 %low to double
  %scaled = fmul double %high_value, 4294967296.0
  %sum = fadd double %scaled, %low_value
  ret double %sum
}
""",
    "__aeabi_d2f": """
; To nearest, ties to even, on the bit pattern: a carry out of the mantissa raises the exponent.
define weak hidden arm_aapcscc float @__aeabi_d2f(double %x) nounwind {
  %bits = bitcast double %x to i64
  %shifted = lshr i64 %bits, 52
  %exponent64 = and i64 %shifted, 2047
  %exponent = trunc i64 %exponent64 to i32
  %fraction = and i64 %bits, 4503599627370495
  %is_denormal = icmp eq i32 %exponent, 0
  %leading = select i1 %is_denormal, i64 0, i64 4503599627370496
  %mantissa = or i64 %fraction, %leading
  %single = sub i32 %exponent, 896
  %is_normal = icmp sgt i32 %single, 0
  %deeper = sub i32 30, %single
  %too_deep = icmp sgt i32 %deeper, 60
  %limited = select i1 %too_deep, i32 60, i32 %deeper
  %drop = select i1 %is_normal, i32 29, i32 %limited
  %drop64 = zext i32 %drop to i64
  %kept64 = lshr i64 %mantissa, %drop64
  %kept = trunc i64 %kept64 to i32
  %back = shl i64 %kept64, %drop64
  %rest = sub i64 %mantissa, %back
  %before = sub i64 %drop64, 1
  %half = shl i64 1, %before
  %odd = trunc i32 %kept to i1
  %above = icmp ugt i64 %rest, %half
  %tie = icmp eq i64 %rest, %half
  %tie_up = and i1 %tie, %odd
  %up = or i1 %above, %tie_up
  %one = zext i1 %up to i32
  %rounded = add i32 %kept, %one
  %below = sub i32 %single, 1
  %field = shl i32 %below, 23
  %base = select i1 %is_normal, i32 %field, i32 0
  %finite = add i32 %base, %rounded
  %large = icmp sgt i32 %single, 254
  %magnitude = select i1 %large, i32 2139095040, i32 %finite
  %special = icmp eq i32 %exponent, 2047
  %some_fraction = icmp ne i64 %fraction, 0
  %is_nan = and i1 %special, %some_fraction
  %value = select i1 %is_nan, i32 2143289344, i32 %magnitude
  %sign64 = lshr i64 %bits, 63
  %sign = trunc i64 %sign64 to i32
  %sign_bit = shl i32 %sign, 31
  %result = or i32 %value, %sign_bit
  %float = bitcast i32 %result to float
  ret float %float
}
""",
    "__aeabi_f2lz": """
define weak hidden arm_aapcscc i64 @__aeabi_f2lz(float %x) nounwind {
  %bits = bitcast float %x to i32
  %size = call i64 @whole(i32 %bits)
  %sign = ashr i32 %bits, 31
  %wide_sign = sext i32 %sign to i64
  %flipped = xor i64 %size, %wide_sign
  %result = sub i64 %flipped, %wide_sign
  ret i64 %result
}
""",
    "__aeabi_f2ulz": """
define weak hidden arm_aapcscc i64 @__aeabi_f2ulz(float %x) nounwind {
  %bits = bitcast float %x to i32
  %size = call i64 @whole(i32 %bits)
  ret i64 %size
}
""",
    "__aeabi_l2f": """
define weak hidden arm_aapcscc float @__aeabi_l2f(i64 %n) nounwind {
  %sign = ashr i64 %n, 63
  %flipped = xor i64 %n, %sign
  %size = sub i64 %flipped, %sign
  %bits = call i32 @nearest(i64 %size)
  %sign32 = trunc i64 %sign to i32
  %sign_bit = shl i32 %sign32, 31
  %result = or i32 %bits, %sign_bit
  %float = bitcast i32 %result to float
  ret float %float
}
""",
    "__aeabi_ul2f": """
define weak hidden arm_aapcscc float @__aeabi_ul2f(i64 %n) nounwind {
  %bits = call i32 @nearest(i64 %n)
  %float = bitcast i32 %bits to float
  ret float %float
}
""",
}
"""Symbol -> its definition."""


def supplied(undefined: Iterable[str]) -> str:
    """A module with those of `undefined` that are known here; "" if none is."""
    wanted = [name for name in sorted(undefined) if name in _ROUTINES]
    if not wanted:
        return ""
    used = ", ".join(f"ptr @{name}" for name in wanted)
    keep = f'@llvm.compiler.used = appending global [{len(wanted)} x ptr] [{used}], section "llvm.metadata"'
    routines = [_ROUTINES[name] for name in wanted]
    shared = [text for call, text in _SHARED if any(call in routine for routine in routines)]
    return "\n".join([*shared, *routines, keep])


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
