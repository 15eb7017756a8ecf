"""Where a matrix of BLAS lies in memory, as data: dense, banded or packed, whole or one triangle of it. Flows
in: what a routine's name and arguments say. Flows out: numbers with which one kernel finds every element, at
offset + i row + j column + curve j (j + 1) / 2."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ..errors import InvalidValue

NO_MIRROR, SYMMETRIC, HERMITIAN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Form:
    """A matrix [rows, columns] of which elements (i, j) with -above <= i - j <= below are stored: in place
    (`kind` "dense"), at row above + i - j of column j ("band"), or column after column ("packed"). With a
    `mirror` the others are their transposed (conjugated) ones, without they are zeros. `unit`: the diagonal
    is ones and not read."""

    kind: str
    rows: int
    columns: int
    below: int
    above: int
    mirror: int = NO_MIRROR
    unit: bool = False

    def addresses(self, storage: torch.Tensor) -> tuple[int, int, int, int]:
        """(offset, row, column, curve) in elements of the storage."""
        if self.kind == "packed":
            step = storage.stride(0)
            return (0, step, 0, step) if self.below == 0 else (0, step, self.rows * step, -step)
        row, column = storage.stride()
        if self.kind == "band":
            return self.above * row, row, column - row, 0
        return 0, row, column, 0

    def reach(self, turned: bool) -> tuple[int, int]:
        """How many columns before and after its diagonal a row of the matrix, or of the transposed one, has
        elements that are not zero."""
        if self.mirror:
            widest = max(self.below, self.above)
            return widest, widest
        return (self.above, self.below) if turned else (self.below, self.above)

    def alone(self) -> Form:
        """The stored part by itself."""
        return replace(self, mirror=NO_MIRROR)


def dense(a: torch.Tensor, name: str = "a") -> Form:
    """All elements of a matrix. Raises InvalidValue for other ranks."""
    if a.ndim != 2:
        raise InvalidValue(f"{name} must be a matrix, not of the shape {tuple(a.shape)}")
    rows, columns = a.shape
    return Form("dense", rows, columns, max(rows - 1, 0), max(columns - 1, 0))


def triangle(a: torch.Tensor, lower: bool, mirror: int = NO_MIRROR, unit: bool = False) -> Form:
    """One triangle of a square matrix. Raises InvalidValue."""
    whole = dense(a)
    if whole.rows != whole.columns:
        raise InvalidValue(f"a must be a square matrix, not of the shape {tuple(a.shape)}")
    return replace(
        whole,
        below=whole.below if lower else 0,
        above=0 if lower else whole.above,
        mirror=mirror,
        unit=unit,
    )


def band(a: torch.Tensor, rows: int, columns: int, below: int, above: int) -> Form:
    """A band in rows of diagonals [below + above + 1, columns]. Raises InvalidValue."""
    if below < 0 or above < 0:
        raise InvalidValue(f"a band has no {below} diagonals below and {above} above the main one")
    if a.ndim != 2 or a.shape[0] < below + above + 1 or a.shape[1] < columns:
        raise InvalidValue(
            f"a {tuple(a.shape)} must have {below + above + 1} rows, one a diagonal, and {columns} columns"
        )
    return Form("band", rows, columns, below, above)


def triangular_band(
    a: torch.Tensor, k: int, lower: bool, mirror: int = NO_MIRROR, unit: bool = False
) -> Form:
    """k diagonals to one side of the main one, of a square matrix. Raises InvalidValue."""
    n = a.shape[1] if a.ndim == 2 else 0
    form = band(a, n, n, k if lower else 0, 0 if lower else k)
    return replace(form, mirror=mirror, unit=unit)


def packed(a: torch.Tensor, n: int, lower: bool, mirror: int = NO_MIRROR, unit: bool = False) -> Form:
    """A triangle of a matrix [n, n], column after column. Raises InvalidValue."""
    if n < 0 or a.ndim != 1 or len(a) < n * (n + 1) // 2:
        raise InvalidValue(f"ap {tuple(a.shape)} must have n (n + 1) / 2 elements, {n * (n + 1) // 2}")
    return Form("packed", n, n, max(n - 1, 0) if lower else 0, 0 if lower else max(n - 1, 0), mirror, unit)
