"""Extreme eigenvalues of a symmetric matrix by preconditioned search in a block (Knyazev, "Toward the optimal
preconditioned eigensolver: locally optimal block preconditioned conjugate gradient method", 2001), under
SciPy's name and signature. The basis of each step is made orthonormal by the eigenvectors of its products
(Stathopoulos and Wu, 2002), and directions that are lost in rounding are left out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...ops.linalg.jacobi import linalg_eigh
from ...ops.linalg.matmul import mm
from ..arrays import inexact, taken
from ..errors import InvalidType, InvalidValue, NotProvided
from ..sparse.products import multiply
from .system import applied

Block = Callable[[torch.Tensor], torch.Tensor]


def _block(operator: Any, name: str, dtype: torch.dtype) -> Block:
    """Products with [n, k]."""
    if callable(operator) and not hasattr(operator, "matvec"):
        product = operator
    else:
        _, _, _, rows = applied(operator, name, dtype)
        if rows is not None:
            return lambda x: multiply(rows, x.contiguous())
        product = getattr(operator, "matmat", None)
        if product is None:
            raise InvalidType(f"{name} has no matmat", "Give a matrix, a function, or a LinearOperator.")
    return lambda x: inexact(taken(np.asarray(product(x.numpy())), name)[0]).to(dtype).contiguous()


def _product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """x transposed times y."""
    return mm(x.mT.contiguous(), y.contiguous())


def _without(x: torch.Tensor, basis: torch.Tensor | None) -> torch.Tensor:
    """What of x [n, k] is orthogonal to an orthonormal basis, by two passes."""
    if basis is None or not basis.shape[1]:
        return x
    for _ in range(2):
        x = x - mm(basis, _product(basis, x))
    return x


def _orthonormal(x: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis of the columns of x; fewer columns where they depend on each other."""
    for _ in range(2):
        size = x.norm(dim=0)
        x = x[:, size > 0] / size[size > 0]
        if not x.shape[1]:
            return x
        values, vectors = linalg_eigh(_product(x, x))
        kept = values > values[-1] * x.shape[0] * torch.finfo(x.dtype).eps
        x = mm(x.contiguous(), (vectors[:, kept] / values[kept].sqrt()).contiguous())
    return x


def _ritz(
    basis: torch.Tensor, images: torch.Tensor, k: int, largest: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The k extreme values, best first, and their coefficients."""
    projected = _product(basis, images)
    values, vectors = linalg_eigh((projected + projected.mT) / 2)
    if largest:
        values, vectors = values.flip(0), vectors.flip(1)
    return values[:k], vectors[:, :k].contiguous()


def lobpcg(
    A: Any,
    X: Any,
    B: Any = None,
    M: Any = None,
    Y: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    largest: bool = True,
    verbosityLevel: int = 0,
    retLambdaHistory: bool = False,
    retResidualNormsHistory: bool = False,
    restartControl: int = 20,
) -> Any:
    """The k largest (or smallest, in ascending order) eigenvalues of a symmetric A [n, n] and eigenvectors
    [n, k], from the start X [n, k]; `M` approximates the inverse of A; what is found is orthogonal to Y [n,
    m]. Ends when each |A x - value x| is at most `tol` (n times 3e-8), or with a UserWarning after `maxiter`
    (20) steps. Histories follow where asked for, a row a step. `restartControl` has no use here, nothing is
    printed. float32, float64. Raises InvalidValue, InvalidType, and NotProvided for B."""
    if B is not None:
        raise NotProvided("lobpcg serves no generalised problems")
    given, restore = taken(X, "X")
    given = inexact(given).detach()
    if given.ndim != 2 or given.is_complex():
        raise InvalidValue(f"X must be a real matrix [n, k], not {given.dtype} {tuple(given.shape)}")
    n, k = given.shape
    fixed = None if Y is None else _orthonormal(inexact(taken(Y, "Y")[0]).to(given.dtype))
    if 5 * k > n - (0 if fixed is None else fixed.shape[1]):
        raise InvalidValue(f"a block of {k} is too large for n = {n}", "Use a dense solver there.")
    apply = _block(A, "A", given.dtype)
    smooth = None if M is None else _block(M, "M", given.dtype)
    bound, steps = n * 1e-15**0.5 if tol is None else tol, 20 if maxiter is None else maxiter
    x = _orthonormal(_without(given, fixed))
    if x.shape[1] < k:
        raise InvalidValue("the columns of X depend on each other (or lie in Y)")
    images = apply(x)
    values, turn = _ritz(x, images, k, largest)
    x, images = mm(x, turn), mm(images, turn)
    moved = x[:, :0]
    history, norms = [values], []
    for step in range(steps + 1):
        rest = images - x * values
        norms.append(rest.norm(dim=0))
        if not bool(norms[-1].isfinite().all()):
            raise InvalidValue("A or X has elements that are not finite")
        if not bool((norms[-1] > bound).any()) or step == steps:
            break
        search = rest if smooth is None else smooth(rest)
        search = _without(_without(torch.cat([search, moved], 1), fixed), x)
        search = _without(_orthonormal(search), x)
        basis = torch.cat([x, search], 1)
        all_images = torch.cat([images, apply(search)], 1)
        values, turn = _ritz(basis, all_images, k, largest)
        moved = mm(search.contiguous(), turn[k:].contiguous())
        x, images = mm(basis, turn), mm(all_images, turn)
        history.append(values)
    if bool((norms[-1] > bound).any()):
        worst = float(norms[-1].max())
        warnings.warn(
            f"lobpcg: residuals up to {worst:.3g} are above {bound:.3g} after {steps} steps", stacklevel=2
        )
    results = [restore(values), restore(x)]
    if retLambdaHistory:
        results.append(restore(torch.stack(history)))
    if retResidualNormsHistory:
        results.append(restore(torch.stack(norms)))
    return tuple(results)
