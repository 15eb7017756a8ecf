"""Algebraic multigrid by smoothed aggregation (Vanek, Mandel and Brezina, "Algebraic multigrid by smoothed
aggregation for second and fourth order elliptic problems", 1996). Flows in: a symmetric positive definite
matrix. Flows out: one V-cycle as a `Preconditioner`, which is symmetric, too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import triton
import triton.language as tl

from ..ops.kernels.numbers import double
from ..ops.launching import launch, scalar_bits
from .errors import InvalidValue
from .factors.lu import Factors, factored
from .preconditioner import Preconditioner
from .smoothers import SAFETY, Chebyshev, diagonal_of, largest
from .sparse.canonical import canonical, joined
from .sparse.matrix import Rows, matrix
from .sparse.multiply import product
from .sparse.products import multiply

COARSEST = 64
"""Matrices of no more rows are factored."""
LEVELS = 20
STRONG = 0.08
"""An element is strong if its square is at least the square of this, times both diagonal elements: half as
much on each coarser level."""


@triton.jit(do_not_specialize=["n", "theta"])
def aggregate_kernel(group, count, starts, columns, values, diagonal, n, theta: tl.int64):
    """group [n], which holds -1, becomes the number of the aggregate of each row: first rows none of whose
    strong neighbours has one yet, with all of these, then rows beside an aggregate, then what is left. count
    is how many there are. One program."""
    bound = double(theta)
    total = tl.zeros((), tl.int64)
    for row in range(n):
        if tl.load(group + row) == -1:
            taken = tl.zeros((), tl.int64)
            strong = tl.zeros((), tl.int64)
            mine = tl.abs(tl.load(diagonal + row).to(tl.float64))
            for p in range(tl.load(starts + row).to(tl.int64), tl.load(starts + row + 1).to(tl.int64)):
                other = tl.load(columns + p).to(tl.int64)
                value = tl.load(values + p).to(tl.float64)
                theirs = tl.abs(tl.load(diagonal + other).to(tl.float64))
                if (value * value >= bound * mine * theirs) & (other != row):
                    strong += 1
                    taken += (tl.load(group + other) != -1).to(tl.int64)
            if (taken == 0) & (strong > 0):
                tl.store(group + row, total)
                for p in range(tl.load(starts + row).to(tl.int64), tl.load(starts + row + 1).to(tl.int64)):
                    other = tl.load(columns + p).to(tl.int64)
                    value = tl.load(values + p).to(tl.float64)
                    theirs = tl.abs(tl.load(diagonal + other).to(tl.float64))
                    if (value * value >= bound * mine * theirs) & (other != row):
                        tl.store(group + other, total)
                total += 1
    whole = total
    for row in range(n):
        if tl.load(group + row) == -1:
            best = tl.zeros((), tl.float64)
            chosen = tl.zeros((), tl.int64) - 1
            for p in range(tl.load(starts + row).to(tl.int64), tl.load(starts + row + 1).to(tl.int64)):
                other = tl.load(columns + p).to(tl.int64)
                value = tl.abs(tl.load(values + p).to(tl.float64))
                theirs = tl.load(group + other)
                if (theirs >= 0) & (theirs < whole) & (value > best):
                    best = value
                    chosen = theirs
            # -3 and below: joined in this pass, where others must not join through it
            if chosen >= 0:
                tl.store(group + row, -3 - chosen)
    for row in range(n):
        mine = tl.load(group + row)
        if mine <= -3:
            tl.store(group + row, -3 - mine)
        elif mine == -1:
            tl.store(group + row, total)
            total += 1
    tl.store(count, total)


@dataclass(frozen=True)
class Level:
    """A matrix, its smoother, and the way to the next coarser level and back."""

    a: Rows
    smoother: Chebyshev
    prolong: Rows
    restrict: Rows


def _level(a: Rows, depth: int) -> tuple[Level, Rows] | None:
    """The level of a matrix, and the next coarser matrix; None where there would be no fewer rows."""
    n = a.shape[0]
    diagonal = diagonal_of(a, "multigrid")
    group = torch.full((n,), -1, dtype=torch.int64, device=diagonal.device)
    count = torch.zeros(1, dtype=torch.int64, device=diagonal.device)
    theta = scalar_bits((STRONG * 0.5**depth) ** 2, True)
    launch(aggregate_kernel, 1, group, count, a.starts, a.columns, a.values, diagonal, n, theta)
    coarse = int(count)
    if coarse >= n:
        return None
    sizes = torch.bincount(group, minlength=coarse).to(diagonal.dtype)
    tentative = Rows(
        (n, coarse), torch.arange(n + 1, device=group.device), group, sizes.rsqrt()[group].contiguous()
    )
    high = SAFETY * largest(a, diagonal)
    weights = -(4 / 3) / high / diagonal
    scaled = replace(a, values=a.values * weights[a.rows()])
    smoothed = product(scaled, tentative)
    prolong = joined(
        tentative.shape,
        torch.cat([tentative.rows(), smoothed.rows()]),
        torch.cat([tentative.columns, smoothed.columns]),
        torch.cat([tentative.values, smoothed.values]),
    )
    restrict = prolong.transposed()
    return Level(a, Chebyshev(a, diagonal, high / 30, high), prolong, restrict), product(
        restrict, product(a, prolong)
    )


class Hierarchy:
    """The levels of a matrix and the factors of the coarsest."""

    def __init__(self, a: Rows, degree: int):
        self.levels: list[Level] = []
        self.degree = degree
        while a.shape[0] > COARSEST and len(self.levels) < LEVELS:
            found = _level(a, len(self.levels))
            if found is None:
                break
            self.levels.append(found[0])
            a = found[1]
        self.coarsest: Factors = factored(a)

    def cycle(self, b: torch.Tensor, depth: int = 0) -> torch.Tensor:
        """One V-cycle from zero."""
        if depth == len(self.levels):
            return self.coarsest.solve(b)
        level = self.levels[depth]
        x = torch.zeros_like(b)
        level.smoother.smooth(x, b, self.degree, zero=True)
        rest = multiply(level.a, x, b, -1.0, 1.0)
        x = multiply(level.prolong, self.cycle(multiply(level.restrict, rest), depth + 1), x)
        level.smoother.smooth(x, b, self.degree)
        return x


def multigrid(A: Any, degree: int = 2) -> Preconditioner:
    """One V-cycle for a symmetric positive definite A [n, n], which smooths by polynomials of `degree` before
    and after. float32, float64. Raises SingularMatrix, InvalidValue."""
    if degree < 1:
        raise InvalidValue(f"degree must be at least 1, not {degree}")
    a = matrix(A)[0]
    a = canonical(replace(a, values=a.values.detach()))
    if a.shape[0] != a.shape[1]:
        raise InvalidValue(f"multigrid needs a square matrix, not one of the shape {a.shape}")
    hierarchy = Hierarchy(a, degree)
    return Preconditioner(lambda b: hierarchy.cycle(b.contiguous()), a.shape, a.values.dtype)
