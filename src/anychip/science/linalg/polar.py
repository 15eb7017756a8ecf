"""Polar factors and projectors: functions of matrices that are smooth where singular values or eigenvalues
are equal, and so have finite gradients there, which those of the decompositions are not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ...ops.linalg.jacobi import linalg_eigh, linalg_svd
from ...ops.linalg.jacobi_kernels import rotations_kernel
from ...ops.linalg.matmul_kernels import matmul_kernel
from ...ops.samples import tensor
from ..errors import InvalidValue
from ..registry import PRECISE, Fused, Sample, register
from .batches import TINIEST, Times, batch, restored, times

# ---- forward and backward -------------------------------------------------------------------------


def _transposed_sum(x: torch.Tensor, sign: float) -> torch.Tensor:
    return x + sign * x.mT


class Polar(torch.autograd.Function):
    """a = u p of [..., m, n] with m >= n: u with orthonormal columns, p symmetric and not negative."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(u, p)."""
        left, sizes, right = linalg_svd(a)
        ctx.save_for_backward(left, sizes, right)
        return times(left, right), times(right.mT * sizes[..., None, :], right)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """For B = W^T da V, with a = W S V^T: du = W (B - B^T) / (s_i + s_j) V^T, and what leaves the space
        of W; dp follows from a = u p."""
        of_u, of_p = grad_outputs
        w, s, vt = ctx.saved_tensors
        sums = s[..., :, None] + s[..., None, :]
        share = 1 / sums.clamp(min=TINIEST if s.dtype == torch.float64 else torch.finfo(s.dtype).tiny)
        turned = times(times(w.mT, of_u), vt.mT)
        symmetric = 0.5 * _transposed_sum(times(times(vt, of_p), vt.mT), 1.0)
        inner = share * (turned - symmetric * s[..., None, :])
        found = times(times(w, _transposed_sum(inner, -1.0) + symmetric), vt)
        if w.shape[-2] > w.shape[-1]:
            outer = times(of_u, vt.mT) / s[..., None, :]
            found = found + times(outer - times(w, times(w.mT, outer)), vt)
        return (found,)


class Projector(torch.autograd.Function):
    """Onto the space of the eigenvectors of the k smallest eigenvalues of symmetric [..., n, n]."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, k: int) -> torch.Tensor:
        """The projector [..., n, n]."""
        values, vectors = linalg_eigh(a)
        ctx.k = k
        ctx.save_for_backward(values, vectors)
        chosen = vectors[..., :k]
        return times(chosen, chosen.mT)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Only pairs of an eigenvalue inside and one outside count."""
        values, v = ctx.saved_tensors
        k = ctx.k
        inner = times(times(v.mT, 0.5 * _transposed_sum(grad_outputs[0], 1.0)), v)
        found = torch.zeros_like(inner)
        gaps = values[..., :k, None] - values[..., None, k:]
        found[..., :k, k:] = inner[..., :k, k:] / gaps
        found[..., k:, :k] = found[..., :k, k:].mT
        return times(times(v, found), v.mT), None


# ---- names ----------------------------------------------------------------------------------------


def polar(a: Any, side: str = "right") -> tuple[Any, Any]:
    """u, p of a [..., m, n]: a = u p for `side` "right", p u for "left", p symmetric with eigenvalues that
    are not negative, u with orthonormal columns (rows where m < n). Differentiable where a has full rank, at
    equal singular values too. float32, float64. Raises InvalidValue, InvalidType."""
    if side not in ("left", "right"):
        raise InvalidValue("`side` must be either 'right' or 'left'")
    x, restore = batch(a, "a")
    tall = x.shape[-2] >= x.shape[-1]
    u, p = Polar.apply(x if tall else x.mT)
    u = u if tall else u.mT
    if tall and side == "left":
        p = Times.apply(x, u.mT)
    elif not tall and side == "right":
        p = Times.apply(u.mT, x)
    u, p = restored(restore, u, p)
    return u, p


def spectral_projector(a: Any, k: int) -> Any:
    """The projector [..., n, n] onto the space of the k smallest eigenvalues of symmetric a [..., n, n], of
    which the lower triangle is read. Differentiable where eigenvalue k differs from the next; equal ones on
    either side do not matter. float32, float64. Raises InvalidValue, InvalidType."""
    x, restore = batch(a, "a", square=True)
    if not 0 <= k <= x.shape[-1]:
        raise InvalidValue(f"k must be between 0 and n = {x.shape[-1]}, not {k}")
    return restore(Projector.apply(x, k))


# ---- records --------------------------------------------------------------------------------------


def _polar(a: torch.Tensor, side: str = "right") -> tuple[torch.Tensor, torch.Tensor]:
    u, s, vt = torch.linalg.svd(a, full_matrices=False)
    p = (vt.mT * s[..., None, :]) @ vt if side == "right" else (u * s[..., None, :]) @ u.mT
    return u @ vt, p


def _projector(a: torch.Tensor, k: int) -> torch.Tensor:
    v = torch.linalg.eigh(a)[1][..., :k]
    return v @ v.mT


def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, side in (((4, 4), "right"), ((2, 7, 3), "right"), ((6, 3), "left"), ((3, 5), "right")):
        a = tensor(shape, torch.float64, -0.3, 0.3)
        yield Sample(((a + torch.eye(*shape[-2:], dtype=torch.float64)).to(dtype), side))


def _symmetric(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, k in (((4, 4), 2), ((2, 6, 6), 1)):
        a = tensor(shape, torch.float64, -0.2, 0.2)
        spread = torch.diag_embed(torch.arange(shape[-1], dtype=torch.float64))
        yield Sample(((a + a.mT + spread).to(dtype), k))


for _name, _call, _reference, _drawn in (
    ("polar", polar, _polar, _matrices),
    ("spectral_projector", spectral_projector, _projector, _symmetric),
):
    register(
        Fused(
            _name,
            "polar factors",
            _call,
            _reference,
            _drawn,
            (rotations_kernel, matmul_kernel),
            dtypes=PRECISE,
            differentiable=True,
        )
    )
