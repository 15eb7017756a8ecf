"""Logarithms to any of the usual bases.

x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); f32 takes a polynomial in f, f64 one in
s = f / (2 + f) (the series of 2 atanh s; both in `polynomials.py`). Denormals are scaled first. Bases two
and ten multiply log(1 + f), held as a pair of numbers, by a constant held as a pair.
"""

from __future__ import annotations

from .expression import Formula, Num
from .polynomials import ATANH_TAIL, LOG_TAIL
from .table import function

LN2 = {
    "float": (0.693145751953125, 1.4286068203094173e-06),
    "double": (0.6931471805598903, 5.497923018708371e-14),
}
LOG2_E = {
    "float": (1.4426950216293335, 1.925963033500011e-08),
    "double": (1.4426950408889634, 2.0355273740931033e-17),
}
LOG10_E = {
    "float": (0.4342944920063019, -1.0103049952192578e-08),
    "double": (0.4342944819032518, 1.098319650216765e-17),
}
LOG10_2 = {
    "float": (0.301025390625, 4.605038981195214e-06),
    "double": (0.30102999566395283, 2.8363394551044964e-14),
}


def fraction(m: Formula, x: Num) -> tuple[Num, Num]:
    """(f, e): x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for positive finite x;
    e is an integer register."""
    layout = x.layout
    tiny = x < 2.0 ** (1 - layout.bias)
    scaled = m.where(tiny, x * 2.0**layout.mantissa, x)
    bits = scaled.bits()
    e = (bits - layout.pattern(0.7071067811865476)) >> layout.mantissa
    f = (bits - (e << layout.mantissa)).as_float() - 1.0
    return f, e - m.where(tiny, m.integer(layout.mantissa, layout.integer), 0)


def log_tail(m: Formula, f: Num) -> Num:
    """log(1 + f) - f."""
    half_square = f * f * 0.5
    if f.layout.bits == 32:
        return m.multiply_add(f * f, f * m.estrin(f, LOG_TAIL), -half_square)
    s = f / (2.0 + f)
    z = s * s
    series = z * m.estrin(z, ATANH_TAIL)
    return s * (half_square + series) - half_square


def special(m: Formula, x: Num, result: Num) -> Num:
    """A logarithm at its edges: -infinity at zero, NaN below it, infinity at infinity."""
    result = m.where(x < float("inf"), result, x)
    result = m.where(x < 0.0, float("nan"), result)
    return m.where(x.eq(0.0), float("-inf"), result)


def log_parts(m: Formula, x: Num) -> tuple[Num, Num]:
    """log(x) of a positive finite x as a value and a correction to add last."""
    high, low = LN2[x.val.type.element]
    f, e = fraction(m, x)
    k = e.to_float()
    rest = m.multiply_add(k, low, log_tail(m, f))
    total, error = m.fast_two_sum(k * high, f)
    total = m.where(e.eq(0), f, total)
    error = m.where(e.eq(0), 0.0, error)
    return total, error + rest


@function("log", inline=True)
def log(m: Formula, x: Num) -> Num:
    """The natural logarithm; NaN for negative numbers."""
    total, rest = log_parts(m, x)
    return special(m, x, total + rest)


def _in_base(m: Formula, x: Num, scale: tuple[float, float], step: tuple[float, float]) -> Num:
    """log(x) * scale, where `step` is scale * log(2)."""
    f, e = fraction(m, x)
    k = e.to_float()
    tail = log_tail(m, f)
    main, error = m.fast_two_sum(f, tail)
    product, low = m.two_product(main, scale[0])
    low = m.multiply_add(main, scale[1], m.multiply_add(error, scale[0], low))
    total, rest = m.two_sum(k * step[0], product)
    return special(m, x, total + (rest + m.multiply_add(k, step[1], low)))


@function("log2", inline=True)
def log2(m: Formula, x: Num) -> Num:
    """The logarithm to base 2."""
    return _in_base(m, x, LOG2_E[x.val.type.element], (1.0, 0.0))


@function("log10")
def log10(m: Formula, x: Num) -> Num:
    """The logarithm to base 10."""
    return _in_base(m, x, LOG10_E[x.val.type.element], LOG10_2[x.val.type.element])


@function("log1p", inline=True)
def log1p(m: Formula, x: Num) -> Num:
    """log(u) + (x - (u - 1)) / u with u = 1 + x rounded: the quotient mends the rounding."""
    high, low = LN2[x.val.type.element]
    u, lost = m.two_sum(m.constant(1.0, x.val.type), x)
    f, e = fraction(m, u)
    k = e.to_float()
    correction = lost / u
    exact = e.eq(0)
    f = m.where(exact, x, f)
    correction = m.where(exact, 0.0, correction)
    rest = m.multiply_add(k, low, log_tail(m, f) + correction)
    total, error = m.fast_two_sum(k * high, f)
    total = m.where(exact, f, total)
    error = m.where(exact, 0.0, error)
    result = total + (error + rest)
    result = m.where(x < float("inf"), result, x)
    result = m.where(x < -1.0, float("nan"), result)
    result = m.where(x.eq(-1.0), float("-inf"), result)
    return m.where(x.eq(0.0), x, result)
