"""Functions of the representation: signs, exponents, neighbours, classes, fused multiply-add."""

from __future__ import annotations

from .expression import Formula, Num
from .table import function


@function("abs", elements=("float", "double", "i32", "i64"), inline=True)
def abs_(m: Formula, x: Num) -> Num:
    """The magnitude."""
    return x.abs()


@function("copysign", arity=2, inline=True)
def copysign(m: Formula, x: Num, sign: Num) -> Num:
    """The magnitude of x with the sign of `sign`."""
    return x.copysign(sign)


@function("saturate", inline=True)
def saturate(m: Formula, x: Num) -> Num:
    """x limited to [0, 1]; NaN gives 0."""
    return m.where(x > 0.0, m.where(x < 1.0, x, 1.0), 0.0)


@function("fdim", arity=2, inline=True)
def fdim(m: Formula, x: Num, y: Num) -> Num:
    """x - y when that is positive, else 0; NaN stays NaN."""
    return m.where(x <= y, 0.0, x - y)


@function("nextafter", arity=2)
def nextafter(m: Formula, x: Num, y: Num) -> Num:
    """The neighbour of x in the direction of y."""
    bits = x.bits()
    away = (y > x) ^ (bits < 0)
    stepped = m.where(away, bits + 1, bits - 1).as_float()
    smallest = (m.integer(1) | (y.bits() & y.layout.sign_mask)).as_float()
    result = m.where(x.eq(0.0), smallest, stepped)
    result = m.where(x.eq(y), y, result)
    return m.where(x.is_nan() | y.is_nan(), x + y, result)


def binary_exponent(m: Formula, x: Num) -> Num:
    """floor(log2 |x|) of a finite, non-zero x as an integer register, denormals included."""
    layout = x.layout
    magnitude = x.abs()
    tiny = magnitude < 2.0 ** (1 - layout.bias)
    scaled = m.where(tiny, magnitude * 2.0**layout.mantissa, magnitude)
    biased = scaled.bits().logical_shift(layout.mantissa)
    return biased - m.where(tiny, m.integer(layout.bias + layout.mantissa, layout.integer), layout.bias)


@function("logb")
def logb(m: Formula, x: Num) -> Num:
    """The exponent of x as a float: -infinity for 0, infinity for infinity."""
    result = binary_exponent(m, x).to_float()
    result = m.where(x.abs() < float("inf"), result, x * x)
    return m.where(x.eq(0.0), float("-inf"), result)


@function("ilogb")
def ilogb(m: Formula, x: Num) -> Num:
    """The exponent of x as i32: INT_MIN for 0 and NaN, INT_MAX for infinity."""
    result = binary_exponent(m, x)
    if x.layout.bits == 64:
        result = result.cast("trunc", "i32")
    result = m.where(x.abs().eq(float("inf")), 0x7FFFFFFF, result)
    return m.where(x.eq(0.0) | x.is_nan(), -0x80000000, result)


@function("ldexp", arity=2)
def ldexp(m: Formula, x: Num, n: Num) -> Num:
    """x 2^n for any 32-bit n, rounded once: denormals are normalised before, so that of three
    factors only the last can round."""
    layout = x.layout
    limit = 2 * (layout.bias + layout.mantissa) + 2
    n = m.where(n > limit, limit, n)
    n = m.where(n < -limit, -limit, n)
    if layout.bits == 64:
        n = n.cast("sext", "i64")
    step = layout.bias - 1
    high = m.where(n > step, m.integer(step, layout.integer), 0)
    high = m.where(n < -step, -(step - layout.mantissa), high)
    n = n - high
    x = x * m.power_of_two(high)
    high = m.where(n > step, m.integer(step, layout.integer), 0)
    high = m.where(n < -step, -(step - layout.mantissa), high)
    n = n - high
    x = x * m.power_of_two(high)
    n = m.where(n < -step, -step, m.where(n > step, step, n))
    return x * m.power_of_two(n)


def _flag(condition: Num) -> Num:
    return condition.cast("zext", "i32")


@function("isnan", inline=True)
def isnan(m: Formula, x: Num) -> Num:
    """1 where x is NaN, else 0, as an i32."""
    return _flag(x.is_nan())


@function("isinf", inline=True)
def isinf(m: Formula, x: Num) -> Num:
    """1 where x is infinite, else 0, as an i32."""
    return _flag(x.abs().eq(float("inf")))


@function("isfinite", inline=True)
def isfinite(m: Formula, x: Num) -> Num:
    """1 where x is neither infinite nor NaN, else 0, as an i32."""
    return _flag(x.abs() < float("inf"))


@function("signbit", inline=True)
def signbit(m: Formula, x: Num) -> Num:
    """1 where the sign bit of x is set, else 0, as an i32."""
    return _flag(x.bits() < 0)


def _round_to_odd_sum(m: Formula, a: Num, b: Num) -> Num:
    """a + b truncated to the neighbour whose last bit is set, unless it is exact."""
    total, error = m.two_sum(a, b)
    bits = total.bits()
    grow = (error > 0.0) ^ (total < 0.0)
    stepped = m.where(grow, bits + 1, bits - 1)
    fix = error.compare("one", 0.0) & (bits & 1).eq(0)
    return m.where(fix, stepped, bits).as_float()


@function("fma", arity=3, inline=True)
def fma(m: Formula, a: Num, b: Num, c: Num) -> Num:
    """a b + c rounded once. Without the instruction, f32 goes through f64 and f64 through pairs
    (Boldo and Melquiond, IEEE Transactions on Computers 57(4), 2008), both rounding to odd."""
    if m.target.fma:
        return Num(m, m.b.fma(a.val, b.val, c.val))
    if a.layout.bits == 32:
        wide = [v.cast("fpext", "double") for v in (a, b, c)]
        return _round_to_odd_sum(m, wide[0] * wide[1], wide[2]).cast("fptrunc", "float")
    high, low = m.two_product(a, b)
    middle, least = m.two_sum(c, low)
    top, rest = m.two_sum(high, middle)
    result = top + _round_to_odd_sum(m, least, rest)
    plain = a * b + c
    return m.where(plain.abs() < float("inf"), result, plain)


def _bitcast(name: str, source: str, to: str) -> None:
    @function(name, elements=(source,), inline=True)
    def body(m: Formula, x: Num) -> Num:
        return x.cast("bitcast", to)


_bitcast("float_as_int", "float", "i32")
_bitcast("int_as_float", "i32", "float")
_bitcast("double_as_longlong", "double", "i64")
_bitcast("longlong_as_double", "i64", "double")


@function("hiloint2double", arity=2, elements=("i32",), inline=True)
def hiloint2double(m: Formula, high: Num, low: Num) -> Num:
    """The f64 with the upper 32 bits `high` and the lower 32 bits `low`."""
    return ((high.cast("zext", "i64") << 32) | low.cast("zext", "i64")).as_float()


@function("double2loint", elements=("double",), inline=True)
def double2loint(m: Formula, x: Num) -> Num:
    """The lower 32 bits of an f64."""
    return x.bits().cast("trunc", "i32")


@function("double2hiint", elements=("double",), inline=True)
def double2hiint(m: Formula, x: Num) -> Num:
    """The upper 32 bits of an f64."""
    return x.bits().logical_shift(32).cast("trunc", "i32")


@function("rcp64h", elements=("double",), inline=True)
def rcp64h(m: Formula, x: Num) -> Num:
    """The upper 32 bits of 1/x, the lower ones cleared."""
    return ((1.0 / x).bits() & ~0xFFFFFFFF).as_float()


@function("fdividef", arity=2, inline=True)
def fdividef(m: Formula, x: Num, y: Num) -> Num:
    """x / y; CUDA's fast division, rounded to nearest here."""
    return x / y
