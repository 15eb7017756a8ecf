"""Reduction of an angle to [-pi/4, pi/4] and a quadrant, for arguments of any size.

Small arguments subtract a multiple of pi/2 held in parts (Cody and Waite). Larger ones multiply
by the bits of 2/pi that matter (Payne and Hanek, Radian reduction for trigonometric functions,
SIGNUM Newsletter 18, 1983), in integer arithmetic, one lane at a time in a function of its own:
a branch that no lane takes costs almost nothing.
"""

from __future__ import annotations

from itertools import pairwise

from ..builder import F64, I64, PTR, Builder
from ..llvm_types import Val
from .expression import Formula, Num

TWO_OVER_PI = 0.6366197723675814
PIO2 = (1.5707963267948966, 6.123233995736766e-17)

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

_PADDING = 64
_BITS = (
    "a2f9836e4e441529fc2757d1f534ddc0db6295993c439041fe5163abdebbc561b7246e3a424dd2e006492eea09d1921c"
    "fe1deb1cb129a73ee88235f52ebb4484e99c7026b45f7e413991d639835339f49c845f8bbdf9283b1ff897ffde05980f"
    "ef2f118b5a0a6d1f6d367ecf27cb09b74f463f669e5fea2d7527bac7ebe5f17b3d0739f78a5292ea6bfb5fb11f8d5d08"
    "56033046fc7b6bab"
)
"""The first 1216 bits of 2/pi."""

_LIMBS = 6


def _pairs() -> list[str]:
    """The bits of 2/pi, zeros before them, as overlapping pairs of 32-bit words."""
    number = "0" * (_PADDING // 4) + _BITS
    words = [int(number[i : i + 8], 16) for i in range(0, len(number), 8)]
    return [str(high << 32 | low) for high, low in pairwise(words)]


def reduce_angle(m: Formula, x: Num) -> tuple[Num, Num, Num]:
    """(high, low, n): x = n pi/2 + high + low, |high| <= pi/4; n is an integer register of which
    the two low bits count. Infinity and NaN give NaN."""
    element = x.val.type.element
    fused = m.target.fma or element == "double"
    limit, parts = PARTS[element, fused]
    high, low, n = _reduce_small(m, x, parts)
    is_large = (x.abs() > limit) & (x.abs() < float("inf"))
    high = m.where(x.abs() < float("inf"), high, float("nan"))

    b = m.b
    before, large, done = b.block, b.label("large"), b.label("reduced")
    b.cond_br(m.any(is_large), large, done)
    b.place(large)
    slow = _reduce_large(m, m.where(is_large, x, 2.0**24))
    merged = [m.where(is_large, s, f) for s, f in zip(slow, (high, low, n))]
    after = b.block
    b.place(done)
    results = []
    for quick, value in zip((high, low, n), merged):
        phi = b.phi(quick.val.type)
        phi.add(quick.val, before)
        phi.add(value.val, after)
        results.append(Num(m, phi.val))
    return results[0], results[1], results[2]


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
    b, lanes = m.b, m.lanes
    symbol = "anychip.reduce_angle"
    if symbol not in b.module.functions:
        b.module.add_function(symbol, _scalar_function(m, symbol))
    wide = x.cast("fpext", "double")
    size = 8 * lanes
    input_, output = (b.alloca(F64.with_lanes(lanes * k), 8) for k in (1, 3))
    b.store(wide.val, input_, 8)
    start, loop, end = b.block, b.label("lane"), b.label("lanes")
    b.place(loop)
    index = b.phi(I64)
    index.add(b.int(0, I64), start)
    offset = b.mul(index.val, b.int(8, I64))
    angle = b.load(F64, b.gep(input_, offset), 8)
    place = b.gep(output, offset)
    b.call(symbol, "void", [angle, place, b.gep(place, size), b.gep(place, 2 * size)])
    following = b.add(index.val, b.int(1, I64))
    index.add(following, b.block)
    b.cond_br(b.icmp("ult", following, b.int(lanes, I64)), loop, end)
    b.place(end)
    high, low = (Num(m, b.load(F64.with_lanes(lanes), b.gep(output, k * size), 8)) for k in (0, 1))
    n = Num(m, b.load(I64.with_lanes(lanes), b.gep(output, 2 * size), 8))
    if x.layout.bits == 64:
        return high, low, n
    return high.cast("fptrunc", "float"), m.constant(0.0, x.val.type), n.cast("trunc", "i32")


def _scalar_function(m: Formula, symbol: str) -> str:
    """`void f(double x, ptr high, ptr low, ptr n)` for 2^13 <= |x| < infinity."""
    b = Builder(m.b.module)
    s = Formula(b, m.target, "double", 1)
    x = Num(s, Val("%x", F64))
    bits = x.bits()
    exponent = ((bits.logical_shift(52)) & 0x7FF) - (1023 + 52)
    mantissa = (bits & ((1 << 52) - 1)) | (1 << 52)
    position = exponent + (_PADDING - 2)
    index, shift = position.logical_shift(5), position & 31
    low32 = 0xFFFFFFFF
    window = [
        (s.gather("anychip.two_over_pi", "i64", _pairs(), index + i) << shift).logical_shift(32)
        for i in range(_LIMBS)
    ]

    # The product of the mantissa and the window, modulo 2^192, limb by limb from the lowest.
    m0, m1 = mantissa & low32, mantissa.logical_shift(32)
    limbs: list[Num] = []
    carry = s.integer(0)
    for i in reversed(range(_LIMBS)):
        products = [m0 * window[i]] + ([m1 * window[i + 1]] if i + 1 < _LIMBS else [])
        total = carry
        for product in products:
            total = total + (product & low32)
        carry = total.logical_shift(32)
        for product in products:
            carry = carry + product.logical_shift(32)
        limbs.insert(0, total & low32)

    # Two bits of quadrant, then the fraction; rounding to nearest makes the fraction signed.
    top = (limbs[0] << 32) | limbs[1]
    quadrant = (top + (1 << 61)).logical_shift(62)
    first = (top << 2) | limbs[2].logical_shift(30)
    second = (limbs[2] << 34) | (limbs[3] << 2) | limbs[4].logical_shift(30)
    leading = (first & ~0x7FF).to_float() * 2.0**-64
    following = (first & 0x7FF).to_float() * 2.0**-64
    trailing = second.logical_shift(11).to_float() * 2.0 ** (11 - 128)
    fraction = s.fast_two_sum(leading, following + trailing)
    high, low = s.pair_times(fraction, s.pair_constant(*PIO2))

    # (-x) reduces to the negative of all three.
    negative = x < 0.0
    for value, name in ((high, "%high"), (low, "%low")):
        b.store(s.where(negative, -value, value).val, Val(name, PTR), 8)
    b.store(s.where(negative, -quadrant, quadrant).val, Val("%n", PTR), 8)
    b.effect("ret void")
    return b.text(
        f"define internal void @{symbol}(double %x, ptr %high, ptr %low, ptr %n)", "noinline nounwind"
    )
