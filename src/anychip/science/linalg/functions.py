"""Functions of matrices: exponential, square root, logarithm, under the names of `scipy.linalg`. Gradients
come from the function of a matrix of twice the size (Mathias, "A chain rule for matrix functions and
applications", 1996), and so are finite at equal eigenvalues."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import torch

from ...ops.linalg.jacobi import linalg_eigh
from ...ops.linalg.jacobi_kernels import rotations_kernel
from ...ops.linalg.lu import exchange_kernel, panel_kernel
from ...ops.linalg.matmul_kernels import matmul_kernel
from ...ops.linalg.matrix_exp import linalg_matrix_exp
from ...ops.linalg.solve import linalg_inv_ex, linalg_slogdet, linalg_solve_ex
from ...ops.samples import tensor
from ..errors import InvalidValue
from ..registry import PRECISE, Fused, Sample, register
from .batches import batch, eps, identity, is_symmetric, times

MOST = 60
"""Steps of an iteration that converges quadratically, after which it does not converge."""
NEAR, ROOTS, NODES = 0.25, 80, 7
"""How near a matrix comes to the identity before its logarithm is a sum of NODES inverses, which then has an
error below the precision of float64; most square roots to get there."""

# ---- forward --------------------------------------------------------------------------------------


def _size(a: torch.Tensor) -> float:
    """The largest sum of absolute values over a column."""
    return float(a.abs().sum(-2).max()) if a.numel() else 0.0


def _of_symmetric(a: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    values, vectors = linalg_eigh(a)
    return times(vectors * function(values)[..., None, :], vectors.mT)


def _no_result(name: str, why: str) -> InvalidValue:
    return InvalidValue(
        f"{name} has no real result: {why}", "Use scipy.linalg, which gives complex numbers there."
    )


def _root(a: torch.Tensor) -> torch.Tensor:
    """The principal square root by the product form of Denman and Beavers' iteration, scaled by determinants
    (Higham, "Functions of matrices", 2008, 6.3)."""
    if is_symmetric(a):
        values = linalg_eigh(a, compute_v=False)[0]
        if bool((values < -a.shape[-1] * eps(a) * values.abs().amax(-1, keepdim=True)).any()):
            raise _no_result("sqrtm", f"there is a negative eigenvalue, {float(values.min()):.3g}")
        return _of_symmetric(a, lambda values: values.clamp(min=0).sqrt())
    one, m, x, last = identity(a), a, a, float("inf")
    n = a.shape[-1]
    for _ in range(MOST):
        inverse, info = linalg_inv_ex(m)
        if bool(info.any()) or not bool(torch.isfinite(inverse).all()):
            raise _no_result("sqrtm", "an eigenvalue is zero, or real and negative")
        rest = _size(m - one)
        if rest <= n * eps(a) or (rest < 1e-3 and rest >= last / 2):
            return x
        last = rest
        scale = torch.ones_like(a[..., :1, :1])
        if rest > 1e-2:
            scale = torch.exp(linalg_slogdet(m)[1] / (-2 * n))[..., None, None]
        squared = scale * scale
        x = 0.5 * scale * times(x, one + inverse / squared)
        m = 0.5 * one + 0.25 * (squared * m + inverse / squared)
    raise _no_result("sqrtm", "an eigenvalue is real and negative, or too near to that")


@cache
def _nodes() -> list[tuple[float, float]]:
    """Places and weights of the quadrature over [0, 1] of 1 / (1 + t x), which gives log(1 + x) / x."""
    places, weights = np.polynomial.legendre.leggauss(NODES)
    return [((1 + p) / 2, w / 2) for p, w in zip(places.tolist(), weights.tolist())]


def _logarithm(a: torch.Tensor) -> torch.Tensor:
    """The principal logarithm by square roots and a sum of inverses (Higham, 2008, 11.5)."""
    if is_symmetric(a):
        if bool((linalg_eigh(a, compute_v=False)[0] <= 0).any()):
            raise _no_result("logm", "an eigenvalue is not positive")
        return _of_symmetric(a, torch.log)
    one, roots = identity(a), 0
    while _size(a - one) > NEAR:
        if roots == ROOTS:
            raise _no_result("logm", "its square roots do not come near the identity")
        a, roots = _root(a), roots + 1
    x = a - one
    total = torch.zeros_like(a)
    for place, weight in _nodes():
        total += weight * linalg_solve_ex(one + place * x, x)[0]
    return total * 2.0**roots


class OfMatrix(torch.autograd.Function):
    """A function of square matrices that is a power series."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """function(a)."""
        ctx.function = function
        ctx.save_for_backward(a)
        return function(a)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The corner of the function of [[a^T, g], [0, a^T]]."""
        (a,) = ctx.saved_tensors
        n = a.shape[-1]
        doubled = a.new_zeros((*a.shape[:-2], 2 * n, 2 * n))
        doubled[..., :n, :n] = doubled[..., n:, n:] = a.mT
        doubled[..., :n, n:] = grad_outputs[0]
        return OfMatrix.apply(doubled, ctx.function)[..., :n, n:], None


def _function(name: str, function: Callable[[torch.Tensor], torch.Tensor], what: str) -> Callable[[Any], Any]:
    def call(A: Any) -> Any:
        a, restore = batch(A, "A", square=True)
        return restore(OfMatrix.apply(a, function) if a.numel() else a.clone())

    call.__name__ = call.__qualname__ = name
    call.__doc__ = (
        f"{what} of each matrix of A [..., n, n], which is real. Differentiable, at equal eigenvalues too. "
        "float32, float64; integers in double. Raises InvalidValue for NaN, infinities, other shapes, and "
        "where the result is not real; InvalidType for complex elements."
    )
    return call


expm = _function("expm", linalg_matrix_exp, "The exponential")
sqrtm = _function("sqrtm", _root, "The principal square root")
logm = _function("logm", _logarithm, "The principal logarithm")

# ---- records --------------------------------------------------------------------------------------


def _by_eigenvalues(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    def reference(A: torch.Tensor) -> torch.Tensor:
        values, vectors = torch.linalg.eig(A)
        return (vectors @ torch.diag_embed(function(values)) @ torch.linalg.inv(vectors)).real

    return reference


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((3, 3), (2, 6, 6), (12, 12)):
        a = tensor(shape, torch.float64, -1, 1) / shape[-1]
        spread = torch.diag_embed(torch.linspace(1, 3, shape[-1], dtype=torch.float64))
        yield Sample(((a + spread).to(dtype),))


for _name, _call, _reference in (
    ("expm", expm, torch.exp),
    ("sqrtm", sqrtm, torch.sqrt),
    ("logm", logm, torch.log),
):
    register(
        Fused(
            _name,
            "matrix functions",
            _call,
            _by_eigenvalues(_reference),
            _samples,
            (matmul_kernel, panel_kernel, exchange_kernel, rotations_kernel),
            dtypes=PRECISE,
            differentiable=True,
        )
    )
