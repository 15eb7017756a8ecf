"""The error function, its complement and their inverses, and the normal distribution's."""

from __future__ import annotations

from .exponential import NATURAL, exp, exp_minus_one_reduced
from .expression import Formula, Num
from .logarithm import log
from .pieces import by_pieces, pieces, reach
from .piecewise import piecewise
from .table import function

INFINITY = float("inf")

ERF_SMALL = {
    "float": (
        0.128379225730896, -0.37612634897232056, 0.11283691227436066, -0.02685915119946003,
        0.005200368817895651, -0.000813470920547843, 8.334718586411327e-05,
    ),
    "double": (
        0.1283791670955126, -0.3761263890318375, 0.11283791670954879, -0.026866170645076792,
        0.0052239776248180145, -0.000854832698083379, 0.0001205533111164271, -1.4925595266831182e-05,
        1.6461000484121368e-06, -1.6350312701054695e-07, 1.4659775274047436e-08, -1.1372848856791674e-09,
        5.957176147748911e-11,
    ),
}  # fmt: skip
"""erf(x)/x - 1 as a polynomial in x^2, up to x = 0.93 in f32 and 1 in f64."""

ERFC_LOGARITHM = (
    -0.0003231856389902532, 1.1302518844604492, 0.6317844390869141, 0.11012809723615646,
    -0.026453157886862755, 0.00477243447676301, -0.0005998596898280084, 4.6455235860776156e-05,
    -1.658902078816027e-06,
)  # fmt: skip
"""-log(erfc(x)) on [0.9, 3.95], for f32."""


ERF_WIDTH = 0.265625
ERF_LIMIT = 15.45 * ERF_WIDTH
"""The width of a piece of `ERF_PIECES`, and where erf is 1 in f32."""

ERF_PIECES = (
    (
        0.0, 0.02719823457300663, 0.01627843640744686, -0.056638021022081375, 0.867058277130127,
        0.9396533370018005, 0.975797712802887, 0.991450309753418, 0.9973459839820862, 0.9992774128913879,
        0.9998276829719543, 0.9999640583992004, 0.9999934434890747, 0.9999989867210388, 0.9999998807907104,
        1.0,
    ),
    (
        0.12837916612625122, 0.051508285105228424, -0.1490860879421234, -0.40203768014907837,
        0.36490288376808167, 0.19337309896945953, 0.08898772299289703, 0.035561446100473404,
        0.012340820394456387, 0.003718980820849538, 0.000973238202277571, 0.00022117176558822393,
        4.364712367532775e-05, 7.479920896003023e-06, 1.1131504606964882e-06, 1.4386409930011723e-07,
    ),
    (
        2.6688073262448597e-07, -0.2792995274066925, -0.45203953981399536, -0.4764975905418396,
        -0.38771116733551025, -0.25682753324508667, -0.14182694256305695, -0.06612288951873779,
        -0.026223931461572647, -0.008890149183571339, -0.002584796631708741, -0.0006460647564381361,
        -0.00013906386448070407, -2.5811532395891845e-05, -4.135405561100924e-06, -5.725334517592273e-07,
    ),
    (
        -0.3761417865753174, -0.30103957653045654, -0.12353899329900742, 0.05381719768047333,
        0.15299095213413239, 0.1629381775856018, 0.1210266649723053, 0.07011088728904724,
        0.033037733286619186, 0.012929841876029968, 0.004253361839801073, 0.0011850065784528852,
        0.0002810541191138327, 5.695460640708916e-05, 9.888094609777909e-06, 1.470966594752099e-06,
    ),
    (
        0.000293086253805086, 0.1319722682237625, 0.182216614484787, 0.13684186339378357,
        0.048238616436719894, -0.022004462778568268, -0.048751410096883774, -0.043015845119953156,
        -0.026408296078443527, -0.012573323212563992, -0.004842928145080805, -0.001541803008876741,
        -0.00041085659177042544, -9.239129576599225e-05, -1.763161526469048e-05, -2.853416845027823e-06,
    ),
    (
        0.11092346906661987, 0.07577858120203018, -0.001725961221382022, -0.05943869799375534,
        -0.06594930589199066, -0.03687014803290367, -0.005121039692312479, 0.010917333886027336,
        0.012445873580873013, 0.008071180433034897, 0.0038286445196717978, 0.0014288317179307342,
        0.0004334212571848184, 0.00010879667388508096, 2.285199298057705e-05, 4.222638835926773e-06,
    ),
)  # fmt: skip
"""erf(x), in the first four pieces erf(x) - x, as polynomials in the distance from the middle k * ERF_WIDTH
of piece k, for f32: a row holds the coefficients of one power for all 16 pieces."""

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
    return _erfcinv(m, x)


@function("normcdfinv")
def normcdfinv(m: Formula, x: Num) -> Num:
    """-sqrt(2) erfcinv(2x)."""
    return _erfcinv(m, x + x) * -1.4142135623730951
