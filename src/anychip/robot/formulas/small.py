"""Vectors and matrices of a few scalars, as lists of a formula's numbers: products, and the linear maps of
rotations."""

from __future__ import annotations

from collections.abc import Sequence

from .graph import Number, add, div, mul, neg, sub

Vector = Sequence[Number]
Matrix = Sequence[Sequence[Number]]


def total(terms: Sequence[Number]) -> Number:
    """The sum, from the first on."""
    result: Number = 0.0
    for x in terms:
        result = add(result, x)
    return result


def dot(a: Vector, b: Vector) -> Number:
    """a . b."""
    return total([mul(x, y) for x, y in zip(a, b, strict=True)])


def cross(a: Vector, b: Vector) -> list[Number]:
    """a x b of three numbers each."""
    return [
        sub(mul(a[1], b[2]), mul(a[2], b[1])),
        sub(mul(a[2], b[0]), mul(a[0], b[2])),
        sub(mul(a[0], b[1]), mul(a[1], b[0])),
    ]


def plus(a: Vector, b: Vector) -> list[Number]:
    """a + b."""
    return [add(x, y) for x, y in zip(a, b, strict=True)]


def minus(a: Vector, b: Vector) -> list[Number]:
    """a - b."""
    return [sub(x, y) for x, y in zip(a, b, strict=True)]


def scaled(factor: Number, a: Vector) -> list[Number]:
    """factor a."""
    return [mul(factor, x) for x in a]


def negative(a: Vector) -> list[Number]:
    """-a."""
    return [neg(x) for x in a]


def divided(a: Vector, by: Number) -> list[Number]:
    """a / by."""
    return [div(x, by) for x in a]


def transpose(a: Matrix) -> list[list[Number]]:
    """The transposed matrix."""
    return [list(column) for column in zip(*a, strict=True)]


def apply(a: Matrix, x: Vector) -> list[Number]:
    """A x."""
    return [dot(row, x) for row in a]


def apply_transposed(a: Matrix, x: Vector) -> list[Number]:
    """A^T x."""
    return apply(transpose(a), x)


def product(a: Matrix, b: Matrix) -> list[list[Number]]:
    """A B."""
    columns = transpose(b)
    return [[dot(row, column) for column in columns] for row in a]


def matrix_plus(a: Matrix, b: Matrix) -> list[list[Number]]:
    """A + B."""
    return [plus(x, y) for x, y in zip(a, b, strict=True)]


def matrix_scaled(factor: Number, a: Matrix) -> list[list[Number]]:
    """factor A."""
    return [scaled(factor, row) for row in a]


def identity(n: int) -> list[list[Number]]:
    """The matrix of ones on the diagonal."""
    return [[1.0 if i == j else 0.0 for j in range(n)] for i in range(n)]


def hat(v: Vector) -> list[list[Number]]:
    """The matrix of v x (.)."""
    x, y, z = v
    return [[0.0, neg(z), y], [z, 0.0, neg(x)], [neg(y), x, 0.0]]


def blocks(rows: Sequence[Sequence[Matrix]]) -> list[list[Number]]:
    """One matrix of rows of matrices side by side."""
    return [[x for block in row for x in block[k]] for row in rows for k in range(len(row[0]))]
