"""Exponentials to any of the usual bases.

The argument is reduced to |r| <= ln(2)/2 around a multiple n of ln(2) in two parts (Cody and
Waite, Software Manual for the Elementary Functions, 1980), a polynomial (`polynomials.py`) gives e^r
and the result is scaled by 2^n in two steps, so that denormal results are rounded once and
overflow gives infinity. NaN passes through the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

from .expression import Formula, Num
from .polynomials import EXP2_TAIL, EXP10_TAIL, EXP_TAIL
from .table import function

LOG2_E = 1.4426950408889634


@dataclass(frozen=True, slots=True)
class Reduction:
    """Constants of x = n * step + r: `step` in two parts, and where the result leaves the range."""

    inverse: float
    high: float
    low: float
    least: float
    most: float


NATURAL = {
    "float": Reduction(LOG2_E, 0.693145751953125, 1.4286068203094173e-06, -104.5, 89.5),
    "double": Reduction(LOG2_E, 0.6931471805598903, 5.497923018708371e-14, -746.0, 710.5),
}
DECIMAL = {
    "float": Reduction(3.321928094887362, 0.301025390625, 4.605038981195214e-06, -45.5, 38.8),
    "double": Reduction(3.321928094887362, 0.30102999566395283, 2.8363394551044964e-14, -324.0, 308.6),
}
EXP2_RANGE = {"float": (-151.0, 129.0), "double": (-1076.0, 1025.0)}


def reduce(m: Formula, x: Num, by: Reduction) -> tuple[Num, Num, Num]:
    """(r, n, n as a float) with x = n * step + r and |r| <= step/2, for x in range."""
    magic = x.layout.magic
    shifted = m.multiply_add(x, by.inverse, magic)
    n = shifted.bits() - x.layout.pattern(magic)
    whole = shifted - magic
    r = m.multiply_add(whole, -by.high, x)
    return m.multiply_add(whole, -by.low, r), n, whole


def exp_minus_one_reduced(m: Formula, r: Num) -> Num:
    """e^r - 1 for |r| <= ln(2)/2."""
    return m.multiply_add(r * r, m.polynomial(r, EXP_TAIL[r.val.type.element]), r)


@function("exp", inline=True)
def exp(m: Formula, x: Num) -> Num:
    """e to the power of x."""
    by = NATURAL[x.val.type.element]
    r, n, _ = reduce(m, m.clamp(x, by.least, by.most), by)
    return m.scale(1.0 + exp_minus_one_reduced(m, r), n)


@function("exp2", inline=True)
def exp2(m: Formula, x: Num) -> Num:
    """2 to the power of x."""
    element = x.val.type.element
    x = m.clamp(x, *EXP2_RANGE[element])
    whole, n = m.nearest_integer(x)
    r = x - whole
    return m.scale(m.multiply_add(r, m.polynomial(r, EXP2_TAIL[element]), 1.0), n)


@function("exp10")
def exp10(m: Formula, x: Num) -> Num:
    """10 to the power of x."""
    element = x.val.type.element
    by = DECIMAL[element]
    r, n, _ = reduce(m, m.clamp(x, by.least, by.most), by)
    return m.scale(m.multiply_add(r, m.polynomial(r, EXP10_TAIL[element]), 1.0), n)


@function("expm1", inline=True)
def expm1(m: Formula, x: Num) -> Num:
    """2^n (e^r - 1) + (2^n - 1), where the last difference is exact or far below the sum."""
    by = NATURAL[x.val.type.element]
    limits = (-40.0, 710.0) if x.layout.bits == 64 else (-20.0, 89.0)
    r, n, _ = reduce(m, m.clamp(x, *limits), by)
    half = m.power_of_two(n - 1)
    small = exp_minus_one_reduced(m, r)
    sum_ = m.multiply_add(small, half, half - 0.5) * 2.0
    return m.where(n.eq(0), m.where(x.eq(0.0), x, small), sum_)


@function("sigmoid", inline=True)
def sigmoid(m: Formula, x: Num) -> Num:
    """1 / (1 + e^-x), through e^-|x|, which cannot overflow."""
    power = exp(m, -x.abs())
    return m.where(x < 0.0, power, 1.0) / (1.0 + power)
