"""The error function, its complement and their inverses, and the normal distribution's."""

from __future__ import annotations

from .exponential import NATURAL, exp, exp_minus_one_reduced
from .expression import Formula, Num
from .logarithm import log
from .pieces import by_pieces, pieces, reach
from .piecewise import piecewise
from .polynomials import ERF_PIECES as ERF_TABLE
from .polynomials import ERF_SMALL_F32, ERF_SMALL_F64, ERFC_LOGARITHM
from .table import function

INFINITY = float("inf")

ERF_SMALL = {"float": ERF_SMALL_F32, "double": ERF_SMALL_F64}
ERF_WIDTH, ERF_PIECES = ERF_TABLE
ERF_LIMIT = 15.45 * ERF_WIDTH
"""Where erf is 1 in f32."""

ERF_LINEAR_PIECES = 4


def _erf_small(m: Formula, x: Num) -> Num:
    return m.multiply_add(x, m.polynomial(x * x, ERF_SMALL[x.val.type.element]), x)


@function("erf", inline=True)
def erf(m: Formula, x: Num) -> Num:
    """x P(x^2) near zero; elsewhere 1 - e^-Q(|x|) in f32 and 1 - erfc(|x|) in f64. Where 16 floats can be
    looked up in a register, one of 16 polynomials in f32."""
    if m.looks_up:
        return _erf_by_pieces(m, x.abs()).copysign(x)
    small, magnitude = _erf_small(m, x), x.abs()
    if x.layout.bits == 32:
        limited = m.minimum(magnitude, 3.95)
        large = 1.0 - exp(m, -m.polynomial(limited, ERFC_LOGARITHM))
        return m.where(magnitude < 0.92, small, large.copysign(x))
    large = 1.0 - _erfc_positive(m, m.minimum(magnitude, 8.0))
    return m.where(magnitude < 1.0, small, large.copysign(x))


def _erf_by_pieces(m: Formula, magnitude: Num) -> Num:
    limited = m.minimum(magnitude, ERF_LIMIT)
    result, whole = by_pieces(m, "erf", (ERF_WIDTH, ERF_PIECES), limited)
    return m.where(whole < ERF_LINEAR_PIECES - 0.5, result + limited, result)


def _erfcx_positive(m: Formula, x: Num) -> Num:
    """e^(x^2) erfc(x) for x >= 0, up to 10.1 in f32. In f64: t g(t) with t = 2 / (2 + x) as a pair."""
    if x.layout.bits == 32:
        table = pieces("ERFCX")
        return by_pieces(m, "erfcx", table, m.minimum(x, reach(table)))[0]
    below, rest = m.two_sum(m.constant(2.0), x)
    t = 2.0 / below
    product, error = m.two_product(t, below)
    t_low = (((2.0 - product) - error) - t * rest) * (0.5 * t)
    t_low = m.where(t_low.abs() < 1.0, t_low, 0.0)
    scaled = piecewise(m, "ERFCX", t, t_low)
    return m.multiply_add(scaled, t, scaled * t_low)


def _exp_times(m: Formula, high: Num, low: Num, factor: Num) -> Num:
    """e^(high + low) * factor for high <= 0, rounded once when it is denormal."""
    by = NATURAL[high.val.type.element]
    clamped = m.clamp(high, by.least - 14.0, 0.0)
    low = m.where(clamped.eq(high), low, 0.0)
    whole, n = m.nearest_integer(clamped * by.inverse)
    r, error = m.two_sum(m.multiply_add(whole, -by.high, clamped), whole * -by.low)
    small = exp_minus_one_reduced(m, r)
    grown = m.multiply_add(error + low, 1.0 + small, small)
    return m.scale(m.multiply_add(factor, grown, factor), n)


def _erfc_positive(m: Formula, x: Num) -> Num:
    """erfc(x) for 0 <= x <= 28, up to 10.1 in f32."""
    square, error = m.two_product(x, x)
    return _exp_times(m, -square, -error, _erfcx_positive(m, x))


@function("erfc", inline=True)
def erfc(m: Formula, x: Num) -> Num:
    """The complement of the error function, 1 - erf(x), exact where erf(x) is near 1."""
    magnitude = x.abs()
    tail = _erfc_positive(m, m.minimum(magnitude, 28.0 if x.layout.bits == 64 else 10.1))
    outer = m.where(x < 0.0, 2.0 - tail, tail)
    return m.where(magnitude < 0.5, 1.0 - _erf_small(m, x), outer)


def _erfcx_far(m: Formula, x: Num) -> Num:
    """e^(x^2) erfc(x) for x > 1e9, in f32 for x > 10 (DLMF 7.12.1)."""
    inverse = 1.0 / x
    first = 0.5641895835477563 * inverse
    if x.layout.bits == 64:
        return first
    return first * m.polynomial(inverse * inverse, (1.0, -0.5, 0.75, -1.875, 6.5625))


@function("erfcx")
def erfcx(m: Formula, x: Num) -> Num:
    """e^(x^2) erfc(x) = 2 e^(x^2) - erfcx(-x)."""
    magnitude = x.abs()
    far, largest = (10.0, 9.5) if x.layout.bits == 32 else (1e9, 27.0)
    positive = _erfcx_positive(m, magnitude)
    positive = m.where(magnitude > far, _erfcx_far(m, magnitude), positive)
    limited = m.minimum(magnitude, largest)
    square, error = m.two_product(limited, limited)
    grown = exp(m, square)
    twice = m.where(grown < INFINITY, 2.0 * m.multiply_add(grown, error, grown), INFINITY)
    return m.where(x < 0.0, twice - positive, positive)


@function("normcdf")
def normcdf(m: Formula, x: Num) -> Num:
    """erfc(-x / sqrt 2) / 2, with e^(-x^2/2) from the exact square."""
    magnitude = m.minimum(x.abs(), 39.0 if x.layout.bits == 64 else 14.3)
    square, error = m.two_product(magnitude, magnitude)
    tail = _exp_times(
        m, -0.5 * square, -0.5 * error, 0.5 * _erfcx_positive(m, magnitude * 0.7071067811865476)
    )
    scaled = x * 0.7071067811865476
    centre = m.multiply_add(m.constant(0.5), _erf_small(m, scaled), 0.5)
    return m.where(x.abs() < 0.5, centre, m.where(x > 0.0, 1.0 - tail, tail))


def _single_inverse(m: Formula, y: Num, complement: Num, far: bool) -> Num:
    """`_inverse` in f32: y times a function of w = -log(1 - y^2), or of its root where w is large, which it
    is only where the complement can be smaller than 2^-24."""
    w = -log(m, complement * (1.0 + y))
    table = pieces("ERFINV")
    result, _ = by_pieces(m, "erfinv", table, m.minimum(w, reach(table)))
    if far:
        outer = pieces("ERFINV_FAR")
        root = m.clamp(w.sqrt() - 4.0, 0.0, reach(outer))
        result = m.where(w < 16.0, result, by_pieces(m, "erfinv_far", outer, root)[0])
    return m.where(complement.eq(0.0), INFINITY, result * y)


def _inverse(m: Formula, y: Num, complement: Num, far: bool = True) -> Num:
    """|erfinv(y)| for 0 <= y <= 1 and complement = 1 - y, each exact where it is small; `far` says that the
    complement may be so."""
    if y.layout.bits == 32:
        return _single_inverse(m, y, complement, far)
    central = y * piecewise(m, "ERFINV_CENTRE", y)
    root = (-log(m, complement)).sqrt()
    inside = m.where(complement > 0.0, root, 1.0)
    tail = inside * piecewise(m, "ERFCINV_TAIL", inside)
    result = m.where(y < 0.5, central, tail)
    return m.where(complement.eq(0.0), INFINITY, result)


@function("erfinv")
def erfinv(m: Formula, x: Num) -> Num:
    """The inverse of the error function on [-1, 1]; NaN elsewhere."""
    y = x.abs()
    result = _inverse(m, y, 1.0 - y, far=False)
    return m.where(y <= 1.0, result, float("nan")).copysign(x)


def _erfcinv(m: Formula, x: Num) -> Num:
    upper = x > 1.0
    complement = m.where(upper, 2.0 - x, x)
    result = _inverse(m, 1.0 - complement, complement)
    result = m.where(upper, -result, result)
    return m.where((x >= 0.0) & (x <= 2.0), result, float("nan"))


@function("erfcinv")
def erfcinv(m: Formula, x: Num) -> Num:
    """The inverse of the complement of the error function on [0, 2]."""
    return _erfcinv(m, x)


@function("normcdfinv")
def normcdfinv(m: Formula, x: Num) -> Num:
    """-sqrt(2) erfcinv(2x)."""
    return _erfcinv(m, x + x) * -1.4142135623730951
