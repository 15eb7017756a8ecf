"""Exponentials to any of the usual bases.

The argument is reduced to |r| <= ln(2)/2 around a multiple n of ln(2) in two parts (Cody and
Waite, Software Manual for the Elementary Functions, 1980), a minimax-like polynomial gives e^r
and the result is scaled by 2^n in two steps, so that denormal results are rounded once and
overflow gives infinity. NaN passes through the arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

from .expression import Formula, Num
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

EXP_TAIL = {
    "float": (0.5, 0.16666576266288757, 0.041666556149721146, 0.008363178931176662, 0.0013926184037700295),
    "double": (
        0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333326136, 0.0013888888888883748,
        0.00019841269874820627, 2.4801587325547743e-05, 2.7557255400206422e-06, 2.75572736431103e-07,
        2.5105217004720745e-08, 2.0914686968086876e-09,
    ),
}  # fmt: skip
"""(e^r - 1 - r) / r^2 on |r| <= ln(2)/2."""

EXP2_TAIL = {
    "float": (
        0.6931471824645996, 0.24022650718688965, 0.05550410971045494, 0.009618056938052177,
        0.0013333501992747188, 0.00015461444854736328, 1.529732435301412e-05,
    ),
    "double": (
        0.6931471805599453, 0.24022650695910072, 0.055504108664821625, 0.00961812910762848,
        0.001333355814640647, 0.00015403530393370734, 1.5252733841556773e-05, 1.3215486808705563e-06,
        1.0178057087733941e-07, 7.0548973041554995e-09, 4.4558179083360645e-10, 2.5729324177362305e-11,
    ),
}  # fmt: skip
"""(2^r - 1) / r on |r| <= 1/2."""

EXP10_TAIL = {
    "float": (
        2.3025851249694824, 2.650949001312256, 2.0346786975860596, 1.1712462902069092, 0.539380669593811,
        0.20777426660060883, 0.06828846037387848,
    ),
    "double": (
        2.302585092994046, 2.650949055239199, 2.034678592293476, 1.1712551489122678, 0.5393829291955815,
        0.20699584869661453, 0.06808936507439814, 0.019597694664843793, 0.0050139288396637005,
        0.0011544969575403737, 0.0002416662925020152, 4.6471097509845694e-05, 8.228696962824417e-06,
    ),
}  # fmt: skip
"""(10^r - 1) / r on |r| <= log10(2)/2."""


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
    by = NATURAL[x.val.type.element]
    r, n, _ = reduce(m, m.clamp(x, by.least, by.most), by)
    return m.scale(1.0 + exp_minus_one_reduced(m, r), n)


@function("exp2", inline=True)
def exp2(m: Formula, x: Num) -> Num:
    element = x.val.type.element
    x = m.clamp(x, *EXP2_RANGE[element])
    whole, n = m.nearest_integer(x)
    r = x - whole
    return m.scale(m.multiply_add(r, m.polynomial(r, EXP2_TAIL[element]), 1.0), n)


@function("exp10")
def exp10(m: Formula, x: Num) -> Num:
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
