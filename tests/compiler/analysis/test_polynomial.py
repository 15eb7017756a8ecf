"""Polynomials over scalars agree with arithmetic on the numbers that the scalars stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from anychip.compiler.analysis.polynomial import ONE, ZERO, Polynomial
from anychip.compiler.ir.core import Value
from anychip.compiler.ir.types import I32

SCALARS = [Value(I32, name) for name in "abc"]


@dataclass(frozen=True)
class Expression:
    """A polynomial and the same thing as a function of the scalars' values."""

    polynomial: Polynomial
    text: str

    def at(self, values: dict[str, int]) -> int:
        return eval(self.text, {}, values)


def _combine(operator: str) -> st.SearchStrategy[Expression]:
    def make(x: Expression, y: Expression) -> Expression:
        p, q = x.polynomial, y.polynomial
        result = {"+": lambda: p + q, "-": lambda: p - q, "*": lambda: p * q}[operator]()
        return Expression(result, f"({x.text} {operator} {y.text})")

    return st.builds(make, EXPRESSIONS, EXPRESSIONS)


LEAVES = st.one_of(
    st.integers(-9, 9).map(lambda n: Expression(Polynomial.constant(n), str(n))),
    st.sampled_from(SCALARS).map(lambda v: Expression(Polynomial.of(v), v.name)),
)
EXPRESSIONS: st.SearchStrategy[Expression] = st.deferred(
    lambda: st.one_of(LEAVES, _combine("+"), _combine("-"), _combine("*"))
)
VALUES = st.fixed_dictionaries({v.name: st.integers(-5, 5) for v in SCALARS})


def evaluate(polynomial: Polynomial, values: dict[str, int]) -> int:
    numbers = {id(v): values[v.name] for v in SCALARS}
    return sum(c * math.prod(numbers[k] for k in monomial) for monomial, c in polynomial.terms)


@given(expression=EXPRESSIONS, values=VALUES)
def test_value(expression: Expression, values: dict[str, int]) -> None:
    assert evaluate(expression.polynomial, values) == expression.at(values)


@given(x=EXPRESSIONS, y=EXPRESSIONS, z=EXPRESSIONS)
def test_equal_however_it_was_computed(x: Expression, y: Expression, z: Expression) -> None:
    p, q, r = (e.polynomial for e in (x, y, z))
    assert p + q == q + p
    assert (p + q) * r == p * r + r * q
    assert (p + q) - q == p
    assert p - p == ZERO
    assert p * ONE == p
    assert p * ZERO == ZERO


@given(expression=EXPRESSIONS)
def test_constant_only_if_no_scalar_is_left(expression: Expression) -> None:
    found = expression.polynomial.as_int
    if found is None:
        assert any(monomial for monomial, _ in expression.polynomial.terms)
    else:
        assert expression.at({v.name: 3 for v in SCALARS}) == found
        assert expression.polynomial == Polynomial.constant(found)
