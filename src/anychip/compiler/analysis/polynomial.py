"""Integer polynomials over run-time scalars: how address arithmetic is compared and added.

A polynomial maps monomials (sorted tuples of scalar `Value`s by identity) to integer
coefficients. Two equal polynomials denote the same number in every launch.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.core import Value

Monomial = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A sum of monomials; `terms` is sorted, without zero coefficients."""

    terms: tuple[tuple[Monomial, int], ...] = ()

    @staticmethod
    def constant(value: int) -> Polynomial:
        """The polynomial that is one number."""
        return Polynomial((((), value),)) if value else ZERO

    @staticmethod
    def of(value: Value) -> Polynomial:
        """The polynomial that is one scalar value."""
        return Polynomial((((id(value),), 1),))

    @property
    def as_int(self) -> int | None:
        """The value when it is a compile-time constant, else None."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and self.terms[0][0] == ():
            return self.terms[0][1]
        return None

    def __add__(self, other: Polynomial) -> Polynomial:
        return self._combine(other, 1)

    def __sub__(self, other: Polynomial) -> Polynomial:
        return self._combine(other, -1)

    def _combine(self, other: Polynomial, sign: int) -> Polynomial:
        if not other.terms:
            return self
        sums = dict(self.terms)
        for monomial, coefficient in other.terms:
            sums[monomial] = sums.get(monomial, 0) + sign * coefficient
        return _from_dict(sums)

    def __mul__(self, other: Polynomial) -> Polynomial:
        if not self.terms or not other.terms:
            return ZERO
        products: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in other.terms:
                monomial = tuple(sorted(left + right))
                products[monomial] = products.get(monomial, 0) + a * b
        return _from_dict(products)


def _from_dict(sums: dict[Monomial, int]) -> Polynomial:
    return Polynomial(tuple(sorted((m, c) for m, c in sums.items() if c)))


ZERO = Polynomial()
ONE = Polynomial.constant(1)
