"""Functions of integers: bit counting, permutation, high products, averages.

The names are CUDA's (CUDA Math API, integer intrinsics); arithmetic wraps.
"""

from __future__ import annotations

from ...llvm.types import LLType, Val
from .expression import Formula, Num
from .table import function

INTEGERS = ("i32", "i64")
_FALSE = Val("false", LLType("i1"))


def _i32(x: Num) -> Num:
    return x.cast("trunc", "i32") if x.val.type.bits > 32 else x


@function("clz", elements=INTEGERS, inline=True)
def clz(m: Formula, x: Num) -> Num:
    """Leading zeros as i32; the width for 0."""
    return _i32(Num(m, m.b.intrinsic("llvm.ctlz", x.val, extra=[_FALSE])))


@function("popc", elements=INTEGERS, inline=True)
def popc(m: Formula, x: Num) -> Num:
    """Bits that are one, as i32."""
    return _i32(Num(m, m.b.intrinsic("llvm.ctpop", x.val)))


@function("ffs", elements=INTEGERS, inline=True)
def ffs(m: Formula, x: Num) -> Num:
    """Position of the lowest one, counted from 1, as i32; 0 when there is none."""
    position = Num(m, m.b.intrinsic("llvm.cttz", x.val, extra=[_FALSE])) + 1
    return _i32(m.where(x.eq(0), 0, position))


@function("brev", elements=INTEGERS, inline=True)
def brev(m: Formula, x: Num) -> Num:
    """The bits in reverse order."""
    return Num(m, m.b.intrinsic("llvm.bitreverse", x.val))


@function("byte_perm", arity=3, elements=("i32",))
def byte_perm(m: Formula, x: Num, y: Num, selector: Num) -> Num:
    """Byte i of the result is byte selector[4i..4i+2] of the eight bytes of y and x."""
    eight = (y.cast("zext", "i64") << 32) | x.cast("zext", "i64")
    result = None
    for i in range(4):
        index = (selector.logical_shift(4 * i) & 7).cast("zext", "i64")
        byte = (eight.logical_shift(index << 3) & 0xFF) << (8 * i)
        result = byte if result is None else result | byte
    assert result is not None
    return result.cast("trunc", "i32")


def high_product(m: Formula, x: Num, y: Num, signed: bool) -> Num:
    """The upper half of the double-width product, without 128-bit arithmetic."""
    if x.val.type.bits == 32:
        opcode = "sext" if signed else "zext"
        return (x.cast(opcode, "i64") * y.cast(opcode, "i64")).logical_shift(32).cast("trunc", "i32")
    mask = 0xFFFFFFFF
    x0, x1, y0, y1 = x & mask, x.logical_shift(32), y & mask, y.logical_shift(32)
    cross = x1 * y0 + (x0 * y0).logical_shift(32)
    other = x0 * y1 + (cross & mask)
    high = x1 * y1 + cross.logical_shift(32) + other.logical_shift(32)
    if not signed:
        return high
    return high - ((x >> 63) & y) - ((y >> 63) & x)


@function("mulhi", arity=2, elements=INTEGERS, inline=True)
def mulhi(m: Formula, x: Num, y: Num) -> Num:
    """The upper half of the signed product."""
    return high_product(m, x, y, signed=True)


@function("umulhi", arity=2, elements=INTEGERS, inline=True)
def umulhi(m: Formula, x: Num, y: Num) -> Num:
    """The upper half of the unsigned product."""
    return high_product(m, x, y, signed=False)


@function("mul24", arity=2, elements=("i32",), inline=True)
def mul24(m: Formula, x: Num, y: Num) -> Num:
    """The low 32 bits of the product of the low 24 bits, read as signed."""
    return ((x << 8) >> 8) * ((y << 8) >> 8)


@function("umul24", arity=2, elements=("i32",), inline=True)
def umul24(m: Formula, x: Num, y: Num) -> Num:
    """The lower 32 bits of the unsigned product of the lower 24 bits."""
    return (x & 0xFFFFFF) * (y & 0xFFFFFF)


@function("sad", arity=3, elements=("i32",), inline=True)
def sad(m: Formula, x: Num, y: Num, z: Num) -> Num:
    """|x - y| + z for signed x and y."""
    return m.where(x > y, x - y, y - x) + z


@function("usad", arity=3, elements=("i32",), inline=True)
def usad(m: Formula, x: Num, y: Num, z: Num) -> Num:
    """The unsigned distance |x - y|, plus z."""
    return m.where(x.compare("ugt", y), x - y, y - x) + z


@function("hadd", arity=2, elements=("i32",), inline=True)
def hadd(m: Formula, x: Num, y: Num) -> Num:
    """(x + y) >> 1 without overflow, signed."""
    return (x & y) + ((x ^ y) >> 1)


@function("uhadd", arity=2, elements=("i32",), inline=True)
def uhadd(m: Formula, x: Num, y: Num) -> Num:
    """The unsigned mean, rounded down, without overflow."""
    return (x & y) + (x ^ y).logical_shift(1)


@function("rhadd", arity=2, elements=("i32",), inline=True)
def rhadd(m: Formula, x: Num, y: Num) -> Num:
    """(x + y + 1) >> 1 without overflow, signed."""
    return (x | y) - ((x ^ y) >> 1)


@function("urhadd", arity=2, elements=("i32",), inline=True)
def urhadd(m: Formula, x: Num, y: Num) -> Num:
    """The unsigned mean, rounded up, without overflow."""
    return (x | y) - (x ^ y).logical_shift(1)
