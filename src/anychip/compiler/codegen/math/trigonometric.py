"""Sine, cosine, tangent and their inverses."""

from __future__ import annotations

from .angle_reduction import reduce_angle
from .expression import Formula, Num
from .polynomials import ASIN_TAIL, ATAN_TAIL, COS_TAIL, SIN_TAIL
from .rounding import rint
from .table import function

PI = {
    "float": (3.1415927410125732, -8.742277657347586e-08),
    "double": (3.141592653589793, 1.2246467991473532e-16),
}


def split_pi(element: str, divisor: float) -> tuple[float, float]:
    """pi / divisor (a power of two) as a value and the rest, in the element's precision."""
    return PI[element][0] / divisor, PI[element][1] / divisor


def sin_cos_reduced(m: Formula, r: Num, low: Num) -> tuple[Num, Num, Num, Num]:
    """sin and cos of r + low for |r| <= pi/4, each as a value and a correction to add last."""
    element = r.val.type.element
    z = r * r
    sine_rest = m.multiply_add(z * r, m.polynomial(z, SIN_TAIL[element]), low * (1.0 - 0.5 * z))
    half = 0.5 * z
    main = 1.0 - half
    lost = (1.0 - main) - half
    cosine_rest = m.multiply_add(z * z, m.polynomial(z, COS_TAIL[element]), lost - r * low)
    return r, sine_rest, main, cosine_rest


def choose_sine(m: Formula, r: Num, low: Num, n: Num) -> Num:
    """sin(r + low + n pi/2)."""
    sine, sine_rest, cosine, cosine_rest = sin_cos_reduced(m, r, low)
    swap = (n & 1).ne(0)
    value = m.where(swap, cosine + cosine_rest, sine + sine_rest)
    sign = (n & 2) << (r.layout.bits - 2)
    return (value.bits() ^ sign).as_float()


@function("sin")
def sin(m: Formula, x: Num) -> Num:
    """The sine; the angle is in radians, as below."""
    result = choose_sine(m, *reduce_angle(m, x))
    return m.where(x.eq(0.0), x, result)


@function("cos")
def cos(m: Formula, x: Num) -> Num:
    """The cosine."""
    high, low, n = reduce_angle(m, x)
    return choose_sine(m, high, low, n + 1)


def _quotient(m: Formula, r: Num, low: Num, n: Num) -> Num:
    """tan(r + low + n pi/2): the quotient of two pairs."""
    sine, sine_rest, cosine, cosine_rest = sin_cos_reduced(m, r, low)
    sine_pair = m.fast_two_sum(sine, sine_rest)
    cosine_pair = m.fast_two_sum(cosine, cosine_rest)
    swap = (n & 1).ne(0)
    above = [m.where(swap, -c, s) for s, c in zip(sine_pair, cosine_pair)]
    below = [m.where(swap, s, c) for s, c in zip(sine_pair, cosine_pair)]
    quotient = above[0] / below[0]
    product, error = m.two_product(quotient, below[0])
    rest = ((above[0] - product) - error) + above[1] - quotient * below[1]
    return quotient + rest / below[0]


@function("tan")
def tan(m: Formula, x: Num) -> Num:
    """The tangent."""
    return m.where(x.abs() < 2.0**-26, x, _quotient(m, *reduce_angle(m, x)))


def _reduce_half_turns(m: Formula, x: Num) -> tuple[Num, Num, Num]:
    """The angle pi x as `reduce_angle` gives it."""
    turn = x - 2.0 * rint(m, 0.5 * x)
    whole, n = m.nearest_integer(turn + turn)
    r = m.multiply_add(whole, -0.5, turn)
    high, low = split_pi(x.val.type.element, 1.0)
    product, error = m.two_product(r, high)
    return product, m.multiply_add(r, low, error), n


@function("sinpi")
def sinpi(m: Formula, x: Num) -> Num:
    """sin(pi x), exactly zero at integers."""
    result = choose_sine(m, *_reduce_half_turns(m, x))
    return m.where(result.eq(0.0), (x * 0.0), result)


@function("cospi")
def cospi(m: Formula, x: Num) -> Num:
    """cos(pi x), exactly zero halfway between integers."""
    high, low, n = _reduce_half_turns(m, x)
    result = choose_sine(m, high, low, n + 1)
    return m.where(result.eq(0.0), result.abs(), result)


def _atan_positive(m: Formula, above: Num, below: Num) -> tuple[Num, Num]:
    """atan(above / below) for 0 <= above <= below as a pair whose high part is 0 or pi/4.

    The quotient is corrected by its remainder, so that only the last addition rounds.
    """
    element = above.val.type.element
    upper = above > below * 0.4142135623730951
    difference, difference_rest = m.fast_two_sum(-below, above)
    total, total_rest = m.fast_two_sum(below, above)
    p, p_rest = m.where(upper, difference, above), m.where(upper, difference_rest, 0.0)
    q, q_rest = m.where(upper, total, below), m.where(upper, total_rest, 0.0)
    inverse = 1.0 / q
    t = p * inverse
    product, error = m.two_product(t, q)
    rest = (((p - product) - error) + (p_rest - t * q_rest)) * inverse
    rest = m.where(rest.abs() < 2.0**-8, rest, 0.0)
    z = t * t
    series = m.multiply_add(t * z, m.polynomial(z, ATAN_TAIL[element]), rest)
    high, low = split_pi(element, 4.0)
    high, low = (m.where(upper, m.constant(c, z.val.type), 0.0) for c in (high, low))
    total, error = m.fast_two_sum(high, t)
    total = m.where(upper, total, t)
    error = m.where(upper, error, 0.0)
    return total, error + (series + low)


@function("atan")
def atan(m: Formula, x: Num) -> Num:
    """The inverse tangent."""
    magnitude = x.abs()
    inverted = magnitude > 1.0
    one = m.constant(1.0, x.val.type)
    high, low = _atan_positive(m, m.where(inverted, one, magnitude), m.where(inverted, magnitude, one))
    pio2, pio2_low = split_pi(x.val.type.element, 2.0)
    total, error = m.fast_two_sum(m.constant(pio2, x.val.type), -high)
    result = m.where(inverted, total + (error + (pio2_low - low)), high + low)
    return result.copysign(x)


@function("atan2", arity=2)
def atan2(m: Formula, y: Num, x: Num) -> Num:
    """The angle of the point (x, y), with the signs of zeros and infinities as in C."""
    element = x.val.type.element
    ay, ax = y.abs(), x.abs()
    swapped = ay > ax
    above, below = m.where(swapped, ax, ay), m.where(swapped, ay, ax)
    huge, tiny = 2.0 ** (x.layout.bias - 2), 2.0 ** (2 - x.layout.bias + 2 * x.layout.mantissa)
    scale = m.where(below > huge, m.constant(2.0 ** -(x.layout.mantissa + 4), x.val.type), 1.0)
    scale = m.where(below < tiny, 2.0 ** (x.layout.mantissa * 2), scale)
    above, below = above * scale, below * scale
    both_infinite = above.eq(float("inf"))
    above = m.where(both_infinite, 1.0, above)
    below = m.where(both_infinite | below.eq(0.0), 1.0, below)
    high, low = _atan_positive(m, above, below)
    for condition, constant in ((swapped, 2.0), ((x.bits() < 0) & ~x.is_nan(), 1.0)):
        whole, rest = split_pi(element, constant)
        total, error = m.fast_two_sum(m.constant(whole, x.val.type), -high)
        high, low = m.where(condition, total, high), m.where(condition, error + (rest - low), low)
    # The arctangent of a small quotient is the quotient.
    plain = m.where(swapped, ax, ay) / m.where(swapped, ay, ax)
    is_plain = (plain < 2.0 ** -(x.layout.mantissa // 2 + 3)) & ~swapped & (x.bits() >= 0)
    result = m.where(is_plain, plain, high + low)
    result = m.where(ay.eq(0.0) & ax.eq(0.0) & (x.bits() >= 0), 0.0, result)
    nan = x.is_nan() | y.is_nan()
    return m.where(nan, x + y, result.copysign(y))


def _asin_parts(m: Formula, x: Num) -> tuple[Num, Num, Num, Num]:
    """(is large, |x| or sqrt((1 - |x|)/2), what the root lost, series tail) for asin and acos."""
    magnitude = x.abs()
    large = magnitude > 0.5
    z = m.where(large, 0.5 * (1.0 - magnitude), magnitude * magnitude)
    root = z.sqrt()
    product, error = m.two_product(root, root)
    lost = m.where(root > 0.0, ((z - product) - error) / (root + root), 0.0)
    base = m.where(large, root, magnitude)
    tail = base * z * m.polynomial(z, ASIN_TAIL[x.val.type.element])
    return large, base, m.where(large, lost, 0.0), tail


@function("asin")
def asin(m: Formula, x: Num) -> Num:
    """The inverse sine; NaN beyond 1."""
    large, base, lost, tail = _asin_parts(m, x)
    pio2, pio2_low = split_pi(x.val.type.element, 2.0)
    total, error = m.fast_two_sum(m.constant(pio2, x.val.type), -2.0 * base)
    upper = total + (error + (pio2_low - 2.0 * (tail + lost)))
    result = m.where(large, upper, base + tail)
    return result.copysign(x)


@function("acos")
def acos(m: Formula, x: Num) -> Num:
    """The inverse cosine; NaN beyond 1."""
    large, base, lost, tail = _asin_parts(m, x)
    element = x.val.type.element
    pio2, pio2_low = split_pi(element, 2.0)
    pi, pi_low = split_pi(element, 1.0)
    negative = x < 0.0
    near_one = 2.0 * (base + (tail + lost))
    near_minus_one = pi - (2.0 * base - (pi_low - 2.0 * (tail + lost)))
    signed = m.where(negative, -base, base)
    signed_tail = m.where(negative, -tail, tail)
    middle = pio2 - (signed - (pio2_low - signed_tail))
    return m.where(large, m.where(negative, near_minus_one, near_one), middle)
