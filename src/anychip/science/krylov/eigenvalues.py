"""Some eigenvalues of a symmetric matrix by Lanczos' method with restarts that keep what was found (Wu and
Simon, "Thick-restart Lanczos method for large symmetric eigenvalue problems", 2000), under SciPy's name and
signature. Every new vector is made orthogonal to all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...ops.linalg.jacobi import linalg_eigh
from ...ops.linalg.matmul import mm
from ..arrays import taken
from ..errors import InvalidType, InvalidValue, NoConvergence, NotProvided
from ..factors.lu import factored
from ..preconditioner import Preconditioner
from ..sparse.canonical import joined
from ..sparse.matrix import matrix
from .system import applied
from .vectors import combine, norm, orthogonal

ORDERS = ("LM", "SM", "LA", "SA", "BE")
SEED = 0


def _chosen(values: torch.Tensor, k: int, which: str) -> torch.Tensor:
    """The places of the k values that are wanted, in ascending order of the values, which ascend."""
    count = values.numel()
    places = torch.arange(count)
    if which in ("LM", "SM"):
        order = torch.argsort(values.abs(), descending=which == "LM")
        return order[:k].sort().values
    if which == "BE":
        low = k // 2
        return torch.cat([places[:low], places[count - (k - low) :]])
    return places[:k] if which == "SA" else places[count - k :]


def _beside(basis: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A vector of length one, orthogonal to all of the basis."""
    fresh = torch.randn(basis.shape[1], dtype=torch.float64, generator=generator).to(basis.dtype)
    fresh = fresh.to(basis.device)
    orthogonal(basis, fresh)
    return combine(1.0 / norm(fresh), fresh, 0.0, fresh)


def _inverse(A: Any, sigma: float) -> Preconditioner:
    """The inverse of A - sigma I by its LU factors."""
    if hasattr(A, "matvec"):
        raise NotProvided("eigsh factors A - sigma I only where A is a matrix", "Give its inverse as OPinv.")
    a = matrix(A)[0]
    row, n = a.rows(), a.shape[0]
    row, column = (torch.cat([one, torch.arange(n)]) for one in (row, a.columns))
    values = torch.cat([a.values.detach(), a.values.new_full((n,), -sigma)])
    factors = factored(joined(a.shape, row, column, values), threshold=0.1)
    return Preconditioner(factors.solve, (n, n), values.dtype)


def eigsh(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: float | None = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    return_eigenvectors: bool = True,
    Minv: Any = None,
    OPinv: Any = None,
    mode: str = "normal",
    rng: Any = None,
) -> Any:
    """The k eigenvalues of a symmetric A [n, n] that are `which` (largest or smallest in magnitude, LM and
    SM, or in value, LA and SA, or half at each end, BE), ascending, and eigenvectors [n, k]. With `sigma`,
    those near sigma, by `OPinv`, the inverse of A - sigma I as an operator, or by its factors. `tol` is
    relative to an eigenvalue; 0 is the precision. float32, float64. Raises NoConvergence (a RuntimeError)
    with what did converge, InvalidValue, InvalidType, SingularMatrix, NotProvided for M and for sigma with
    an operator and without OPinv."""
    if M is not None or Minv is not None or mode != "normal":
        raise NotProvided("eigsh serves neither generalised problems nor other modes than 'normal'")
    if sigma is not None and OPinv is None:
        OPinv = _inverse(A, float(sigma))
    if which not in ORDERS:
        raise InvalidValue(f"which must be one of {', '.join(ORDERS)}, not {which!r}")
    apply, shape, dtype, rows = applied(A if sigma is None else OPinv, "A")
    n = shape[0]
    if len(shape) != 2 or n != shape[1]:
        raise InvalidValue(f"expected square matrix (shape={tuple(shape)})")
    if not 0 < k < n:
        raise InvalidValue(f"k must be between 1 and n - 1 = {n - 1}, not {k}")
    size = min(n, max(2 * k + 1, 20)) if ncv is None else ncv
    if not k < size <= n:
        raise InvalidValue(f"ncv must be k < ncv <= n, but ncv is {size}")
    dtype = torch.float64 if dtype is None else dtype
    if dtype.is_complex:
        raise InvalidType("complex matrices are not served")
    device = torch.device("cpu") if rows is None else rows.values.device
    generator = torch.Generator().manual_seed(
        SEED if rng is None else int(np.random.default_rng(rng).integers(2**31))
    )
    basis = torch.zeros((size + 1, n), dtype=dtype, device=device)
    start = taken(v0, "v0")[0].to(dtype) if v0 is not None else torch.randn(n, generator=generator).to(dtype)
    length = norm(start.contiguous())
    basis[0] = (start / length).to(device)
    reduced = torch.zeros((size, size), dtype=torch.float64)
    restore = taken(A if isinstance(A, torch.Tensor) else np.empty(0))[1]
    kept, precision = 0, torch.finfo(dtype).eps
    bound = tol if tol > 0 else precision
    wanted, first = torch.arange(k), torch.zeros(k, dtype=torch.float64)
    vectors, converged = reduced, torch.zeros(k, dtype=torch.bool)
    for _ in range(10 * n if maxiter is None else maxiter):
        coupling = 0.0
        for j in range(kept, size):
            w = apply(basis[j]).clone()
            found, whole, coupling = orthogonal(basis[: j + 1], w)
            reduced[: j + 1, j] = reduced[j, : j + 1] = found
            if coupling <= precision * max(whole, 1e-300):
                coupling = 0.0
                if j + 1 < n:
                    basis[j + 1] = _beside(basis[: j + 1], generator)
            else:
                combine(1.0 / coupling, w, 0.0, w, out=basis[j + 1])
        values, vectors = linalg_eigh(reduced)
        wanted = _chosen(values, k, which)
        first = values[wanted]
        rest = (coupling * vectors[-1]).abs()
        scale = torch.maximum(values.abs(), torch.tensor(precision ** (2 / 3), dtype=torch.float64))
        converged = rest[wanted] <= bound * scale[wanted]
        if bool(converged.all()) or size == n:
            converged[:] = True
            break
        kept = min(size - 1, k + max(1, min(int(converged.sum()) + 1, (size - k) // 2)))
        places = _chosen(values, kept, which)
        basis[:kept] = mm(vectors[:, places].mT.contiguous().to(dtype).to(device), basis[:size])
        basis[kept] = basis[size]
        reduced.zero_()
        reduced.diagonal()[:kept] = values[places]
    turned = mm(basis[:size].mT.contiguous(), vectors[:, wanted].contiguous().to(dtype).to(device))
    eigenvalues = first.to(dtype) if sigma is None else (sigma + 1 / first).to(dtype)
    order = torch.argsort(eigenvalues)
    eigenvalues, turned = eigenvalues[order], turned[:, order.to(device)]
    if not bool(converged.all()):
        done = converged[order]
        raise NoConvergence(
            f"eigsh: {int(done.sum())} of {k} eigenvalues converged in {maxiter} restarts",
            restore(eigenvalues[done]),
            restore(turned[:, done.to(device)].contiguous()),
        )
    return (
        (restore(eigenvalues), restore(turned.contiguous())) if return_eigenvectors else restore(eigenvalues)
    )
