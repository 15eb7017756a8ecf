"""Incomplete LU factors without fill, ILU(0): L and U have elements only where the matrix has some (Meijerink
and van der Vorst, 1977; rows by rows as in Saad, "Iterative methods for sparse linear systems", 2003,
10.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.launching import launch
from ..errors import InvalidValue, SingularMatrix
from ..preconditioner import Preconditioner
from ..sparse.canonical import canonical
from ..sparse.matrix import Rows, matrix
from ..sparse.products import solve_rows


@triton.jit(do_not_specialize=["n"])
def incomplete_kernel(starts, columns, values, diagonals, places, state, n):
    """values of a matrix in compressed rows, ordered by column in each, become L's below the diagonal and U's
    elsewhere; diagonals [n] is where they lie. `places` [n] holds -1. state[0] is a row without a pivot, plus
    one. One program."""
    for row in range(n):
        start = tl.load(starts + row).to(tl.int64)
        stop = tl.load(starts + row + 1).to(tl.int64)
        for p in range(start, stop):
            tl.store(places + tl.load(columns + p).to(tl.int64), p)
        for p in range(start, stop):
            column = tl.load(columns + p).to(tl.int64)
            if column < row:
                pivot = tl.load(diagonals + column)
                factor = tl.load(values + p) / tl.load(values + pivot)
                tl.store(values + p, factor)
                for q in range(pivot + 1, tl.load(starts + column + 1).to(tl.int64)):
                    at = tl.load(places + tl.load(columns + q).to(tl.int64))
                    if at >= 0:
                        tl.store(values + at, tl.load(values + at) - factor * tl.load(values + q))
        if tl.load(values + tl.load(diagonals + row)) == 0:
            tl.store(state, row.to(tl.int64) + 1)
        for p in range(start, stop):
            tl.store(places + tl.load(columns + p).to(tl.int64), tl.full((), -1, tl.int64))


def diagonal_places(a: Rows, name: str) -> torch.Tensor:
    """Where the diagonal of a square matrix lies among its elements. Raises InvalidValue where it has
    none."""
    if a.shape[0] != a.shape[1]:
        raise InvalidValue(f"{name} needs a square matrix, not one of the shape {a.shape}")
    found = torch.nonzero(a.rows() == a.columns).reshape(-1)
    if found.numel() != a.shape[0]:
        missing = a.shape[0] - found.numel()
        raise InvalidValue(f"{name} needs an element at every place of the diagonal; {missing} are missing")
    return found


def ilu0(A: Any) -> Preconditioner:
    """L U of A [n, n] with the pattern of A, as an approximate inverse for the `M` of solvers: `matvec`,
    `solve`, `shape`, `dtype`. A's diagonal must be stored. float32, float64. Raises SingularMatrix,
    InvalidValue."""
    a = matrix(A)[0]
    a = canonical(replace(a, values=a.values.detach()))
    diagonals = diagonal_places(a, "ilu0")
    values, n = a.values.clone(), a.shape[0]
    places, state = torch.full_like(diagonals, -1), torch.zeros_like(diagonals[:1])
    if n:
        launch(incomplete_kernel, 1, a.starts, a.columns, values, diagonals, places, state, n)
    if n and int(state):
        raise SingularMatrix(f"ilu0: row {int(state) - 1} has no pivot")
    factors = replace(a, values=values)
    row = factors.rows()
    lower, upper = (_part(factors, row, keep) for keep in (a.columns < row, a.columns >= row))

    def solve(b: torch.Tensor) -> torch.Tensor:
        return solve_rows(upper, solve_rows(lower, b.contiguous(), upper=False, unit=True), upper=True)

    return Preconditioner(solve, (n, n), values.dtype)


def _part(a: Rows, row: torch.Tensor, keep: torch.Tensor) -> Rows:
    starts = torch.zeros(a.shape[0] + 1, dtype=torch.int64, device=row.device)
    torch.cumsum(torch.bincount(row[keep], minlength=a.shape[0]), 0, out=starts[1:])
    return Rows(a.shape, starts, a.columns[keep], a.values[keep])
