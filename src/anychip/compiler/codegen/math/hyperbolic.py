"""Hyperbolic functions and their inverses."""

from __future__ import annotations

from .exponential import NATURAL, exp, exp_minus_one_reduced, reduce
from .expression import Formula, Num
from .logarithm import log, log1p
from .polynomials import ASINH_TAIL, SINH_TAIL, TANH_TAIL
from .table import function

LN2 = 0.6931471805599453


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
    """The hyperbolic sine."""
    magnitude = x.abs()
    square = x * x
    small = m.multiply_add(square * x, m.polynomial(square, SINH_TAIL[x.val.type.element]), x)
    half = _half_exp(m, magnitude)
    return m.where(magnitude < 1.0, small, (half - 0.25 / half).copysign(x))


@function("cosh")
def cosh(m: Formula, x: Num) -> Num:
    """The hyperbolic cosine."""
    half = _half_exp(m, x.abs())
    return half + 0.25 / half


@function("asinh")
def asinh(m: Formula, x: Num) -> Num:
    """The inverse hyperbolic sine."""
    magnitude = x.abs()
    square = x * x
    small = m.multiply_add(square * x, m.polynomial(square, ASINH_TAIL[x.val.type.element]), x)
    huge = magnitude > 2.0**28
    large = log1p(m, magnitude + square / (1.0 + (square + 1.0).sqrt()))
    large = m.where(huge, log(m, magnitude) + LN2, large)
    return m.where(magnitude < 0.5, small, large).copysign(x)


@function("acosh")
def acosh(m: Formula, x: Num) -> Num:
    """The inverse hyperbolic cosine; NaN below 1."""
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
