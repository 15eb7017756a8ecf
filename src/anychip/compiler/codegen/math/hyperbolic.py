"""Hyperbolic functions and their inverses."""

from __future__ import annotations

from .exponential import NATURAL, exp, exp_minus_one_reduced, reduce
from .expression import Formula, Num
from .logarithm import log, log1p
from .table import function

LN2 = 0.6931471805599453

TANH_TAIL = {
    "float": (
        -0.3333333134651184, 0.1333308219909668, -0.05390334874391556, 0.021272748708724976,
        -0.006542542017996311,
    ),
    "double": (
        -0.3333333333333333, 0.13333333333332467, -0.05396825396714515, 0.021869488480722565,
        -0.008863234104802229, 0.003592106586471979, -0.001455632070932804, 0.000588792024475583,
        -0.0002342148186711548, 8.443719567103072e-05, -2.0141494563083882e-05,
    ),
}  # fmt: skip
"""(tanh(x) - x) / x^3 as a polynomial in x^2, on |x| <= 0.56."""

SINH_TAIL = {
    "float": (0.1666666716337204, 0.008333340287208557, 0.00019837972649838775, 2.8073002340534003e-06),
    "double": (
        0.16666666666666666, 0.008333333333333333, 0.00019841269841269765, 2.7557319224046015e-06,
        2.5052108362291208e-08, 1.6059048676244126e-10, 7.646603527319814e-13, 2.8451916214849937e-15,
    ),
}  # fmt: skip
"""(sinh(x) - x) / x^3 as a polynomial in x^2, on |x| <= 1."""

ASINH_TAIL = {
    "float": (
        -0.1666666716337204, 0.07499972730875015, -0.044629987329244614, 0.03015572391450405,
        -0.02052447199821472, 0.009932398796081543,
    ),
    "double": (
        -0.16666666666666666, 0.07499999999999996, -0.04464285714284482, 0.030381944443176656,
        -0.022372159022676575, 0.017352762216380584, -0.013964797331321607, 0.011551134586144235,
        -0.009754893640249977, 0.008342104040217567, -0.007064943803169321, 0.005545737442918444,
        -0.003452719054705003, 0.001200012056905298,
    ),
}  # fmt: skip
"""(asinh(x) - x) / x^3 as a polynomial in x^2, on |x| <= 1/2."""


@function("tanh", inline=True)
def tanh(m: Formula, x: Num) -> Num:
    """A polynomial near zero, 1 - 2 / (e^2x + 1) elsewhere."""
    magnitude = x.abs()
    square = x * x
    small = m.multiply_add(square * x, m.polynomial(square, TANH_TAIL[x.val.type.element]), x)
    large = 1.0 - 2.0 / (exp(m, magnitude + magnitude) + 1.0)
    return m.where(magnitude < 0.55, small, large).copysign(x)


def _half_exp(m: Formula, x: Num) -> Num:
    """e^x / 2 without premature overflow, for x >= 0."""
    by = NATURAL[x.val.type.element]
    r, n, _ = reduce(m, m.clamp(x, 0.0, by.most + 1.0), by)
    return m.scale(1.0 + exp_minus_one_reduced(m, r), n - 1)


@function("sinh")
def sinh(m: Formula, x: Num) -> Num:
    magnitude = x.abs()
    square = x * x
    small = m.multiply_add(square * x, m.polynomial(square, SINH_TAIL[x.val.type.element]), x)
    half = _half_exp(m, magnitude)
    return m.where(magnitude < 1.0, small, (half - 0.25 / half).copysign(x))


@function("cosh")
def cosh(m: Formula, x: Num) -> Num:
    half = _half_exp(m, x.abs())
    return half + 0.25 / half


@function("asinh")
def asinh(m: Formula, x: Num) -> Num:
    magnitude = x.abs()
    square = x * x
    small = m.multiply_add(square * x, m.polynomial(square, ASINH_TAIL[x.val.type.element]), x)
    huge = magnitude > 2.0**28
    large = log1p(m, magnitude + square / (1.0 + (square + 1.0).sqrt()))
    large = m.where(huge, log(m, magnitude) + LN2, large)
    return m.where(magnitude < 0.5, small, large).copysign(x)


@function("acosh")
def acosh(m: Formula, x: Num) -> Num:
    t = x - 1.0
    small = log1p(m, t + (t * (x + 1.0)).sqrt())
    large = log(m, x) + LN2
    result = m.where(x > 2.0**28, large, small)
    return m.where(x < 1.0, float("nan"), result)


@function("atanh")
def atanh(m: Formula, x: Num) -> Num:
    """log1p(2x / (1 - x)) / 2, written so that small x keep their last bits."""
    magnitude = x.abs()
    doubled = magnitude + magnitude
    quotient = doubled / (1.0 - magnitude)
    argument = m.where(
        magnitude < 0.5, m.multiply_add(doubled, magnitude / (1.0 - magnitude), doubled), quotient
    )
    return (0.5 * log1p(m, argument)).copysign(x)
