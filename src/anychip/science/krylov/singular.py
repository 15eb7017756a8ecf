"""Some singular values of a matrix, under SciPy's name and signature: eigenvalues of the smaller of A A^T and
A^T A by Lanczos' method, as SciPy's own default does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...ops.linalg.jacobi import linalg_svd
from ...ops.linalg.matmul import mm
from ..arrays import taken
from ..errors import InvalidType, InvalidValue, NotProvided
from ..preconditioner import Preconditioner
from ..sparse.matrix import matrix
from ..sparse.products import multiply
from .eigenvalues import eigsh

WHICH = {"LM": "LM", "SM": "SM"}


def svds(
    A: Any,
    k: int = 6,
    ncv: int | None = None,
    tol: float = 0,
    which: str = "LM",
    v0: Any = None,
    maxiter: int | None = None,
    return_singular_vectors: bool | str = True,
    solver: str = "arpack",
    rng: Any = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """The k largest (`which` LM) or smallest (SM) singular values of A [n, m], a matrix: u [n, k], s [k], vh
    [k, m], s ascending. `return_singular_vectors` False leaves s alone, "u" has None for vh and "vh" None for
    u. Small values have the error of A^T A, as in SciPy. `v0` has min(n, m) elements. float32, float64.
    Raises NoConvergence, InvalidValue, InvalidType, NotProvided for other solvers and for options."""
    if solver != "arpack" or options:
        raise NotProvided(f"svds has no solver {solver!r} and no options", "Leave out solver and options.")
    if which not in WHICH:
        raise InvalidValue(f"which must be LM or SM, not {which!r}")
    if return_singular_vectors not in (True, False, "u", "vh"):
        raise InvalidValue(
            f"return_singular_vectors must be True, False, u or vh, not {return_singular_vectors!r}"
        )
    if hasattr(A, "matvec"):
        raise InvalidType("svds needs A as a matrix, not as an operator")
    a, _ = matrix(A)
    restore = taken(A if isinstance(A, torch.Tensor) else np.empty(0))[1]
    turned = a.transposed()
    first, second = (a, turned) if a.shape[0] >= a.shape[1] else (turned, a)
    n = min(a.shape)
    if not 0 < k < n:
        raise InvalidValue(f"k must be between 1 and min(A.shape) - 1 = {n - 1}, not {k}")
    squared = Preconditioner(lambda x: multiply(second, multiply(first, x)), (n, n), a.values.dtype)
    start = None if v0 is None else taken(v0, "v0")[0]
    _, found = eigsh(squared, k, which=WHICH[which], tol=tol, ncv=ncv, v0=start, maxiter=maxiter, rng=rng)
    basis = torch.as_tensor(found).contiguous()
    u, s, vh = linalg_svd(multiply(first, basis), full_matrices=False)
    order = torch.arange(k - 1, -1, -1)
    u, s, vh = u[:, order], s[order], mm(vh[order], basis.mT.contiguous())
    if a.shape[0] < a.shape[1]:
        u, vh = vh.mT, u.mT
    if return_singular_vectors is False:
        return restore(s)
    return (
        None if return_singular_vectors == "vh" else restore(u.contiguous()),
        restore(s),
        None if return_singular_vectors == "u" else restore(vh.contiguous()),
    )
