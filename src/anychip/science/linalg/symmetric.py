"""Symmetric problems under the names of `scipy.linalg`: eigenvalues of one matrix or of a pair, and L D
L^T."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ...ops.linalg.cholesky import linalg_cholesky_ex, positive
from ...ops.linalg.jacobi import linalg_eigh
from ...ops.linalg.jacobi_kernels import rotations_kernel
from ...ops.linalg.ldl import linalg_ldl_factor_ex
from ...ops.linalg.matmul_kernels import matmul_kernel
from ...ops.linalg.triangular import linalg_solve_triangular
from ...ops.samples import tensor
from ..errors import InvalidValue, NotProvided
from ..registry import PRECISE, Fused, Sample, register
from .batches import batch, restored, times

# ---- forward and backward -------------------------------------------------------------------------


class Pencil(torch.autograd.Function):
    """Eigenvalues and vectors of a v = w b v: a symmetric, b symmetric and positive definite, v^T b v = 1."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """(w [..., n] ascending, v [..., n, n] as columns)."""
        if b is None:
            values, vectors = linalg_eigh(a)
        else:
            lower, info = linalg_cholesky_ex(b)
            if bool(info.any()):
                raise np.linalg.LinAlgError(
                    f"The leading minor of order {int(info.max())} of B is not positive definite. The "
                    "factorization of B could not be completed and no eigenvalues were computed."
                )
            half = linalg_solve_triangular(lower, a, upper=False)
            values, turned = linalg_eigh(linalg_solve_triangular(lower, half.mT, upper=False))
            vectors = linalg_solve_triangular(lower.mT, turned, upper=True)
        ctx.save_for_backward(values, vectors)
        ctx.pair = b is not None
        return values, vectors

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """In the basis of the vectors. Pairs of equal eigenvalues do not count: what is a function of the
        matrices alone does not depend on them."""
        of_values, of_vectors = grad_outputs
        w, v = ctx.saved_tensors
        gaps = w[..., None, :] - w[..., :, None]
        apart = gaps.abs() > torch.finfo(w.dtype).eps * 8 * w.abs().amax(-1)[..., None, None]
        weights = torch.where(apart, 1 / torch.where(apart, gaps, 1.0), 0.0)
        turned = times(v.mT, of_vectors)
        inner = weights * turned + torch.diag_embed(of_values)
        of_a = times(times(v, inner), v.mT)
        of_b = None
        if ctx.pair:
            scaled = inner * w[..., None, :] + 0.5 * torch.diag_embed(turned.diagonal(dim1=-2, dim2=-1))
            of_b = -times(times(v, scaled), v.mT)
            of_b = 0.5 * (of_b + of_b.mT)
        return 0.5 * (of_a + of_a.mT), of_b


# ---- names ----------------------------------------------------------------------------------------


def _whole(x: torch.Tensor, lower: bool) -> torch.Tensor:
    """Symmetric matrices of one triangle."""
    kept = torch.tril(x) if lower else torch.triu(x)
    return kept + (torch.tril(x, -1) if lower else torch.triu(x, 1)).mT


def eigh(
    a: Any,
    b: Any = None,
    *,
    lower: bool = True,
    eigvals_only: bool = False,
    overwrite_a: bool = False,
    overwrite_b: bool = False,
    type: int = 1,
    check_finite: bool = True,
    subset_by_index: Any = None,
    subset_by_value: Any = None,
    driver: str | None = None,
) -> Any:
    """Eigenvalues w [..., n], ascending, and vectors v [..., n, n] of symmetric a, or of a v = w b v with b
    positive definite (`type` 1, with v^T b v = 1). One triangle of each is read. `subset_by_index` (first,
    last) and `subset_by_value` (above, up to) choose among them after all were computed; `driver` and the
    overwriting are taken and change nothing. Differentiable; equal eigenvalues leave gradients finite.
    float32, float64. Raises InvalidValue, InvalidType, NotProvided for types 2 and 3, and NumPy's LinAlgError
    where b is not positive definite."""
    if type != 1:
        raise NotProvided(f"eigh of type {type} is not served", "Write it as a problem of type 1.")
    if subset_by_index is not None and subset_by_value is not None:
        raise InvalidValue("Either index or value subset can be requested.")
    x, restore = batch(a, "a", square=True, check_finite=check_finite)
    y = None
    if b is not None:
        y = batch(b, "b", square=True, check_finite=check_finite)[0]
        if y.shape[-1] != x.shape[-1]:
            raise InvalidValue(f"wrong b dimensions {tuple(y.shape)}, a is {tuple(x.shape)}")
        dtype = torch.promote_types(x.dtype, y.dtype)
        x, y = x.to(dtype), _whole(y.to(dtype), lower)
    if not x.numel():
        return restore(x[..., 0]) if eigvals_only else restored(restore, x[..., 0], x.clone())
    w, v = Pencil.apply(_whole(x, lower), y)
    if subset_by_index is not None:
        first, last = (int(one) for one in subset_by_index)
        if not 0 <= first <= last < x.shape[-1]:
            raise InvalidValue(f"subset_by_index must be within 0 and {x.shape[-1] - 1}: {subset_by_index}")
        w, v = w[..., first : last + 1], v[..., first : last + 1]
    elif subset_by_value is not None:
        if x.ndim > 2:
            raise InvalidValue("subset_by_value needs one matrix, not a batch")
        low, high = (float(one) for one in subset_by_value)
        if not low < high:
            raise InvalidValue(f"subset_by_value must be ascending: {subset_by_value}")
        kept = (w.detach() > low) & (w.detach() <= high)
        w, v = w[kept], v[:, kept]
    return restore(w) if eigvals_only else restored(restore, w, v)


def ldl(
    A: Any,
    lower: bool = True,
    hermitian: bool = True,
    overwrite_a: bool = False,
    check_finite: bool = True,
) -> tuple[Any, Any, Any]:
    """lu, d, perm of a symmetric A [n, n]: A = lu d lu^T with lu[perm] triangular with ones on its diagonal,
    and d of blocks of one or two rows (Bunch and Kaufman, 1977). One triangle is read. float32, float64.
    Raises InvalidValue, InvalidType."""
    x, restore = batch(A, "A", square=True, check_finite=check_finite)
    if x.ndim != 2:
        raise InvalidValue(f"ldl takes one matrix, not the shape {tuple(x.shape)}")
    n = len(x)
    if not lower:
        # the reversed matrix has the other triangle
        lu, d, perm = ldl(x.flip(0, 1), True, hermitian)
        return restored(restore, lu.flip(0, 1), d.flip(0, 1), (n - 1 - perm).flip(0))
    data, pivots, _ = linalg_ldl_factor_ex(x.detach())
    listed = pivots.tolist()
    factor, d = torch.tril(data, -1), torch.diag(data.diagonal())
    perm, k = torch.arange(n), 0
    while k < n:
        width = 1 if listed[k] > 0 else 2
        if width == 2:
            d[k + 1, k] = d[k, k + 1] = data[k + 1, k]
            factor[k + 1, k] = 0
        row, other = k + width - 1, abs(listed[k + width - 1]) - 1
        if other != row:
            swapped, places = [other, row], [row, other]
            factor[places, :k] = factor[swapped, :k]
            perm[places] = perm[swapped]
        k += width
    whole = factor + torch.eye(n, dtype=factor.dtype, device=factor.device)
    inverse = torch.empty_like(perm)
    inverse[perm] = torch.arange(n)
    return restored(restore, whole[inverse], d, perm)


# ---- records --------------------------------------------------------------------------------------


def eigenvalues(a: Any, b: Any) -> Any:
    """The eigenvalues [..., n], ascending, of a v = w b v, as `eigh` gives them. Differentiable."""
    return eigh(a, b, eigvals_only=True)


def _reference(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    lower = torch.linalg.cholesky(_whole(b, True))
    half = torch.linalg.solve_triangular(lower, _whole(a, True), upper=False)
    return torch.linalg.eigvalsh(torch.linalg.solve_triangular(lower, half.mT, upper=False))


def _pairs(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((3, 3), (2, 7, 7)):
        a = tensor(shape, torch.float64, -1, 1)
        yield Sample(((a + a.mT).to(dtype), positive(shape, dtype)))


register(
    Fused(
        "eigenvalues",
        "symmetric problems",
        eigenvalues,
        _reference,
        _pairs,
        (rotations_kernel, matmul_kernel),
        dtypes=PRECISE,
        differentiable=True,
    )
)
