"""Direct solutions of sparse systems under SciPy's names: `splu` and `spsolve`, with a gradient by one more
solution."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import torch

from ..arrays import Restore, inexact, taken
from ..errors import InvalidType, InvalidValue, SingularMatrix
from ..krylov.implicit import Solution
from ..sparse.canonical import joined
from ..sparse.matrix import Rows, given_back, is_sparse, matrix
from .lu import Factors, factored

ORDERS = ("NATURAL", "MMD_ATA", "MMD_AT_PLUS_A", "COLAMD")


class SparseLU:
    """What `splu` returns, with the names of SciPy's SuperLU: `Pr A Pc = L U`, where row perm_r[i] of Pr A is
    row i of A, and column i of A Pc column perm_c[i] of A."""

    def __init__(self, factors: Factors, like: Any, restore: Restore):
        self._factors, self._like, self._restore = factors, like, restore
        self.shape = factors.lower.shape

    @property
    def nnz(self) -> int:
        """Stored elements of both factors."""
        return self._factors.lower.count + self.shape[0] + self._factors.upper.count

    @property
    def perm_r(self) -> Any:
        """The place of each row, int64 [n]."""
        rows = self._factors.rows
        return self._restore(torch.empty_like(rows).index_copy_(0, rows, torch.arange(rows.numel())))

    @property
    def perm_c(self) -> Any:
        """The column in each place, int64 [n]."""
        columns = self._factors.columns
        return self._restore(torch.empty_like(columns).index_copy_(0, columns, torch.arange(len(columns))))

    @property
    def L(self) -> Any:
        """The lower factor with its diagonal of ones, in compressed rows."""
        lower, n = self._factors.lower, self.shape[0]
        row = torch.cat([lower.rows(), torch.arange(n)])
        column = torch.cat([lower.columns, torch.arange(n)])
        values = torch.cat([lower.values, lower.values.new_ones(n)])
        return given_back(joined((n, n), row, column, values), self._like)

    @property
    def U(self) -> Any:
        """The upper factor, in compressed rows."""
        return given_back(self._factors.upper, self._like)

    def solve(self, rhs: Any, trans: str = "N") -> Any:
        """x of A x = rhs [n] or [n, k]; of the transposed A for `trans` "T" or "H". Raises InvalidValue."""
        if trans not in ("N", "T", "H"):
            raise InvalidValue(f"trans must be N, T, or H, not {trans!r}")
        b, restore = taken(rhs, "rhs")
        if b.ndim not in (1, 2) or b.shape[0] != self.shape[0]:
            raise InvalidValue(f"rhs is of incompatible size {tuple(b.shape)} for a matrix of {self.shape}")
        return restore(self._factors.solve(b.to(self._factors.upper.values.dtype), trans != "N"))


def _square(a: Rows) -> None:
    if a.shape[0] != a.shape[1]:
        raise InvalidValue(f"matrix must be square (has shape {a.shape})")


def _order(permc_spec: str | None) -> bool:
    if permc_spec is not None and permc_spec not in ORDERS:
        raise InvalidValue(f"permc_spec must be one of {', '.join(ORDERS)}, not {permc_spec!r}")
    return permc_spec != "NATURAL"


def splu(
    A: Any,
    permc_spec: str | None = None,
    diag_pivot_thresh: float | None = None,
    relax: int | None = None,
    panel_size: int | None = None,
    options: dict[str, Any] | None = None,
) -> SparseLU:
    """LU factors of a sparse A [n, n] with partial pivoting. `permc_spec` NATURAL keeps the order of columns;
    with any other name they are put in order by nested dissection of the graph of A and its transpose.
    `diag_pivot_thresh` (1): an element of the diagonal is pivot if it is at least as large as this share of
    the column's largest. `relax` and `panel_size` are taken and change nothing. float32, float64. Raises
    SingularMatrix (a RuntimeError), InvalidValue, InvalidType."""
    if options:
        raise InvalidType(f"unknown options of splu: {', '.join(options)}", "Leave them out.")
    a, restore = matrix(A)
    _square(a)
    threshold = 1.0 if diag_pivot_thresh is None else float(diag_pivot_thresh)
    detached = replace(a, values=a.values.detach())
    return SparseLU(factored(detached, _order(permc_spec), threshold), A, restore)


def _solved(a: Rows, b: torch.Tensor, permc_spec: str | None) -> torch.Tensor:
    try:
        return factored(a, _order(permc_spec)).solve(b)
    except SingularMatrix as error:
        from scipy.sparse.linalg import MatrixRankWarning

        warnings.warn(f"Matrix is exactly singular: {error}", MatrixRankWarning, stacklevel=3)
        return torch.full_like(b, torch.nan)


def spsolve(A: Any, b: Any, permc_spec: str | None = None, use_umfpack: bool = True) -> Any:
    """x of A x = b, A [n, n] sparse, b [n], [n, 1] or [n, k], or sparse (then so is x). A singular A gives
    NaN and a MatrixRankWarning, as SciPy does. `permc_spec` as for `splu`; `use_umfpack` is taken and changes
    nothing. float32, float64. Differentiable in a vector b and in the values of A where these are tensors.
    Raises InvalidValue, InvalidType."""
    a, _ = matrix(A)
    _square(a)
    if is_sparse(b):
        right = matrix(b, "b")[0]
        full = right.values.new_zeros(right.shape)
        full.index_put_((right.rows(), right.columns.to(torch.int64)), right.values, accumulate=True)
        x = spsolve(A, full, permc_spec)
        x = x if isinstance(x, torch.Tensor) else torch.from_numpy(x)
        return given_back(matrix(x)[0], b)
    given, restore = taken(b, "b")
    if given.ndim not in (1, 2) or given.shape[0] != a.shape[0]:
        raise InvalidValue(f"matrix - rhs dimension mismatch ({a.shape} - {tuple(given.shape)})")
    dtype = torch.promote_types(a.values.dtype, inexact(given).dtype)
    if dtype.is_complex:
        raise InvalidType("complex systems are not served", "Solve for real and imaginary parts together.")
    if given.ndim == 2 and given.shape[1] == 1 and not isinstance(b, torch.Tensor):
        given = given[:, 0]
    if given.ndim == 2 and (given.requires_grad or a.values.requires_grad):
        columns = [spsolve(A, column, permc_spec) for column in given.unbind(1)]
        return torch.stack(columns, 1)
    fixed = replace(a, values=a.values.detach().to(dtype))
    x = _solved(fixed, given.detach().to(dtype).contiguous(), permc_spec)
    if isinstance(b, torch.Tensor) and (given.requires_grad or a.values.requires_grad):

        def again(other: Any, right: Any) -> tuple[Any, int]:
            return spsolve(other, right, permc_spec), 0

        return Solution.apply(a.values.to(dtype), given.to(dtype), x, fixed, again)
    return restore(x)
