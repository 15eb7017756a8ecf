"""Square, cube and reciprocal roots, and Euclidean norms without premature overflow."""

from __future__ import annotations

from .expression import Formula, Num
from .manipulation import binary_exponent
from .table import function


@function("sqrt", inline=True)
def sqrt(m: Formula, x: Num) -> Num:
    """The square root, rounded to nearest."""
    return x.sqrt()


@function("rsqrt", inline=True)
def rsqrt(m: Formula, x: Num) -> Num:
    """1 / sqrt(x)."""
    return 1.0 / x.sqrt()


def _reduce_for_cube_root(m: Formula, x: Num) -> tuple[Num, Num]:
    """(f, q): |x| = f 2^3q with f in [1, 8), for finite non-zero x."""
    e = binary_exponent(m, x)
    # Division by three of a small number that is made positive first.
    q = ((e + 3 * 1024) * 43691).logical_shift(17) - 1024
    half = (-3 * q) >> 1
    f = x.abs() * m.power_of_two(half) * m.power_of_two(-3 * q - half)
    return f, q


def _cube_root(m: Formula, f: Num) -> Num:
    """f^(1/3) for f in [1, 8): a guess by exponent arithmetic, right to a thirtieth, then steps of Halley's
    iteration, each of which leaves the cube of the error, and one of Newton's with the exact cube."""
    layout = f.layout
    one, unit = layout.bias << layout.mantissa, layout.mantissa - 15
    third = (f.bits() - one).logical_shift(unit)
    guess = ((third * 21846).logical_shift(16) << unit) + (one - (1 << layout.mantissa) * 33 // 1000)
    y = guess.as_float()
    for _ in range(1 if layout.bits == 32 else 2):
        cube = y * y * y
        y = y - y * (cube - f) / (cube + cube + f)
    if m.widened:
        return y
    square, square_rest = m.two_product(y, y)
    cube, cube_rest = m.two_product(square, y)
    rest = ((cube - f) + cube_rest) + square_rest * y
    return y - rest / (3.0 * square)


@function("cbrt", prefers_f64=True)
def cbrt(m: Formula, x: Num) -> Num:
    """The cube root."""
    f, q = _reduce_for_cube_root(m, x)
    result = (_cube_root(m, f) * m.power_of_two(q)).copysign(x)
    regular = x.ne(0.0) & (x.abs() < float("inf"))
    return m.where(regular, result, x + x)


@function("rcbrt", prefers_f64=True)
def rcbrt(m: Formula, x: Num) -> Num:
    """1 / cbrt(x)."""
    f, q = _reduce_for_cube_root(m, x)
    result = (m.power_of_two(-q) / _cube_root(m, f)).copysign(x)
    regular = x.ne(0.0) & (x.abs() < float("inf"))
    return m.where(regular, result, 1.0 / x)


def _norm(m: Formula, parts: tuple[Num, ...], reciprocal: bool) -> Num:
    """sqrt(sum of squares) or its reciprocal; infinite when any part is infinite."""
    magnitudes = [p.abs() for p in parts]
    if m.widened:
        total = magnitudes[0] * magnitudes[0]
        for p in magnitudes[1:]:
            total = m.multiply_add(p, p, total)
        root = total.sqrt()
        result = 1.0 / root if reciprocal else root
    else:
        largest = magnitudes[0]
        for p in magnitudes[1:]:
            largest = m.where(p > largest, p, largest)
        e = binary_exponent(m, largest)
        regular = (largest > 0.0) & (largest < float("inf"))
        e = m.where(regular, e, 0)
        half = e >> 1
        down, again = m.power_of_two(-half), m.power_of_two(half - e)
        total = None
        for p in magnitudes:
            scaled = p * down * again
            square, error = m.two_product(scaled, scaled)
            total = (square, error) if total is None else m.pair_plus(total, (square, error))
        assert total is not None
        root = total[0].sqrt()
        square, error = m.two_product(root, root)
        rest = ((total[0] - square) - error + total[1]) / (root + root)
        rest = m.where(rest.abs() < 1.0, rest, 0.0)
        if reciprocal:
            result = m.scale(1.0 / root - rest / (root * root), -e)
        else:
            result = m.scale(root + rest, e)
        result = m.where(largest.eq(0.0), float("inf") if reciprocal else 0.0, result)
        for p in magnitudes:
            result = m.where(p.is_nan(), p, result)
    infinite = magnitudes[0].eq(float("inf"))
    for p in magnitudes[1:]:
        infinite = infinite | p.eq(float("inf"))
    return m.where(infinite, 0.0 if reciprocal else float("inf"), result)


def _register(name: str, arity: int, reciprocal: bool) -> None:
    @function(name, arity=arity, prefers_f64=True)
    def body(m: Formula, *parts: Num) -> Num:
        return _norm(m, parts, reciprocal)


for _name, _arity in (("hypot", 2), ("norm3d", 3), ("norm4d", 4)):
    _register(_name, _arity, reciprocal=False)
    _register(f"r{_name}", _arity, reciprocal=True)
