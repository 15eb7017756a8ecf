"""Reduction of an angle to [-pi/4, pi/4] and a quadrant, for arguments of any size.

Small arguments subtract a multiple of pi/2 held in parts (Cody and Waite). Larger ones multiply
by the bits of 2/pi that matter (Payne and Hanek, Radian reduction for trigonometric functions,
SIGNUM Newsletter 18, 1983), in integer arithmetic, one lane at a time in a function of its own:
a branch that no lane takes costs almost nothing. Each element type keeps to its own arithmetic, for
machines that have no f64.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ...llvm.builder import Builder
from ...llvm.types import I64, PTR, LLType, Val
from .expression import Formula, Num

TWO_OVER_PI = 0.6366197723675814
PIO2 = {
    "float": (1.5707963705062866, -4.371138828673793e-08),
    "double": (1.5707963267948966, 6.123233995736766e-17),
}

PARTS = {
    ("float", True): (60_000.0, (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)),
    ("float", False): (
        10_000.0,
        (1.5703125, 0.0004837512969970703, 7.549533620476723e-08, 2.5633440682570896e-12),
    ),
    ("double", True): (1e6, (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21)),
}
"""(element, fused multiply-add) -> the largest argument, and pi/2 in parts whose products with
the multiple are exact."""

_LOW = 0xFFFFFFFF
_PADDING = 64
_BITS = (
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921c"
    "fe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980f"
    "ef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d08"
    "56033046fc7b6bab"
)
"""The first 1216 bits of 2/pi."""


@dataclass(frozen=True, slots=True)
class Window:
    """How many 32-bit words of 2/pi one product takes, and how many the table of an element type holds."""

    limbs: int
    words: int


WINDOWS = {"float": Window(3, 9), "double": Window(6, 39)}
"""The products reach 2^-70 and 2^-137 of a quadrant. No f32 comes closer to a multiple of pi/2 than 2^-30,
no f64 closer than 2^-61 (Muller, Elementary Functions, 2016, chapter 11)."""


def _words(count: int) -> list[str]:
    """The first words of 2/pi, with zeros before them."""
    number = "0" * (_PADDING // 4) + _BITS
    return [str(int(number[8 * k : 8 * k + 8], 16)) for k in range(count)]


def reduce_angle(m: Formula, x: Num) -> tuple[Num, Num, Num]:
    """(high, low, n): x = n pi/2 + high + low, |high| <= pi/4; n is an integer register of which
    the two low bits count. Infinity and NaN give NaN."""
    element = x.val.type.element
    fused = m.target.fma or element == "double"
    limit, parts = PARTS[element, fused]
    high, low, n = _reduce_small(m, x, parts)
    is_large = (x.abs() > limit) & (x.abs() < float("inf"))
    high = m.where(x.abs() < float("inf"), high, float("nan"))

    high, low, n = m.where_any(
        is_large, lambda: _reduce_large(m, m.where(is_large, x, 2.0**24)), (high, low, n)
    )
    return high, low, n


def _reduce_small(m: Formula, x: Num, parts: tuple[float, ...]) -> tuple[Num, Num, Num]:
    whole, n = m.nearest_integer(x * TWO_OVER_PI)
    if x.layout.bits == 32:
        for part in parts[:-2]:
            x = m.multiply_add(whole, -part, x)
        product = whole * -parts[-2]
        r, low = m.two_sum(x, product)
        if m.target.fma:
            low = low + m.multiply_add(whole, -parts[-2], -product)
        return r, m.multiply_add(whole, -parts[-1], low), n
    t = x - whole * parts[0]
    r, low = m.two_sum(t, -(whole * parts[1]))
    low = m.multiply_add(whole, -parts[2], low)
    high, low = m.fast_two_sum(r, low)
    return high, low, n


def _reduce_large(m: Formula, x: Num) -> tuple[Num, Num, Num]:
    """The reduction of every lane, by calls of the scalar function."""
    b, lanes, layout = m.b, m.lanes, x.layout
    symbol = f"anychip.reduce_angle.{layout.element}"
    if symbol not in b.module.functions:
        b.module.add_function(symbol, _scalar_function(m, symbol, layout.element))
    scalar, integer = LLType(layout.element), LLType(layout.integer)
    bytes_ = layout.bits // 8
    size = bytes_ * lanes
    input_, output = (b.alloca(scalar.with_lanes(lanes * k), bytes_) for k in (1, 3))
    b.store(x.val, input_, bytes_)
    start, loop, end = b.block, b.label("lane"), b.label("lanes")
    b.place(loop)
    index = b.phi(I64)
    index.add(b.int(0, I64), start)
    offset = b.mul(index.val, b.int(bytes_, I64))
    angle = b.load(scalar, b.gep(input_, offset), bytes_)
    place = b.gep(output, offset)
    b.call(symbol, "void", [angle, place, b.gep(place, size), b.gep(place, 2 * size)])
    following = b.add(index.val, b.int(1, I64))
    index.add(following, b.block)
    b.cond_br(b.icmp("ult", following, b.int(lanes, I64)), loop, end)
    b.place(end)
    high, low = (Num(m, b.load(scalar.with_lanes(lanes), b.gep(output, k * size), bytes_)) for k in (0, 1))
    return high, low, Num(m, b.load(integer.with_lanes(lanes), b.gep(output, 2 * size), bytes_))


def _scalar_function(m: Formula, symbol: str, element: str) -> str:
    """`void f(x, ptr high, ptr low, ptr n)` for 2^13 <= |x| < infinity; n is an integer of x's width."""
    b = Builder(m.b.module)
    s = Formula(b, m.target, element, 1)
    x = Num(s, Val("%x", s.type()))
    product = _times_two_over_pi(s, x)

    # Two bits of quadrant, then the fraction; rounding to nearest makes the fraction signed.
    top = (product[0] << 32) | product[1]
    quadrant = (top + (1 << 61)).logical_shift(62)
    fraction = _fraction(s, (top << 2) | product[2].logical_shift(30), product)
    high, low = s.pair_times(fraction, s.pair_constant(*PIO2[element]))

    # (-x) reduces to the negative of all three.
    negative = x < 0.0
    n = quadrant if element == "double" else quadrant.cast("trunc", "i32")
    for value, name in ((high, "%high"), (low, "%low"), (n, "%n")):
        b.store(s.where(negative, -value, value).val, Val(name, PTR), x.layout.bits // 8)
    b.effect("ret void")
    return b.text(
        f"define internal void @{symbol}({element} %x, ptr %high, ptr %low, ptr %n)", "noinline nounwind"
    )


def _times_two_over_pi(s: Formula, x: Num) -> list[Num]:
    """|x| 2/pi modulo 4, as 32-bit words in i64 registers, the highest first."""
    layout, window = x.layout, WINDOWS[x.layout.element]
    bits = x.bits()
    fields = bits & (layout.sign_mask - 1)
    mantissa = (bits & ((1 << layout.mantissa) - 1)) | (1 << layout.mantissa)
    position = fields.logical_shift(layout.mantissa) - (layout.bias + layout.mantissa - _PADDING + 2)
    index, shift = position.logical_shift(5), position & 31
    if layout.bits == 32:
        factors = [mantissa.cast("zext", "i64")]
    else:
        shift = shift.cast("trunc", "i32")
        factors = [mantissa & _LOW, mantissa.logical_shift(32)]
    words = [
        s.gather(f"anychip.two_over_pi.{layout.element}", "i32", _words(window.words), index + i)
        for i in range(window.limbs + 1)
    ]
    shifted = [s.funnel_shift(high, low, shift).cast("zext", "i64") for high, low in pairwise(words)]

    # The product of mantissa and words, modulo 2^(32 limbs), from the lowest.
    product: list[Num] = []
    carry = s.integer(0, "i64")
    for i in reversed(range(window.limbs)):
        terms = [factor * word for factor, word in zip(factors, shifted[i:])]
        total = carry
        for term in terms:
            total = total + (term & _LOW)
        carry = total.logical_shift(32)
        for term in terms:
            carry = carry + term.logical_shift(32)
        product.insert(0, total & _LOW)
    return product


def _fraction(s: Formula, first: Num, product: list[Num]) -> tuple[Num, Num]:
    """The signed fraction whose upper 64 bits are `first`, as a pair."""
    if s.layout.bits == 32:
        pieces = (first >> 40, (first >> 16) & 0xFFFFFF, first & 0xFFFF)
        high, middle, least = (
            piece.cast("trunc", "i32").to_float() * 2.0**-place for piece, place in zip(pieces, (24, 48, 64))
        )
        value, rest = s.fast_two_sum(high, middle)
        return value, rest + least
    second = (product[2] << 34) | (product[3] << 2) | product[4].logical_shift(30)
    high = (first & ~0x7FF).to_float() * 2.0**-64
    middle = (first & 0x7FF).to_float() * 2.0**-64
    least = second.logical_shift(11).to_float() * 2.0 ** (11 - 128)
    return s.fast_two_sum(high, middle + least)
