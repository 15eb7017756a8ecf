"""Records of BLAS, for proofs: each routine on small whole numbers' halves against the same with dense
matrices of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from ...ops.linalg.matmul_kernels import matmul_kernel
from ...ops.samples import tensor
from ..registry import PRECISE, Fused, Sample, register
from . import level1, level2, level3
from .layout_kernels import stored_product_kernel, stored_solve_kernel, stored_update_kernel
from .vector_kernels import plane_kernel, size_kernel

N, K, FACTOR, CALM = 6, 2, 2.0, 1.4375
VECTORS, STORED = (
    (plane_kernel, size_kernel),
    (
        stored_product_kernel,
        stored_update_kernel,
        stored_solve_kernel,
    ),
)


def _whole(stored: torch.Tensor, lower: int) -> torch.Tensor:
    """A symmetric matrix of one triangle."""
    kept = torch.tril(stored) if lower else torch.triu(stored)
    return kept + (torch.tril(stored, -1) if lower else torch.triu(stored, 1)).mT


def _from_band(a: torch.Tensor, rows: int, below: int, above: int) -> torch.Tensor:
    """The dense matrix of a band's diagonals."""
    i, j = torch.arange(rows)[:, None], torch.arange(a.shape[1])[None]
    inside = (i - j <= below) & (j - i <= above)
    place = (above + i - j).clamp(0, below + above)
    return torch.where(inside, a[place, j.expand_as(place)], 0.0)


def _from_packed(ap: torch.Tensor, n: int, lower: int) -> torch.Tensor:
    """The triangle [n, n] of its columns."""
    j, i = torch.triu_indices(n, n) if lower else torch.tril_indices(n, n)
    return torch.zeros((n, n), dtype=ap.dtype).index_put((i, j), ap)


def _updated(a: torch.Tensor, change: torch.Tensor, lower: int) -> torch.Tensor:
    return a + (torch.tril(change) if lower else torch.triu(change))


def _packed_update(ap: torch.Tensor, change: torch.Tensor, lower: int) -> torch.Tensor:
    j, i = torch.triu_indices(*change.shape) if lower else torch.tril_indices(*change.shape)
    return ap + change[i, j]


def _solve(a: torch.Tensor, b: torch.Tensor, lower: int) -> torch.Tensor:
    return torch.linalg.solve_triangular(a, b[:, None], upper=not lower)[:, 0]


def _banded(a: torch.Tensor, k: int, lower: int) -> torch.Tensor:
    return _from_band(a, a.shape[1], k if lower else 0, 0 if lower else k)


Reference = Callable[..., Any]
REFERENCES: dict[str, Reference] = {
    "axpy": lambda x, y, a: y + a * x,
    "scal": lambda a, x: a * x,
    "rot": lambda x, y, c, s: (c * x + s * y, c * y - s * x),
    "nrm2": lambda x: torch.linalg.vector_norm(x),
    "asum": lambda x: x.abs().sum(),
    "gemv": lambda alpha, a, x, trans=0: alpha * ((a.mT if trans else a) @ x),
    "gbmv": lambda m, n, kl, ku, alpha, a, x: alpha * (_from_band(a, m, kl, ku) @ x),
    "symv": lambda alpha, a, x, lower=0: alpha * (_whole(a, lower) @ x),
    "sbmv": lambda k, alpha, a, x, lower=0: alpha * (_whole(_banded(a, k, lower), lower) @ x),
    "spmv": lambda n, alpha, ap, x, lower=0: alpha * (_whole(_from_packed(ap, n, lower), lower) @ x),
    "trmv": lambda a, x, lower=0: (torch.tril(a) if lower else torch.triu(a)) @ x,
    "tbmv": lambda k, a, x, lower=0: _banded(a, k, lower) @ x,
    "tpmv": lambda n, ap, x, lower=0: _from_packed(ap, n, lower) @ x,
    "trsv": lambda a, x, lower=0: _solve(a, x, lower),
    "tbsv": lambda k, a, x, lower=0: _solve(_banded(a, k, lower), x, lower),
    "tpsv": lambda n, ap, x, lower=0: _solve(_from_packed(ap, n, lower), x, lower),
    "ger": lambda alpha, x, y, a: a + alpha * x[:, None] * y,
    "syr": lambda alpha, x, lower, a: _updated(a, alpha * x[:, None] * x, lower),
    "spr": lambda n, alpha, x, ap, lower=0: _packed_update(ap, alpha * x[:, None] * x, lower),
    "syr2": lambda alpha, x, y, lower, a: _updated(a, alpha * (x[:, None] * y + y[:, None] * x), lower),
    "symm": lambda alpha, a, b, lower=0: alpha * (_whole(a, lower) @ b),
    "syrk": lambda alpha, a, lower=0: _updated(a.new_zeros(len(a), len(a)), alpha * (a @ a.mT), lower),
    "syr2k": lambda alpha, a, b, lower=0: _updated(
        a.new_zeros(len(a), len(a)), alpha * (a @ b.mT + b @ a.mT), lower
    ),
    "trmm": lambda alpha, a, b, lower=0: alpha * ((torch.tril(a) if lower else torch.triu(a)) @ b),
}


def _arguments(name: str, dtype: torch.dtype, lower: int, n: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a routine is called with: the triangle is chosen by a keyword, but for `gemv`. Of one row all is a
    number that rounding moves by little beside its product, and less than a wrong element."""
    k = min(K, n - 1)
    x, y = tensor((n,), dtype, 0.5, 1.5), tensor((n,), dtype, 0.5, FACTOR, seed=1)
    a, b = tensor((n, n), dtype, 0.1, 0.3), tensor((n, 3), dtype, 0.5, 1.5)
    band, ap = tensor((k + 1, n), dtype, 0.1, 0.3), tensor((n * (n + 1) // 2,), dtype, 0.1, 0.3)
    if n == 1:
        x, y, a, b, band, ap = (torch.full_like(one, CALM) for one in (x, y, a, b[:, :1], band, ap))
    a = a + 2 * torch.eye(n, dtype=dtype) if n > 1 else a
    band[0 if lower else k] += 2 if n > 1 else 0
    j, i = torch.triu_indices(n, n) if lower else torch.tril_indices(n, n)
    ap = torch.where(i == j, ap + 2, ap) if n > 1 else ap
    triangle = {"lower": int(lower)}
    of_triangle: dict[str, tuple[Any, ...]] = {
        "symv": (FACTOR, a, x),
        "sbmv": (k, FACTOR, band, x),
        "spmv": (n, FACTOR, ap, x),
        "trmv": (a, x),
        "tbmv": (k, band, x),
        "tpmv": (n, ap, x),
        "trsv": (a, x),
        "tbsv": (k, band, x),
        "tpsv": (n, ap, x),
        "spr": (n, FACTOR, x, ap),
        "symm": (FACTOR, a, b),
        "syrk": (FACTOR, b),
        "syr2k": (FACTOR, b, b.flip(0)),
        "trmm": (FACTOR, a, b),
        "syr": (FACTOR, x),
        "syr2": (FACTOR, x, y),
    }
    if name in of_triangle:
        return of_triangle[name], {**triangle, "a": a} if name in ("syr", "syr2") else triangle
    others: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
        "axpy": ((x, y), {"a": 0.5}),
        "scal": ((0.5, x), {}),
        "rot": ((x, y, 0.6, 0.8), {}),
        "nrm2": ((x,), {}),
        "asum": ((x,), {}),
        "gemv": ((FACTOR, a[:4], x[:4] if lower else x), {"trans": int(lower)}),
        "gbmv": ((max(n - 1, 1), n, min(1, k), min(1, k), FACTOR, band, x), {}),
        "ger": ((FACTOR, x, y), {"a": a}),
    }
    return others[name]


def _drawn(name: str) -> Callable[[torch.dtype], Iterable[Sample]]:
    def samples(dtype: torch.dtype) -> Iterable[Sample]:
        for lower, n in ((False, N), (True, N), (False, 1)):
            arguments, keywords = _arguments(name, dtype, lower, n)
            yield Sample(arguments, keywords)

    return samples


for _name, _reference in REFERENCES.items():
    _level = next(one for one in (level1, level2, level3) if hasattr(one, _name))
    _kernels: tuple[Any, ...] = {level1: VECTORS, level2: STORED, level3: (matmul_kernel,)}[_level]
    register(
        Fused(
            _name,
            f"BLAS {_level.__name__[-1]}",
            getattr(_level, _name),
            _reference,
            _drawn(_name),
            _kernels,
            dtypes=PRECISE,
            differentiable=True,
        )
    )
