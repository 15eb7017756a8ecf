"""Makes the polynomials of `anychip.compiler.codegen.math`: `polynomials.py`.

Run `python tools/fit_polynomials.py` (needs mpmath): it writes the file and prints how far each polynomial
is from its function. A polynomial goes through the function's values at the Chebyshev nodes of its interval,
which makes it nearly the best there is; coefficients are computed to 200 bits and rounded to the type. The
intervals are a little wider than the arguments that a reduction leaves, since it rounds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mpmath as mp
from fit_math import MATH, Real, fit, single

TARGET = MATH / "polynomials.py"
PRECISION = 200
"""Bits of all that is computed here."""

HEADER = '''"""Coefficients of polynomials, made by tools/fit_polynomials.py: do not edit.

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
        up_to(lambda: mp.mpf(0.0295)), {"double": 7},
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


def text() -> str:
    """The whole file."""
    return "\n".join([HEADER, *map(table, POLYNOMIALS)])


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
