"""Powers: x^y = e^(y log|x|), with the logarithm as a pair of numbers, and the special cases of C.

f32 is computed in f64, where there is one, with shorter polynomials (log to 2^-43, exp to 2^-32).
Otherwise the logarithm is carried to about 2^-66 (2^-38 in f32), so that its product with y, up to 745 (90),
still gives e^w to about an ulp.
"""

from __future__ import annotations

from .exponential import NATURAL, exp_minus_one_reduced, reduce
from .expression import Formula, Num
from .logarithm import LN2, fraction
from .polynomials import ATANH_PAIR_TAIL, ATANH_SHORT_TAIL, EXP_SHORT_TAIL
from .rounding import trunc
from .table import function

TWO_THIRDS = {
    "float": (0.6666666865348816, -1.9868215517249155e-08),
    "double": (0.6666666666666666, 3.700743415417188e-17),
}


def log_pair(m: Formula, x: Num) -> tuple[Num, Num]:
    """log(x) of a positive finite number as a pair, to about 2^-66 in f64 and 2^-38 in f32."""
    element = x.val.type.element
    f, e = fraction(m, x)
    below, below_rest = m.two_sum(m.constant(2.0), f)
    s = f / below
    product, error = m.two_product(s, below)
    s_pair = (s, (((f - product) - error) - s * below_rest) / below)
    z = m.pair_times(s_pair, s_pair)
    tail = m.polynomial(z[0], ATANH_PAIR_TAIL[element])
    product, error = m.two_product(z[0], tail)
    series = m.pair_plus(m.pair_constant(*TWO_THIRDS[element]), (product, m.multiply_add(z[1], tail, error)))
    cubic = m.pair_times(m.pair_times(s_pair, z), series)
    doubled = (s_pair[0] + s_pair[0], s_pair[1] + s_pair[1])
    k = e.to_float()
    high, low = LN2[element]
    return m.pair_plus((k * high, k * low), m.pair_plus(doubled, cubic))


def exp_pair(m: Formula, high: Num, low: Num) -> Num:
    """e^(high + low), from 0 to infinity."""
    by = NATURAL[high.val.type.element]
    clamped = m.clamp(high, by.least, by.most)
    low = m.where(clamped.eq(high), low, 0.0)
    magic = high.layout.magic
    shifted = m.multiply_add(clamped, by.inverse, magic)
    n = shifted.bits() - high.layout.pattern(magic)
    whole = shifted - magic
    r, error = m.two_sum(m.multiply_add(whole, -by.high, clamped), whole * -by.low)
    rest = error + low
    small = exp_minus_one_reduced(m, r)
    return m.scale(1.0 + m.multiply_add(rest, 1.0 + small, small), n)


def _short_log_times(m: Formula, x: Num, y: Num) -> Num:
    """y log(x), to 2^-40 of itself."""
    f, e = fraction(m, x)
    s = f / (2.0 + f)
    z = s * s
    log = m.multiply_add(s * z, m.polynomial(z, ATANH_SHORT_TAIL), s + s)
    return y * m.multiply_add(e.to_float(), 0.6931471805599453, log)


def _short_exp(m: Formula, x: Num) -> Num:
    r, n, _ = reduce(m, m.clamp(x, -745.0, 710.0), NATURAL["double"])
    return m.scale(m.multiply_add(r * r, m.polynomial(r, EXP_SHORT_TAIL), 1.0 + r), n)


def _power(m: Formula, x: Num, y: Num) -> Num:
    """x^y, with the special cases of ISO C's annex F."""
    infinity = float("inf")
    magnitude = x.abs()
    edge = m.where(magnitude.eq(0.0), m.constant(-infinity), infinity)
    regular = (magnitude > 0.0) & (magnitude < infinity)
    if m.widened:
        product = _short_log_times(m, magnitude, y)
        result = _short_exp(m, m.where(regular, product, y * edge))
    else:
        high, low = log_pair(m, magnitude)
        product, error = m.two_product(y, high)
        error = m.multiply_add(y, low, error)
        result = exp_pair(m, m.where(regular, product, y * edge), m.where(regular, error, 0.0))
    half = y * 0.5
    is_integer = trunc(m, y).eq(y)
    is_odd = is_integer & trunc(m, half).ne(half) & (y.abs() < infinity)
    negative = x.bits() < 0
    result = m.where(negative & is_odd, -result, result)
    invalid = (x < 0.0) & ~is_integer & (magnitude < infinity)
    result = m.where(invalid, float("nan"), result)
    result = m.where(x.is_nan() | y.is_nan(), x + y, result)
    one = x.eq(1.0) | y.eq(0.0) | (x.eq(-1.0) & y.abs().eq(infinity))
    return m.where(one, 1.0, result)


@function("pow", arity=2, prefers_f64=True)
def pow_(m: Formula, x: Num, y: Num) -> Num:
    """x to the power of y, with C's special cases."""
    return _power(m, x, y)


@function("powi", arity=2, prefers_f64=True)
def powi(m: Formula, x: Num, n: Num) -> Num:
    """x^n for a 32-bit integer n."""
    return _power(m, x, n.to_float(x.val.type.element))
