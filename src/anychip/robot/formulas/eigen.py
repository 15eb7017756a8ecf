"""Eigenvalues and eigenvectors of small symmetric matrices, in a formula's scalars: Jacobi's rotations in a
loop of the kernel (G. Golub, C. van Loan, Matrix Computations, 8.5). Their derivatives are those of
perturbation theory, of first order."""

from __future__ import annotations

from collections.abc import Sequence

from .graph import Number, Scalar, absolute, add, detached, div, iterated, mul, neg, select, sqrt, sub
from .small import Matrix, dot, identity, transpose

SWEEPS = 8
"""Rounds of rotations, after which matrices of up to 4 rows are diagonal in float64."""
APART = 1e-6
"""Eigenvalues nearer than this, relative to the largest one, have no derivative of their vectors."""


def eigen(matrix: Matrix) -> tuple[list[Number], list[list[Number]]]:
    """Eigenvalues of a symmetric matrix, ascending, and their vectors of unit length, of either sign."""
    size = len(matrix)
    places = [(i, j) for i in range(size) for j in range(i, size)]

    def sweep(carried: Sequence[Number]) -> list[Number]:
        known = dict(zip(places, carried))
        a = [[known[min(i, j), max(i, j)] for j in range(size)] for i in range(size)]
        flat = list(carried[len(places) :])
        vectors = [flat[k * size : (k + 1) * size] for k in range(size)]
        for p in range(size):
            for q in range(p + 1, size):
                _rotate(a, vectors, p, q)
        return [*(a[i][j] for i, j in places), *(x for row in vectors for x in row)]

    starts = [*(matrix[i][j] for i, j in places), *(x for row in identity(size) for x in row)]
    last = iterated(sweep, starts, SWEEPS, next(x for row in matrix for x in row if isinstance(x, Scalar)))
    flat = last[len(places) :]
    vectors = [list(flat[k * size : (k + 1) * size]) for k in range(size)]
    values = [last[places.index((k, k))] for k in range(size)]
    return _with_derivatives(matrix, *_sorted(values, transpose(vectors)))


def _rotate(a: list[list[Number]], vectors: list[list[Number]], p: int, q: int) -> None:
    """Make a[p][q] zero by a turn of two rows and columns."""
    apart, between = sub(a[q][q], a[p][p]), a[p][q]
    twice = mul(2.0, between)
    length = sqrt_or_one(add(mul(apart, apart), mul(twice, twice)))
    below = div(twice, add(absolute(apart), length))
    t = select(_negative(apart), neg(below), below)
    c = div(1.0, sqrt(add(1.0, mul(t, t))))
    s = mul(t, c)
    a[p][p], a[q][q] = sub(a[p][p], mul(t, between)), add(a[q][q], mul(t, between))
    a[p][q] = a[q][p] = 0.0
    for r in range(len(a)):
        if r not in (p, q):
            x, y = a[r][p], a[r][q]
            a[r][p] = a[p][r] = sub(mul(c, x), mul(s, y))
            a[r][q] = a[q][r] = add(mul(s, x), mul(c, y))
        x, y = vectors[r][p], vectors[r][q]
        vectors[r][p], vectors[r][q] = sub(mul(c, x), mul(s, y)), add(mul(s, x), mul(c, y))


def sqrt_or_one(x: Number) -> Number:
    """The square root, and 1 of 0."""
    positive = x > 0.0 if isinstance(x, Scalar) else float(x > 0.0)
    return sqrt(select(positive, x, 1.0))


def _negative(x: Number) -> Number:
    return x < 0.0 if isinstance(x, Scalar) else float(x < 0.0)


def _sorted(values: list[Number], vectors: list[list[Number]]) -> tuple[list[Number], list[list[Number]]]:
    """Ascending, by exchanges of neighbours."""
    for end in reversed(range(len(values))):
        for k in range(end):
            swap = _negative(sub(values[k + 1], values[k]))
            low, high = values[k], values[k + 1]
            values[k], values[k + 1] = select(swap, high, low), select(swap, low, high)
            one, two = vectors[k], vectors[k + 1]
            vectors[k] = [select(swap, y, x) for x, y in zip(one, two)]
            vectors[k + 1] = [select(swap, x, y) for x, y in zip(one, two)]
    return values, vectors


def _with_derivatives(
    matrix: Matrix, values: list[Number], vectors: list[list[Number]]
) -> tuple[list[Number], list[list[Number]]]:
    """The same numbers, with the derivatives by the matrix. The vectors are constants so far."""
    size = len(values)
    images = [[dot(row, v) for row in matrix] for v in vectors]
    products = [[dot(vectors[j], images[k]) for k in range(size)] for j in range(size)]
    largest: Number = 0.0
    for x in values:
        largest = add(largest, absolute(x))
    turned = []
    for k in range(size):
        row = list(vectors[k])
        for j in range(size):
            if j != k:
                gap = sub(values[k], values[j])
                apart = _negative(sub(mul(APART, largest), absolute(gap)))
                share = select(apart, div(1.0, select(apart, gap, 1.0)), 0.0)
                # The product is 0 but for rounding; only its derivative counts.
                move = mul(share, sub(products[j][k], detached(products[j][k])))
                row = [add(x, mul(move, y)) for x, y in zip(row, vectors[j])]
        turned.append(row)
    return [products[k][k] for k in range(size)], turned
