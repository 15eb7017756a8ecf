"""Makes the coefficient tables of `anychip.compiler.codegen.math`: `coefficients` and, for f32, `pieces`.

Run `python -m tools.mathematics.fit` (needs mpmath). Each table is a function on an interval that is cut
into pieces, with a polynomial through Chebyshev nodes on each, computed to 200 bits and rounded
to f64. `uniform` pieces have equal widths, `octave` pieces divide every power of two alike. The sixteen
pieces of f32 lie around multiples of their width.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import mpmath as mp

Real: TypeAlias = Any
"""A number of mpmath's, which has no type stubs."""

MATH = Path(__file__).resolve().parents[2] / "src/anychip/compiler/codegen/math"
TARGET = MATH / "coefficients.py"
SINGLE_TARGET = MATH / "single_coefficients.py"

HEADER = '''"""Coefficients of piecewise polynomials, by tools/mathematics/fit.py: do not edit.

Each table is `(start, width, rows)` of equally wide pieces, or `(start, log2 of the pieces in an
octave, rows)`; a row holds the coefficients, lowest power first, of the polynomial in the
distance from the middle of its piece.
"""

# ruff: noqa: E501
# fmt: off
'''

SINGLE_HEADER = '''"""Coefficients of sixteen f32 polynomials each, by tools/mathematics/fit.py: do not edit.

A table is `(width, rows)`: piece k is a polynomial in the distance from its middle k * width; a row holds the
coefficients of one power, lowest first, of all pieces.
"""

# ruff: noqa: E501
# fmt: off
'''

PIECES = 16
PRECISION = 200
"""Bits of all that is computed here."""


@dataclass(frozen=True)
class SingleTable:
    """What to fit for f32: pieces around 0, `width`, 2 `width`, ... of which the first begins at 0."""

    name: str
    value: Callable[[Real], Real]
    width: float
    degree: int

    def piece(self, index: int) -> tuple[Real, Real]:
        middle = index * mp.mpf(self.width)
        return middle - mp.mpf(self.width) / 2 if index else mp.mpf(0), middle + mp.mpf(self.width) / 2


@dataclass(frozen=True)
class Table:
    """What to fit: `pieces` pieces from `start`; width 0 means 2^`octave_bits` an octave."""

    name: str
    value: Callable[[Real], Real]
    start: float
    pieces: int
    degree: int
    width: float = 0.0
    octave_bits: int = 0

    def piece(self, index: int) -> tuple[Real, Real]:
        if self.width:
            low = mp.mpf(self.start) + index * mp.mpf(self.width)
            return low, low + self.width
        octave, part = divmod(index, 1 << self.octave_bits)
        scale = mp.mpf(self.start) * mp.mpf(2) ** octave
        step = scale / (1 << self.octave_bits)
        return scale + part * step, scale + (part + 1) * step


def fit(
    value: Callable[[Real], Real], low: Real, high: Real, degree: int, about: Real | None = None
) -> list[Real]:
    """Coefficients, about the middle or another point, of the polynomial through Chebyshev's nodes."""
    half = (high - low) / 2
    middle = (low + high) / 2 if about is None else about
    shift = (low + high) / 2 - middle
    count = degree + 1
    nodes = [shift + half * mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    differences = [value(middle + x) for x in nodes]
    for j in range(1, count):
        for i in range(count - 1, j - 1, -1):
            differences[i] = (differences[i] - differences[i - 1]) / (nodes[i] - nodes[i - j])
    result = [differences[-1]]
    for i in range(count - 2, -1, -1):
        product = [mp.mpf(0), *result]
        for k, c in enumerate(result):
            product[k] -= nodes[i] * c
        product[0] += differences[i]
        result = product
    return result


def erfcx(x: Real) -> Real:
    return mp.exp(x * x) * mp.erfc(x)


def erfcx_scaled(t: Real) -> Real:
    """erfcx(x) (2 + x) / 2 with t = 2 / (2 + x)."""
    return 1 / (2 * mp.sqrt(mp.pi)) if t == 0 else erfcx(2 / t - 2) / t


def inverse_erf(y: Real) -> Real:
    return mp.erfinv(y)


def inverse_erfc(x: Real) -> Real:
    """Newton's iteration on log(erfc(z)) = log(x)."""
    z = mp.sqrt(-mp.log(x)) if x < 0.1 else mp.erfinv(1 - x)
    for _ in range(60):
        step = (mp.log(mp.erfc(z)) - mp.log(x)) * mp.erfc(z) / (-2 / mp.sqrt(mp.pi) * mp.exp(-z * z))
        z -= step
        if abs(step) < mp.mpf(10) ** -45:
            break
    return z


def inverse_erfc_of_root(v: Real) -> Real:
    """erfcinv(x) / v with v = sqrt(-log x)."""
    return inverse_erfc(mp.exp(-v * v)) / v


def inverse_erf_of_log(w: Real) -> Real:
    """erfinv(y) / y with w = -log(1 - y^2)."""
    if w < mp.mpf(10) ** -20:
        return mp.sqrt(mp.pi) / 2
    y = mp.sqrt(-mp.expm1(-w))
    return (mp.erfinv(y) if y < 0.5 else inverse_erfc(-mp.expm1(mp.log1p(-mp.exp(-w)) / 2))) / y


def inverse_erf_of_root(v: Real) -> Real:
    """The same with w = (v + 4)^2, which is y close to 1."""
    return inverse_erf_of_log((v + 4) ** 2)


def log_gamma_above_one(u: Real) -> Real:
    """lgamma(1 + u) / (u (u - 1))."""
    return log_gamma_reduced(1 + u)


def log_gamma_reduced(x: Real) -> Real:
    """lgamma(x) / ((x - 1)(x - 2))."""
    for zero, other in ((1, -1), (2, 1)):
        if abs(x - zero) < mp.mpf(10) ** -25:
            x = zero + mp.mpf(10) ** -25
            return mp.loggamma(x) / (x - zero) / other
    return mp.loggamma(x) / ((x - 1) * (x - 2))


def stirling(z: Real) -> Real:
    """x (lgamma(x) - (x - 1/2) log x + x - log(2 pi)/2) with z = 1/x^2."""
    if z < mp.mpf(10) ** -8:
        return mp.mpf(1) / 12 - z / 360 + z * z / 1260
    x = 1 / mp.sqrt(z)
    return x * (mp.loggamma(x) - (x - 0.5) * mp.log(x) + x - mp.log(2 * mp.pi) / 2)


def bessel_modulus(order: int) -> Callable[[Real], Real]:
    """sqrt((J^2 + Y^2) pi x / 2) with z = 1/x^2."""

    def value(z: Real) -> Real:
        x = 1 / mp.sqrt(max(z, mp.mpf(10) ** -24))
        return mp.sqrt((mp.besselj(order, x) ** 2 + mp.bessely(order, x) ** 2) * mp.pi * x / 2)

    return value


def bessel_phase(order: int) -> Callable[[Real], Real]:
    """x (phase - x + (2 order + 1) pi/4) with z = 1/x^2."""

    def value(z: Real) -> Real:
        x = 1 / mp.sqrt(max(z, mp.mpf(10) ** -24))
        turn = mp.expj(-(x - (2 * order + 1) * mp.pi / 4))
        return x * mp.arg(mp.mpc(mp.besselj(order, x), mp.bessely(order, x)) * turn)

    return value


def y0_smooth(x: Real) -> Real:
    x = max(x, mp.mpf(10) ** -30)
    return mp.bessely(0, x) - 2 / mp.pi * mp.log(x) * mp.besselj(0, x)


def y1_smooth(x: Real) -> Real:
    """(y1(x) - 2/pi (log(x) j1(x) - 1/x)) / x."""
    x = max(x, mp.mpf(10) ** -18)
    return (mp.bessely(1, x) - 2 / mp.pi * (mp.log(x) * mp.besselj(1, x) - 1 / x)) / x


def divided(value: Callable[[Real], Real], limit: Real) -> Callable[[Real], Real]:
    """value(x) / x, with its limit at zero."""
    return lambda x: value(x) / x if abs(x) > mp.mpf(10) ** -25 else limit


def large_i(order: int) -> Callable[[Real], Real]:
    """e^-x sqrt(x) I(x) with t = 1/x."""

    def value(t: Real) -> Real:
        x = 1 / max(t, mp.mpf(10) ** -3)
        if t < mp.mpf(1) / 800:
            series, term, four = mp.mpf(1), mp.mpf(1), 4 * order * order
            for k in range(1, 24):
                term *= -(four - (2 * k - 1) ** 2) * t / (8 * k)
                series += term
            return series / mp.sqrt(2 * mp.pi)
        return mp.besseli(order, x) * mp.exp(-x) * mp.sqrt(x)

    return value


TABLES = (
    Table("ERFCX", erfcx_scaled, 0.0, 32, 10, width=1 / 32),
    Table("ERFINV_CENTRE", divided(inverse_erf, mp.sqrt(mp.pi) / 2), 0.0, 8, 11, width=1 / 16),
    Table("ERFCINV_TAIL", inverse_erfc_of_root, 0.5, 48, 11, octave_bits=3),
    Table("LGAMMA_CENTRE", log_gamma_reduced, 0.5, 20, 13, width=1 / 8),
    Table("STIRLING", stirling, 0.0, 1, 9, width=1 / 64),
    Table("J0", lambda x: mp.besselj(0, x), 0.0, 32, 11, width=1 / 4),
    Table("J1", divided(lambda x: mp.besselj(1, x), mp.mpf(0.5)), 0.0, 32, 11, width=1 / 4),
    Table("Y0", y0_smooth, 0.0, 32, 11, width=1 / 4),
    Table("Y1", y1_smooth, 0.0, 32, 11, width=1 / 4),
    Table("MODULUS0", bessel_modulus(0), 0.0, 4, 13, width=1 / 256),
    Table("PHASE0", bessel_phase(0), 0.0, 4, 13, width=1 / 256),
    Table("MODULUS1", bessel_modulus(1), 0.0, 4, 13, width=1 / 256),
    Table("PHASE1", bessel_phase(1), 0.0, 4, 13, width=1 / 256),
    Table("I0", lambda x: mp.besseli(0, x) * mp.exp(-x), 0.0, 32, 12, width=1 / 4),
    Table("I1", divided(lambda x: mp.besseli(1, x) * mp.exp(-x), mp.mpf(0.5)), 0.0, 32, 12, width=1 / 4),
    Table("LARGE_I0", large_i(0), 0.0, 8, 11, width=1 / 64),
    Table("LARGE_I1", large_i(1), 0.0, 8, 11, width=1 / 64),
)

SINGLE_TABLES = (
    SingleTable("ERFCX", erfcx, 0.65625, 7),
    SingleTable("ERFINV", inverse_erf_of_log, 1.0625, 5),
    SingleTable("ERFINV_FAR", inverse_erf_of_root, 0.40625, 5),
    SingleTable("LGAMMA", log_gamma_above_one, 0.5, 7),
    SingleTable("I0", lambda x: mp.besseli(0, x) * mp.exp(-x), 0.5, 6),
    SingleTable("I1", divided(lambda x: mp.besseli(1, x) * mp.exp(-x), mp.mpf(0.5)), 0.5, 6),
)


def single(value: Real) -> float:
    """The f32 nearest to a value."""
    return struct.unpack("<f", struct.pack("<f", float(value)))[0]


def single_table(table: SingleTable) -> str:
    """The table's text."""
    pieces = []
    for index in range(PIECES):
        low, high = table.piece(index)
        pieces.append(fit(table.value, low, high, table.degree, about=index * mp.mpf(table.width)))
    text = "".join(f"    ({', '.join(repr(single(c)) for c in row)}),\n" for row in zip(*pieces))
    return f"{table.name} = ({table.width!r}, (\n{text}))\n"


def worst(table: Table, coefficients: list[list[float]]) -> float:
    """log2 of the largest error of a fit, relative to the largest value of its piece."""
    largest = mp.mpf(0)
    for index, row in enumerate(coefficients):
        low, high = table.piece(index)
        points = [low + (high - low) * k / 17 for k in range(18)]
        exact = [table.value(x) for x in points]
        scale = max(map(abs, exact))
        for x, value in zip(points, exact):
            got = mp.polyval([mp.mpf(c) for c in reversed(row)], x - (low + high) / 2)
            largest = max(largest, abs(got - value) / scale)
    return float(mp.log(largest, 2))


def rounded(table: Table) -> list[list[float]]:
    """The coefficients of each piece in f64."""
    return [[float(c) for c in fit(table.value, *table.piece(i), table.degree)] for i in range(table.pieces)]


def table_text(table: Table) -> str:
    """The table's text."""
    layout = table.width or table.octave_bits
    text = "".join(f"    ({', '.join(map(repr, row))}),\n" for row in rounded(table))
    return f"{table.name} = ({table.start!r}, {layout!r}, (\n{text}))\n"


def texts() -> dict[Path, str]:
    """The files and what they hold."""
    with mp.workprec(PRECISION):
        return {
            TARGET: "\n".join([HEADER, *map(table_text, TABLES)]),
            SINGLE_TARGET: "\n".join([SINGLE_HEADER, *map(single_table, SINGLE_TABLES)]),
        }


def main() -> None:
    for table in TABLES:
        with mp.workprec(PRECISION):
            error = worst(table, rounded(table))
        size = f"{table.pieces} pieces of degree {table.degree}"
        sys.stdout.write(f"{table.name}: {size}, error 2^{error:.1f}\n")
    for path, text in texts().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
