"""Small symmetric linear systems, written out in a formula's scalars."""

from __future__ import annotations

from .graph import Number, div, mul, sqrt, sub
from .small import Matrix, Vector


def solved(matrix: Matrix, right: Vector) -> list[Number]:
    """x of A x = b for a symmetric A that is positive definite, by Cholesky's factors; its lower half is
    read."""
    size = len(right)
    factor: list[list[Number]] = [[0.0] * size for _ in range(size)]
    inverse: list[Number] = []
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j]
            for k in range(j):
                rest = sub(rest, mul(factor[i][k], factor[j][k]))
            if j < i:
                factor[i][j] = mul(rest, inverse[j])
            else:
                inverse.append(div(1.0, sqrt(rest)))
    found: list[Number] = []
    for i in range(size):
        rest = right[i]
        for k in range(i):
            rest = sub(rest, mul(factor[i][k], found[k]))
        found.append(mul(rest, inverse[i]))
    for i in reversed(range(size)):
        rest = found[i]
        for k in range(i + 1, size):
            rest = sub(rest, mul(factor[k][i], found[k]))
        found[i] = mul(rest, inverse[i])
    return found
