"""The gamma function and the logarithm of its absolute value.

In f64, from 8 upwards Stirling's series, with the logarithm as a pair of numbers; below, the argument is
raised by 8 and the product x (x+1) ... (x+7) divided out; below zero, Euler's reflection. In f32 sixteen
polynomials take the place of raising, and lgamma(x) = lgamma(1 + x) - log(x) serves below 1.
"""

from __future__ import annotations

from .expression import Formula, Num
from .logarithm import log, log_parts
from .pieces import by_pieces, pieces, reach
from .piecewise import piecewise
from .power import exp_pair, log_pair
from .table import function
from .trigonometric import sinpi

INFINITY = float("inf")
HALF_LOG_2PI = {
    "float": (0.9189385175704956, 1.563417661998301e-08),
    "double": (0.9189385332046728, -3.8782941580672414e-17),
}
LOG_PI = (1.1447298858494002, 1.0265951162707826e-17)
Pair = tuple[Num, Num]


def _stirling(m: Formula, x: Pair) -> Pair:
    """lgamma(x) of a pair x >= 8."""
    high, low = x
    log = log_pair(m, high)
    log = m.pair_plus(log, (low / high, m.constant(0.0)))
    product = m.pair_times(m.pair_plus(x, m.pair_constant(-0.5, 0.0)), log)
    inverse = 1.0 / high
    series = inverse * piecewise(m, "STIRLING", inverse * inverse)
    total = m.pair_plus(
        m.pair_plus(product, (-high, -low)), m.pair_constant(*HALF_LOG_2PI[high.val.type.element])
    )
    return m.pair_plus(total, (series, m.constant(0.0)))


def _raised(m: Formula, x: Num) -> tuple[Pair, Pair]:
    """(lgamma(y), p) with gamma(x) = gamma(y) / p: y = x + 8 below 8, else y = x and p = 1."""
    low_range = x < 8.0
    total, error = m.two_sum(m.where(low_range, m.constant(8.0), 0.0), x)
    base = m.where(low_range, x, 1.0)
    product: Pair = (base, m.constant(0.0))
    for k in range(1, 8):
        product = m.pair_times(product, m.two_sum(m.constant(float(k)), base))
    one = m.where(low_range, product[0], 1.0), m.where(low_range, product[1], 0.0)
    return _stirling(m, (total, error)), one


@function("tgamma", prefers_f64=True)
def tgamma(m: Formula, x: Num) -> Num:
    """The gamma function."""
    single = x.layout.bits == 32
    magnitude = m.minimum(x.abs(), 50.0 if single else 200.0)
    tiny = magnitude < (2.0**-26 if single else 2.0**-60)
    (high, low), (product, rest) = _raised(m, m.where(tiny, m.constant(1.0), magnitude))
    gamma = exp_pair(m, high, low)
    above = gamma / product
    above = above - m.where(above < INFINITY, above * (rest / product), 0.0)
    # gamma(-a) = -pi / (a sin(pi a) gamma(a))
    sine = sinpi(m, x.abs()) * magnitude
    inverse = exp_pair(m, -high, -low) * product
    below = inverse * (-3.141592653589793 / sine)
    below = m.where(gamma < (1e30 if single else 1e300), -3.141592653589793 / (sine * above), below)
    result = m.where(x > 0.0, above, below)
    result = m.where(tiny, 1.0 / x, result)
    whole = (x < 0.0) & sine.eq(0.0) & ~tiny
    result = m.where(whole | x.eq(-INFINITY), float("nan"), result)
    result = m.where(x > (35.1 if single else 172.0), INFINITY, result)
    return m.where(x.is_nan(), x, result)


def _single_stirling(m: Formula, x: Num) -> Num:
    """lgamma(x) for x >= 8, in f32: (x - 1/2) (log x - 1) + log(2 pi)/2 - 1/2 + 1/(12 x) - ..."""
    high, low = log_parts(m, x)
    factor, less = x - 0.5, high - 1.0
    product, error = m.two_product(factor, less)
    inverse = 1.0 / x
    series = inverse * m.polynomial(inverse * inverse, (1 / 12, -1 / 360, 1 / 1260))
    rest = m.multiply_add(factor, low, error) + (series + (HALF_LOG_2PI["float"][0] - 0.5))
    return m.where(product < INFINITY, product + rest, product)


def _single_lgamma(m: Formula, x: Num) -> Num:
    """log |gamma(x)| in f32."""
    magnitude = x.abs()
    below_one = magnitude < 1.0
    above = m.where(below_one, magnitude, magnitude - 1.0)
    table = pieces("LGAMMA")
    polynomial, _ = by_pieces(m, "lgamma", table, m.minimum(above, reach(table)))
    centre = above * (above - 1.0) * polynomial
    logarithm = log(m, magnitude)
    positive = m.where(below_one, centre - logarithm, centre)
    positive = m.where(magnitude >= 8.0, _single_stirling(m, magnitude), positive)

    def reflected() -> tuple[Num]:
        # lgamma(-a) = log(pi) - log |sin(pi a)| - lgamma(1 + a)
        sine = log(m, sinpi(m, magnitude).abs())
        return ((LOG_PI[0] - sine) - m.where(below_one, centre, positive + logarithm),)

    (result,) = m.where_any(x < 0.0, reflected, (positive,))
    result = m.where(magnitude.eq(INFINITY), INFINITY, result)
    return m.where(x.is_nan(), x, result)


@function("lgamma")
def lgamma(m: Formula, x: Num) -> Num:
    """log |gamma(x)|; relative precision is lost only near its negative zeros."""
    if x.layout.bits == 32:
        return _single_lgamma(m, x)
    magnitude = x.abs()
    huge = magnitude > 1e300
    tiny = magnitude < 2.0**-60
    inside = m.where(huge | tiny, m.constant(9.0), magnitude)
    gamma, product = _raised(m, inside)
    log_high, log_low = log_pair(m, product[0])
    log_low = log_low + product[1] / product[0]
    high, low = m.pair_plus(gamma, (-log_high, -log_low))
    centre = (magnitude >= 0.5) & (magnitude < 3.0)
    table = piecewise(m, "LGAMMA_CENTRE", magnitude)
    middle = (magnitude - 1.0) * (magnitude - 2.0) * table
    high, low = m.where(centre, middle, high), m.where(centre, 0.0, low)

    sine = (sinpi(m, inside) * inside).abs()
    sine_high, sine_low = log_pair(m, m.where(sine > 0.0, sine, 1.0))
    reflected = m.pair_plus(m.pair_constant(*LOG_PI), (-sine_high, -sine_low))
    reflected = m.pair_plus(reflected, (-high, -low))
    result = m.where(x < 0.0, reflected[0] + reflected[1], high + low)

    small_high, small_low = log_pair(m, m.where(tiny & magnitude.ne(0.0), magnitude, 1.0))
    result = m.where(tiny, -(small_high + small_low), result)
    large_high, _ = log_pair(m, m.where(huge & (magnitude < INFINITY), magnitude, 1e300))
    result = m.where(huge, magnitude * (large_high - 1.0), result)
    pole = (x <= 0.0) & (magnitude.eq(0.0) | (sine.eq(0.0) & ~tiny))
    result = m.where(pole | magnitude.eq(INFINITY), INFINITY, result)
    return m.where(x.is_nan(), x, result)
