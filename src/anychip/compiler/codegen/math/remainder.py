"""Exact remainders of division, for quotients of any size.

A loop subtracts multiples of the divisor, scaled by a power of two so that each quotient has at
most 26 bits (21 in f32) and each difference is exact. One round is enough for smaller quotients.
"""

from __future__ import annotations

from .expression import Formula, Num
from .manipulation import binary_exponent
from .rounding import trunc
from .table import function

QUOTIENT_BITS = {"float": 20, "double": 25}


def _rest(m: Formula, x: Num, step: Num) -> Num:
    """x modulo step, for quotients of few bits."""
    product, error = m.two_product(trunc(m, x / step), step)
    rest = (x - product) - error
    rest = m.where(rest < 0.0, rest + step, rest)
    return m.where(rest >= step, rest - step, rest)


def _positive_remainder(m: Formula, x: Num, y: Num) -> Num:
    """x modulo y for positive finite y and finite x >= 0."""
    b, layout = m.b, x.layout
    quotient_bits = QUOTIENT_BITS[layout.element]
    exponent = binary_exponent(m, y)
    before = b.block
    simple, loop, done = b.label("divide_once"), b.label("divide"), b.label("divided")
    b.cond_br(m.any(x >= y * 2.0**quotient_bits), loop, simple)
    b.place(simple)
    once = _rest(m, x, y)
    after_simple = b.block
    b.br(done)
    b.place(loop)
    phi = b.phi(x.val.type)
    phi.add(x.val, before)
    rest = Num(m, phi.val)
    shift = binary_exponent(m, rest) - exponent - quotient_bits
    shift = m.where(shift < 0, 0, shift)
    step = y
    for _ in range(3):
        part = m.where(shift > layout.bias - 23, layout.bias - 23, shift)
        step, shift = step * m.power_of_two(part), shift - part
    following = _rest(m, rest, step)
    following = m.where(rest >= y, following, rest)
    after = b.block
    phi.add(following.val, after)
    b.cond_br(m.any(following >= y), loop, done)
    b.place(done)
    result = b.phi(x.val.type)
    result.add(once.val, after_simple)
    result.add(following.val, after)
    return Num(m, result.val)


def _fmod(m: Formula, x: Num, y: Num) -> Num:
    """|x| modulo |y|; NaN for infinite x and zero y."""
    ax, ay = x.abs(), y.abs()
    infinity = float("inf")
    regular = (ax < infinity) & (ay > 0.0) & (ay < infinity)
    result = _positive_remainder(m, m.where(regular, ax, 0.0), m.where(regular, ay, 1.0))
    result = m.where(ay.eq(infinity) & (ax < infinity), ax, result)
    invalid = ax.eq(infinity) | ay.eq(0.0) | ax.is_nan() | ay.is_nan()
    return m.where(invalid, float("nan"), result)


@function("fmod", arity=2)
def fmod(m: Formula, x: Num, y: Num) -> Num:
    """The remainder with the sign of x, as in C."""
    return _fmod(m, x, y).copysign(x)


@function("remainder", arity=2)
def remainder(m: Formula, x: Num, y: Num) -> Num:
    """x - n y for the integer n nearest to x / y, ties to even (IEEE 754)."""
    magnitude = y.abs()
    rest = _fmod(m, x, magnitude + magnitude)
    above = rest + rest > magnitude
    first = m.where(above, rest - magnitude, rest)
    again = above & (first + first >= magnitude)
    result = m.where(again, first - magnitude, first)
    flipped = (result.bits() ^ x.sign_bit()).as_float()
    return m.where(result.eq(0.0), result.abs().copysign(x), flipped)
