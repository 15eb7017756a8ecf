"""Routines that 32-bit processors lack instructions for, in LLVM IR, so that a library brings them along.

LLVM calls them by the names of the Arm run-time ABI (Run-time ABI for the Arm Architecture, IHI 0043,
section 4.2) where it meets 64-bit division or a conversion of 64-bit integers to floating point.
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
}
"""Symbol -> its definition."""


def supplied(undefined: Iterable[str]) -> str:
    """A module with those of `undefined` that are known here; "" if none is."""
    wanted = [name for name in sorted(undefined) if name in _ROUTINES]
    if not wanted:
        return ""
    used = ", ".join(f"ptr @{name}" for name in wanted)
    keep = f'@llvm.compiler.used = appending global [{len(wanted)} x ptr] [{used}], section "llvm.metadata"'
    divide = _UNSIGNED if any("divmod" in name for name in wanted) else ""
    return "\n".join([divide, *(_ROUTINES[name] for name in wanted), keep])


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
