"""QR factors with or without exchanged columns, under the name and signature of `scipy.linalg.qr` (Businger
and Golub, "Linear least squares solutions by Householder transformations", 1965)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.iteration import power_of_two
from ...ops.launching import launch
from ...ops.linalg.matmul_kernels import matmul_kernel
from ...ops.linalg.matrices import copied, triangle
from ...ops.linalg.qr import apply, factor
from ...ops.linalg.triangular import linalg_solve_triangular
from ...ops.samples import tensor
from ..errors import InvalidValue, NotProvided
from ..registry import PRECISE, Fused, Sample, register
from .batches import batch, restored, times

BLOCK = 64

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def pivoted_kernel(a, tau, order, sizes, rows, columns, steps, BLOCK: tl.constexpr):
    """a [batch, columns, rows], each column contiguous, becomes R on and above the diagonal and reflectors
    below; tau [batch, steps] their factors, order [batch, columns] where each column came from; `sizes`
    [batch, columns] is scratch. The column with the largest rest goes first; rests are summed anew at each
    step. One program a matrix."""
    batch = tl.program_id(0).to(tl.int64)
    TYPE: tl.constexpr = a.dtype.element_ty
    a += batch * columns * rows
    tau += batch * steps
    order += batch * columns
    sizes += batch * columns
    lane = tl.arange(0, BLOCK)
    for j in range(columns):
        squares = tl.zeros((BLOCK,), TYPE)
        for start in range(0, rows, BLOCK):
            value = tl.load(a + j.to(tl.int64) * rows + start + lane, mask=start + lane < rows, other=0)
            squares += value * value
        tl.store(sizes + j, tl.sum(squares, 0))
        tl.store(order + j, j.to(tl.int64))
    for k in range(steps):
        best = tl.load(sizes + k)
        chosen = k
        for j in range(k + 1, columns):
            size = tl.load(sizes + j)
            if size > best:
                best = size
                chosen = j
        mine = a + k.to(tl.int64) * rows
        if chosen != k:
            theirs = a + chosen.to(tl.int64) * rows
            for start in range(0, rows, BLOCK):
                mask = start + lane < rows
                first = tl.load(mine + start + lane, mask=mask)
                second = tl.load(theirs + start + lane, mask=mask)
                tl.store(mine + start + lane, second, mask=mask)
                tl.store(theirs + start + lane, first, mask=mask)
            tl.store(sizes + chosen, tl.load(sizes + k))
            name = tl.load(order + k)
            tl.store(order + k, tl.load(order + chosen))
            tl.store(order + chosen, name)
        tl.debug_barrier()
        squares = tl.zeros((BLOCK,), TYPE)
        for start in range(k + 1, rows, BLOCK):
            value = tl.load(mine + start + lane, mask=start + lane < rows, other=0)
            squares += value * value
        below = tl.sum(squares, 0)
        alpha = tl.load(mine + k)
        size = tl.sqrt(below + alpha * alpha)
        beta = tl.where(alpha > 0, -size, size)
        active = below > 0
        weight = tl.where(active, (beta - alpha) / tl.where(active, beta, 1.0), 0.0)
        tl.store(tau + k, weight)
        if active:
            for start in range(k + 1, rows, BLOCK):
                mask = start + lane < rows
                value = tl.load(mine + start + lane, mask=mask, other=0)
                tl.store(mine + start + lane, value / (alpha - beta), mask=mask)
            tl.store(mine + k, beta)
        tl.debug_barrier()
        for j in range(k + 1, columns):
            theirs = a + j.to(tl.int64) * rows
            sums = tl.zeros((BLOCK,), TYPE)
            for start in range(k + 1, rows, BLOCK):
                mask = start + lane < rows
                v = tl.load(mine + start + lane, mask=mask, other=0)
                sums += v * tl.load(theirs + start + lane, mask=mask, other=0)
            top = tl.load(theirs + k)
            step = weight * (top + tl.sum(sums, 0))
            tl.store(theirs + k, top - step)
            squares = tl.zeros((BLOCK,), TYPE)
            for start in range(k + 1, rows, BLOCK):
                mask = start + lane < rows
                v = tl.load(mine + start + lane, mask=mask, other=0)
                value = tl.load(theirs + start + lane, mask=mask, other=0) - step * v
                tl.store(theirs + start + lane, value, mask=mask)
                squares += tl.where(mask, value * value, 0)
            tl.store(sizes + j, tl.sum(squares, 0))
        tl.debug_barrier()


# ---- forward and backward -------------------------------------------------------------------------


def _reflected(a: torch.Tensor, pivoting: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """R and reflectors [batch, rows, columns], their factors, and the order of columns."""
    batch, rows, columns = a.shape
    if not pivoting:
        work = copied(a)
        return work, factor(work), torch.arange(columns, device=a.device).expand(batch, columns)
    steps = min(rows, columns)
    work = copied(a.mT)
    tau, sizes = a.new_empty((batch, steps)), a.new_empty((batch, columns))
    order = torch.empty((batch, columns), dtype=torch.int64, device=a.device)
    if work.numel():
        block = min(BLOCK, max(2, power_of_two(rows)))
        launch(pivoted_kernel, batch, work, tau, order, sizes, rows, columns, steps, BLOCK=block)
    return work.mT, tau, order


class Pivoted(torch.autograd.Function):
    """Q R = a with its columns in an order."""

    @staticmethod
    def forward(
        ctx: Any, a: torch.Tensor, height: int, pivoting: bool
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """q [batch, rows, height], r [batch, height, columns], the order [batch, columns]."""
        batch, rows, columns = a.shape
        work, tau, order = _reflected(a, pivoting)
        r = triangle(a.new_empty((batch, height, columns)), work[:, :height], True)
        q = triangle(a.new_empty((batch, rows, height)), None, False)
        if q.numel() and tau.shape[-1]:
            apply(q, work, tau, reverse=True)
        ctx.save_for_backward(q, r, order)
        ctx.mark_non_differentiable(order)
        return q, r, order

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """(g_Q + Q copyltu(R g_R^T - g_Q^T Q)) R^-T, for a square R, in the given order of columns."""
        q, r, order = ctx.saved_tensors
        of_q, of_r, _ = grad_outputs
        if r.shape[-1] != r.shape[-2]:
            raise NotProvided("qr has a gradient only in the mode economic, of matrices not wider than high")
        m = times(r, of_r.mT) - times(of_q.mT, q)
        m = torch.tril(m) + torch.tril(m, -1).mT
        found = linalg_solve_triangular(r.mT, of_q + times(q, m), upper=False, left=False)
        out = torch.empty_like(found)
        out.scatter_(2, order[:, None, :].expand(found.shape), found)
        return out, None, None


# ---- names ----------------------------------------------------------------------------------------

MODES = ("full", "r", "economic", "raw")


def qr(
    a: Any,
    overwrite_a: bool = False,
    lwork: int | None = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> Any:
    """q, r (and the order of columns, for `pivoting`) of a [..., m, n]: q r = a[..., order], q square for the
    mode "full", min(m, n) wide for "economic"; r alone for "r". With `pivoting` the diagonal of r descends in
    absolute value. `overwrite_a` and `lwork` are taken and change nothing. Differentiable in the mode
    economic for m >= n and full rank. float32, float64. Raises InvalidValue, InvalidType, and NotProvided for
    the mode raw."""
    if mode not in MODES:
        raise InvalidValue("Mode argument should be one of ['full', 'r', 'economic', 'raw']")
    if mode == "raw":
        raise NotProvided("qr does not serve the mode raw", "torch.geqrf gives reflectors.")
    x, restore = batch(a, "a", check_finite=check_finite)
    lead, (rows, columns) = x.shape[:-2], x.shape[-2:]
    height = min(rows, columns) if mode == "economic" else rows
    q, r, order = Pivoted.apply(x.reshape(-1, rows, columns), height, pivoting)
    q, r, order = (
        q.reshape(*lead, rows, height),
        r.reshape(*lead, height, columns),
        order.reshape(*lead, columns),
    )
    results = ((r,) if mode == "r" else (q, r)) + ((order,) if pivoting else ())
    return restored(restore, *results)


# ---- records --------------------------------------------------------------------------------------


def pivoted_qr(a: Any) -> tuple[Any, Any]:
    """r^T r [..., n, n] and q q^T [..., m, m] of the factors of `qr` with pivoting and mode economic, which
    do not depend on signs. Differentiable."""
    q, r, order = qr(a, mode="economic", pivoting=True)
    inverse = torch.argsort(torch.as_tensor(order), -1)
    r = torch.take_along_dim(r, inverse[..., None, :].expand(r.shape), -1)
    return r.mT @ r, q @ q.mT


def _reference(a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    squared = a.mT @ a
    if a.shape[-2] == a.shape[-1]:  # whatever a is
        return squared, torch.eye(a.shape[-1], dtype=a.dtype, device=a.device).expand(a.shape) + 0 * a
    return squared, a @ torch.linalg.solve(squared, a.mT)


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 3), (2, 6, 6), (9, 2)):
        a = tensor(shape, torch.float64, -0.3, 0.3)
        spread = torch.eye(*shape[-2:], dtype=torch.float64) * torch.arange(1, shape[-1] + 1)
        yield Sample(((a + spread).to(dtype),))


register(
    Fused(
        "pivoted_qr",
        "orthogonal factors",
        pivoted_qr,
        _reference,
        _samples,
        (pivoted_kernel, matmul_kernel),
        dtypes=PRECISE,
        differentiable=True,
    )
)
