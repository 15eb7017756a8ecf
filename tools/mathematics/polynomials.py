"""Makes the polynomials of `anychip.compiler.codegen.math`: `polynomials.py`.

Run `python -m tools.mathematics.polynomials` (needs mpmath): it writes the file and prints how far each
polynomial is from its function. A polynomial goes through the function's values at the Chebyshev nodes of its
interval, which makes it nearly the best there is; coefficients are computed to 200 bits and rounded to the
type. The intervals are a little wider than the arguments that a reduction leaves, since it rounds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mpmath as mp

from .fit import MATH, PIECES, PRECISION, Real, fit, large_i, single

TARGET = MATH / "polynomials.py"
HEADER = '''"""Coefficients of polynomials, made by tools/mathematics/polynomials.py: do not edit.

Lowest power first; by LLVM's name of the type where there is one polynomial for each.
"""

# ruff: noqa: E501
# fmt: off
'''

ROUND = {"float": single, "double": float}


@dataclass(frozen=True)
class Polynomial:
    """What to fit: `value` on `interval`, whose ends are computed at the precision of the moment. `degrees`:
    by LLVM's name of the type that the coefficients are rounded to."""

    name: str
    meaning: str
    value: Callable[[Real], Real]
    interval: Callable[[], tuple[Real, Real]]
    degrees: dict[str, int]

    def coefficients(self, type: str) -> list[float]:
        """The coefficients for "float" or "double", lowest power first."""
        with mp.workprec(PRECISION):
            fitted = fit(self.value, *self.interval(), self.degrees[type], about=mp.mpf(0))
            return [ROUND[type](c) for c in fitted]

    def error(self, coefficients: list[float]) -> float:
        """log2 of the largest error on the interval, relative to the largest value."""
        with mp.workprec(PRECISION):
            low, high = self.interval()
            points = [low + (high - low) * k / 256 for k in range(257)]
            exact = [self.value(x) for x in points]
            got = [mp.polyval([mp.mpf(c) for c in reversed(coefficients)], x) for x in points]
            largest = max(abs(a - b) for a, b in zip(got, exact, strict=True))
            return float(mp.log(largest / max(map(abs, exact)), 2))


def around_zero(half: Callable[[], Real]) -> Callable[[], tuple[Real, Real]]:
    """The interval from -half to half."""
    return lambda: (-half(), half())


def up_to(end: Callable[[], Real]) -> Callable[[], tuple[Real, Real]]:
    """The interval from 0."""
    return lambda: (mp.mpf(0), end())


def by_series(value: Callable[[Real], Real], *series: Callable[[], Real]) -> Callable[[Real], Real]:
    """`value`, and near zero, where its digits cancel, the series with these coefficients."""

    def chosen(x: Real) -> Real:
        if abs(x) > mp.mpf(10) ** -15:
            return value(x)
        return sum(c() * x**power for power, c in enumerate(series))

    return chosen


def ratio(numerator: int, denominator: int) -> Callable[[], Real]:
    """The quotient at the precision of the moment."""
    return lambda: mp.mpf(numerator) / denominator


def power_less_one(base: int) -> Callable[[Real], Real]:
    """(base^r - 1) / r."""
    return by_series(
        lambda r: mp.expm1(r * mp.log(base)) / r, lambda: mp.log(base), lambda: mp.log(base) ** 2 / 2
    )


def of_square(value: Callable[[Real], Real], first: Callable[[], Real]) -> Callable[[Real], Real]:
    """`value`, a function of x, as one of x^2, whose value at 0 is `first`."""
    return by_series(lambda z: value(mp.sqrt(z)), first)


EXP_TAIL = by_series(lambda r: (mp.expm1(r) - r) / r**2, ratio(1, 2), ratio(1, 6))
LOG_TAIL = by_series(lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, ratio(1, 3), ratio(-1, 4))
ATANH_TAIL = of_square(lambda s: (2 * mp.atanh(s) - 2 * s) / s**3, ratio(2, 3))
ATANH_PAIR_TAIL = of_square(lambda s: ((2 * mp.atanh(s) - 2 * s) / s**3 - ratio(2, 3)()) / s**2, ratio(2, 5))
ERF_RATIO = by_series(lambda x: mp.erf(x) / x - 1, lambda: 2 / mp.sqrt(mp.pi) - 1)
ERF_TAIL = of_square(ERF_RATIO, lambda: 2 / mp.sqrt(mp.pi) - 1)
SLACK = "1.0001"
"""How much wider than half a step the intervals of exponentials are."""

POLYNOMIALS = (
    Polynomial(
        "EXP_TAIL", "(e^r - 1 - r) / r^2 on |r| <= ln(2)/2", EXP_TAIL,
        around_zero(lambda: mp.log(2) / 2 * mp.mpf(SLACK)), {"float": 4, "double": 10},
    ),
    Polynomial(
        "EXP2_TAIL", "(2^r - 1) / r on |r| <= 1/2", power_less_one(2),
        around_zero(lambda: mp.mpf(0.5)), {"float": 6, "double": 11},
    ),
    Polynomial(
        "EXP10_TAIL", "(10^r - 1) / r on |r| <= log10(2)/2", power_less_one(10),
        around_zero(lambda: mp.log10(2) / 2 * mp.mpf(SLACK)), {"float": 6, "double": 12},
    ),
    Polynomial(
        "LOG_TAIL", "(log(1 + f) - f + f^2/2) / f^3 on [sqrt(1/2) - 1, sqrt(2) - 1]", LOG_TAIL,
        lambda: (mp.sqrt(0.5) - 1, mp.sqrt(2) - 1), {"float": 8},
    ),
    Polynomial(
        "ATANH_TAIL", "(2 atanh(s) - 2s) / s^3 as a polynomial in s^2 <= 0.0295", ATANH_TAIL,
        up_to(lambda: mp.mpf("0.0295")), {"double": 7},
    ),
    Polynomial(
        "ATANH_PAIR_TAIL", "((2 atanh(s) - 2s) / s^3 - 2/3) / s^2 as a polynomial in s^2 <= 0.0295",
        ATANH_PAIR_TAIL, up_to(lambda: mp.mpf("0.0295")), {"float": 3, "double": 7},
    ),
    Polynomial(
        "ATANH_SHORT_TAIL", "(2 atanh(s) - 2s) / s^3 as a polynomial in s^2 <= 0.0295, for f32 in f64",
        ATANH_TAIL, up_to(lambda: mp.mpf("0.0295")), {"double": 4},
    ),
    Polynomial(
        "EXP_SHORT_TAIL", "(e^r - 1 - r) / r^2 on |r| <= ln(2)/2, for f32 in f64", EXP_TAIL,
        around_zero(lambda: mp.log(2) / 2 * mp.mpf(SLACK)), {"double": 5},
    ),
    Polynomial(
        "TANH_TAIL", "(tanh(x) - x) / x^3 as a polynomial in x^2, on |x| <= 0.56",
        of_square(lambda x: (mp.tanh(x) - x) / x**3, ratio(-1, 3)),
        up_to(lambda: mp.mpf("0.56") ** 2), {"float": 4, "double": 10},
    ),
    Polynomial(
        "SINH_TAIL", "(sinh(x) - x) / x^3 as a polynomial in x^2 <= 1.02",
        of_square(lambda x: (mp.sinh(x) - x) / x**3, ratio(1, 6)),
        up_to(lambda: mp.mpf("1.02")), {"float": 3, "double": 7},
    ),
    Polynomial(
        "ASINH_TAIL", "(asinh(x) - x) / x^3 as a polynomial in x^2 <= 0.2502",
        of_square(lambda x: (mp.asinh(x) - x) / x**3, ratio(-1, 6)),
        up_to(lambda: mp.mpf("0.2502")), {"float": 5, "double": 13},
    ),
    Polynomial(
        "SIN_TAIL", "(sin(r) - r) / r^3 as a polynomial in r^2, on |r| <= pi/4",
        of_square(lambda r: (mp.sin(r) - r) / r**3, ratio(-1, 6)),
        up_to(lambda: (mp.pi / 4 * mp.mpf("1.001")) ** 2), {"float": 3, "double": 6},
    ),
    Polynomial(
        "COS_TAIL", "(cos(r) - 1 + r^2/2) / r^4 as a polynomial in r^2, on |r| <= pi/4",
        of_square(lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4, ratio(1, 24)),
        up_to(lambda: (mp.pi / 4 * mp.mpf("1.001")) ** 2), {"float": 3, "double": 5},
    ),
    Polynomial(
        "ATAN_TAIL", "(atan(x) - x) / x^3 as a polynomial in x^2, on |x| <= tan(pi/8)",
        of_square(lambda x: (mp.atan(x) - x) / x**3, ratio(-1, 3)),
        up_to(lambda: mp.mpf("0.4144") ** 2), {"float": 4, "double": 10},
    ),
    Polynomial(
        "ASIN_TAIL", "(asin(x) - x) / x^3 as a polynomial in x^2 <= 0.2502",
        of_square(lambda x: (mp.asin(x) - x) / x**3, ratio(1, 6)),
        up_to(lambda: mp.mpf("0.2502")), {"float": 5, "double": 12},
    ),
    Polynomial(
        "ERF_SMALL_F32", "erf(x)/x - 1 as a polynomial in x^2, up to x = 0.93", ERF_TAIL,
        up_to(lambda: mp.mpf("0.93") ** 2), {"float": 6},
    ),
    Polynomial(
        "ERF_SMALL_F64", "erf(x)/x - 1 as a polynomial in x^2, up to x = 1", ERF_TAIL,
        up_to(lambda: mp.mpf(1)), {"double": 12},
    ),
    Polynomial(
        "ERFC_LOGARITHM", "-log(erfc(x)) on [0.9, 3.95]", lambda x: -mp.log(mp.erfc(x)),
        lambda: (mp.mpf("0.9"), mp.mpf("3.95")), {"float": 8},
    ),
    *(
        Polynomial(
            f"LARGE_I{order}", f"e^-x sqrt(x) I{order}(x) as a polynomial in 1/x <= 1/7.75", large_i(order),
            up_to(lambda: 1 / mp.mpf("7.75")), {"float": 6},
        )
        for order in (0, 1)
    ),
)  # fmt: skip


def table(polynomial: Polynomial) -> str:
    """The table's text."""
    rows = {type: f"({', '.join(map(repr, polynomial.coefficients(type)))})" for type in polynomial.degrees}
    if len(rows) == 1:
        (text,) = rows.values()
    else:
        text = "{\n" + "".join(f'    "{type}": {row},\n' for type, row in rows.items()) + "}"
    return f'{polynomial.name} = {text}\n"""{polynomial.meaning}."""\n'


ERF_WIDTH, ERF_END, ERF_LINEAR = 0.265625, "15.45", 4
"""The width of a piece of erf in f32, how many of them there are until it is 1, and the first pieces in which
it is nearly its argument."""


def erf_less_argument(x: Real) -> Real:
    """erf(x) - x."""
    return mp.erf(x) - x


def erf_pieces() -> list[list[float]]:
    """Coefficients of each piece of erf, lowest power first, in the distance from its middle. The first piece
    has no constant."""
    with mp.workprec(PRECISION):
        width = mp.mpf(ERF_WIDTH)
        first = fit(ERF_RATIO, mp.mpf(0), width / 2, 4, about=mp.mpf(0))
        pieces = [[0.0, *map(single, first)]]
        for index in range(1, PIECES):
            value = erf_less_argument if index < ERF_LINEAR else mp.erf
            low, high = (index - mp.mpf(0.5)) * width, min(index + mp.mpf(0.5), mp.mpf(ERF_END)) * width
            pieces.append(list(map(single, fit(value, low, high, 5, about=index * width))))
    return pieces


def erf_table() -> str:
    """The text of the table of those pieces, in the form of `single_coefficients.py`."""
    rows = "".join(f"    ({', '.join(map(repr, row))}),\n" for row in zip(*erf_pieces(), strict=True))
    return f"""ERF_PIECES = ({ERF_WIDTH!r}, (
{rows}))
\"\"\"The width of a piece, and erf(x), in the first {ERF_LINEAR} pieces erf(x) - x, for f32: a row holds the
coefficients of one power in the distance from the middle k * width of piece k, for all {PIECES} pieces.\"\"\"
"""


def text() -> str:
    """The whole file."""
    return "\n".join([HEADER, *map(table, POLYNOMIALS), erf_table()])


def errors() -> Iterator[str]:
    """What is said of each polynomial."""
    for polynomial in POLYNOMIALS:
        for type, degree in polynomial.degrees.items():
            error = polynomial.error(polynomial.coefficients(type))
            yield f"{polynomial.name} {type}: degree {degree}, error 2^{error:.1f}"


def main() -> None:
    for line in errors():
        sys.stdout.write(f"{line}\n")
    TARGET.write_text(text())


if __name__ == "__main__":
    main()
