"""Householder QR: geqrf, linalg_qr, and products with Q by linalg_householder_product and ormqr. A kernel
factors a panel of columns; another applies a run of reflectors to blocks of columns, each on its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..iteration import power_of_two
from ..launching import Tiles, cdiv, launch
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .matrices import SERVED, copied, delivered, flat, matrices, served, triangle

TILES = Tiles(
    simt={"elements": 1024, "panel": 32, "columns": 32},
    simd={"elements": 1024, "panel": 32, "columns": 64},
)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def reflectors_kernel(
    a,
    tau,
    rows,
    columns,
    steps,
    batch_stride,
    row_stride,
    column_stride,
    tau_batch,
    BLOCK_P: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """a[batch] becomes R on and above the diagonal and the reflectors below (their first element, one,
    left out); tau[batch] are the reflectors' factors."""
    batch = tl.program_id(0).to(tl.int64)
    a += batch * batch_stride
    tau += batch * tau_batch
    lane_p = tl.arange(0, BLOCK_P)
    lane_m = tl.arange(0, BLOCK_M)
    lane_n = tl.arange(0, BLOCK_N)
    for k in range(steps):
        at_k = a + k.to(tl.int64) * column_stride
        largest = tl.zeros((BLOCK_P,), a.dtype.element_ty)
        for start in range(k + 1, rows, BLOCK_P):
            row = start + lane_p
            value = tl.load(at_k + row.to(tl.int64) * row_stride, mask=row < rows, other=0)
            largest = tl.maximum(largest, tl.abs(value))
        scale = tl.max(largest, 0)
        divisor = tl.where(scale > 0, scale, 1.0)
        squares = tl.zeros((BLOCK_P,), a.dtype.element_ty)
        for start in range(k + 1, rows, BLOCK_P):
            row = start + lane_p
            value = tl.load(at_k + row.to(tl.int64) * row_stride, mask=row < rows, other=0) / divisor
            squares += value * value
        below = tl.sum(squares, 0)
        head = at_k + k.to(tl.int64) * row_stride
        alpha = tl.load(head)
        size = divisor * tl.sqrt(below + (alpha / divisor) * (alpha / divisor))
        beta = tl.where(alpha > 0, -size, size)
        active = scale > 0
        factor = tl.where(active, (beta - alpha) / tl.where(active, beta, 1.0), 0.0)
        tl.store(tau + k, factor)
        if active:
            for start in range(k + 1, rows, BLOCK_P):
                row = start + lane_p
                at = at_k + row.to(tl.int64) * row_stride
                tl.store(at, tl.load(at, mask=row < rows) / (alpha - beta), mask=row < rows)
            tl.store(head, beta)
            tl.debug_barrier()
            for block in range(k + 1, columns, BLOCK_N):
                column = (block + lane_n).to(tl.int64)
                inside = column < columns
                total = tl.zeros((BLOCK_M, BLOCK_N), a.dtype.element_ty)
                for start in range(k + 1, rows, BLOCK_M):
                    row = (start + lane_m).to(tl.int64)
                    v = tl.load(at_k + row * row_stride, mask=row < rows, other=0)
                    value = tl.load(
                        a + (row * row_stride)[:, None] + (column * column_stride)[None, :],
                        mask=(row < rows)[:, None] & inside[None, :],
                        other=0,
                    )
                    total += v[:, None] * value
                at_top = a + k.to(tl.int64) * row_stride + column * column_stride
                top = tl.load(at_top, mask=inside, other=0)
                weight = factor * (top + tl.sum(total, 0))
                tl.store(at_top, top - weight, mask=inside)
                for start in range(k + 1, rows, BLOCK_M):
                    row = (start + lane_m).to(tl.int64)
                    mask = (row < rows)[:, None] & inside[None, :]
                    at = a + (row * row_stride)[:, None] + (column * column_stride)[None, :]
                    v = tl.load(at_k + row * row_stride, mask=row < rows, other=0)
                    value = tl.load(at, mask=mask, other=0)
                    tl.store(at, value - v[:, None] * weight[None, :], mask=mask)
        tl.debug_barrier()


@triton.jit
def apply_kernel(
    c,
    a,
    tau,
    rows,
    columns,
    steps,
    c_batch,
    c_row,
    c_column,
    a_batch,
    a_row,
    a_column,
    tau_batch,
    tau_stride,
    REVERSE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """c[:, block] = H(0) H(1) ... c[:, block] if REVERSE, else ... H(1) H(0) c[:, block], for the
    reflectors H below the diagonal of `a`; c [rows, columns]."""
    tiles = tl.cdiv(columns, BLOCK_N)
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    column = ((tl.program_id(0) % tiles) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    inside = column < columns
    c += batch * c_batch
    a += batch * a_batch
    lane_m = tl.arange(0, BLOCK_M)
    at_column = (column * c_column)[None, :]
    for step in range(steps):
        k = step
        if REVERSE:
            k = steps - 1 - step
        factor = tl.load(tau + batch * tau_batch + k.to(tl.int64) * tau_stride)
        at_k = a + k.to(tl.int64) * a_column
        total = tl.zeros((BLOCK_M, BLOCK_N), c.dtype.element_ty)
        for start in range(k, rows, BLOCK_M):
            row = (start + lane_m).to(tl.int64)
            v = tl.load(at_k + row * a_row, mask=(row < rows) & (row > k), other=0)
            v = tl.where(row == k, 1.0, v).to(c.dtype.element_ty)
            mask = (row < rows)[:, None] & inside[None, :]
            total += v[:, None] * tl.load(c + (row * c_row)[:, None] + at_column, mask=mask, other=0)
        weight = factor * tl.sum(total, 0)
        for start in range(k, rows, BLOCK_M):
            row = (start + lane_m).to(tl.int64)
            v = tl.load(at_k + row * a_row, mask=(row < rows) & (row > k), other=0)
            v = tl.where(row == k, 1.0, v).to(c.dtype.element_ty)
            mask = (row < rows)[:, None] & inside[None, :]
            at = c + (row * c_row)[:, None] + at_column
            tl.store(at, tl.load(at, mask=mask, other=0) - v[:, None] * weight[None, :], mask=mask)
        tl.debug_barrier()


# ---- forward --------------------------------------------------------------------------------------


def apply(c: torch.Tensor, a: torch.Tensor, tau: torch.Tensor, reverse: bool) -> torch.Tensor:
    """c [batch, rows, columns] becomes Q c if `reverse`, else Q^T c, for reflectors in `a`."""
    batch, rows, columns = c.shape
    tiles = TILES.on(c)
    block_n = min(power_of_two(columns), tiles["columns"])
    block_m = min(power_of_two(rows), tiles["elements"] // block_n)
    launch(
        apply_kernel,
        batch * cdiv(columns, block_n),
        c,
        a,
        tau,
        rows,
        columns,
        tau.shape[1],
        *c.stride(),
        *a.stride(),
        *tau.stride(),
        REVERSE=reverse,
        BLOCK_M=block_m,
        BLOCK_N=block_n,
    )
    return c


def factor(work: torch.Tensor) -> torch.Tensor:
    """work [batch, rows, columns] becomes R and reflectors; returns their factors [batch, steps]."""
    batch, rows, columns = work.shape
    steps = min(rows, columns)
    tau = torch.empty((batch, steps), dtype=work.dtype, device=work.device)
    if not work.numel():
        return tau
    tiles = TILES.on(work)
    size = tiles["panel"] if steps > 2 * tiles["panel"] else steps
    for start in range(0, steps, size):
        stop = min(start + size, steps)
        last = columns if size == steps else stop
        panel, factors = work[:, start:, start:last], tau[:, start:stop]
        block_n = min(power_of_two(last - start), tiles["columns"])
        launch(
            reflectors_kernel,
            batch,
            panel,
            factors,
            rows - start,
            last - start,
            stop - start,
            *panel.stride(),
            tau.stride(0),
            BLOCK_P=min(power_of_two(rows - start), 256),
            BLOCK_M=min(power_of_two(rows - start), tiles["elements"] // block_n),
            BLOCK_N=block_n,
        )
        if last < columns:
            apply(work[:, start:, last:], panel, factors, reverse=False)
    return tau


def geqrf(self: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(R on and above the diagonal and reflectors below it, the reflectors' factors)."""
    served("geqrf", self)
    if self.ndim < 2:
        raise ArgumentError(
            f"torch.geqrf: input must have at least 2 dimensions, but its shape is {list(self.shape)}"
        )
    work = copied(self)
    tau = factor(work)
    return work.view(self.shape), tau.view(*self.shape[:-2], tau.shape[-1])


def linalg_qr(A: torch.Tensor, mode: str = "reduced") -> tuple[torch.Tensor, torch.Tensor]:
    """(Q, R) with Q R = A; Q is square for mode "complete" and empty for "r"."""
    served("linalg.qr", A)
    matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or "
            "'complete'"
        )
    batch = A.shape[:-2]
    rows, columns = A.shape[-2:]
    steps = min(rows, columns)
    work = copied(A)
    tau = factor(work)
    height = rows if mode == "complete" else steps
    upper = torch.empty((len(work), height, columns), dtype=A.dtype, device=A.device)
    triangle(upper, work[:, :height], True)
    upper = upper.view(*batch, height, columns)
    if mode == "r":
        return torch.empty((0,), dtype=A.dtype, device=A.device), upper
    q = torch.empty((len(work), rows, height), dtype=A.dtype, device=A.device)
    triangle(q, None, False)
    if q.numel() and steps:
        apply(q, work, tau, reverse=True)
    return q.view(*batch, rows, height), upper


def linalg_householder_product(input: torch.Tensor, tau: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """The first columns of Q, from reflectors [..., rows, columns] and their factors [..., steps]."""
    name = "torch.linalg.householder_product"
    if input.ndim < 2:
        raise ArgumentError(f"{name}: input must have at least 2 dimensions.")
    if input.shape[-2] < input.shape[-1]:
        raise ArgumentError(f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]")
    if tau.ndim != input.ndim - 1 or tau.shape[:-1] != input.shape[:-2]:
        raise ArgumentError(
            f"{name}: Expected tau to have one dimension less than input, of the same batch, but got "
            f"{list(tau.shape)} and {list(input.shape)}"
        )
    if tau.shape[-1] > input.shape[-1]:
        raise ArgumentError(f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]")
    if tau.dtype != input.dtype:
        raise ArgumentError(f"{name}: tau dtype {tau.dtype} does not match input dtype {input.dtype}")
    served(name, input, tau)
    reflectors = flat(input)
    q = triangle(torch.empty(reflectors.shape, dtype=input.dtype, device=input.device), None, False)
    if q.numel() and tau.shape[-1]:
        apply(q, reflectors, tau.reshape(len(q), tau.shape[-1]), reverse=True)
    return delivered([q.view(input.shape)], out)


def ormqr(
    self: torch.Tensor,
    input2: torch.Tensor,
    input3: torch.Tensor,
    left: bool = True,
    transpose: bool = False,
    *,
    out: Any = None,
) -> torch.Tensor:
    """Q input3 for the reflectors in self and factors input2; input3 Q unless `left`; Q transposed if so."""
    name = "torch.ormqr"
    served(name, self, input2, input3)
    if self.ndim < 2 or input3.ndim < 2:
        raise ArgumentError(f"{name}: input and other must have at least 2 dimensions.")
    side = input3.shape[-2 if left else -1]
    if side < input2.shape[-1] or side != self.shape[-2]:
        raise ArgumentError(
            f"{name}: other.shape[{-2 if left else -1}] must be equal to input.shape[-2] and not less than "
            f"tau.shape[-1], but the shapes are {list(self.shape)}, {list(input2.shape)} and "
            f"{list(input3.shape)}"
        )
    if input2.shape[-1] > self.shape[-1]:
        raise ArgumentError(f"{name}: tau.shape[-1] must be less than or equal to input.shape[-1]")
    if input2.ndim != self.ndim - 1 or input3.ndim != self.ndim or input2.shape[:-1] != self.shape[:-2]:
        raise ArgumentError(
            f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got "
            f"{list(input2.shape)} and {list(self.shape)}"
        )
    if input3.shape[:-2] != self.shape[:-2]:
        raise ArgumentError(
            f"{name}: Expected batch dimensions of other to be equal to input.shape[:-2], but got "
            f"{list(input3.shape)} and {list(self.shape)}"
        )
    c = copied(input3)
    if c.numel() and input2.shape[-1]:
        tau = input2.reshape(len(c), input2.shape[-1])
        apply(c if left else c.mT, flat(self), tau, reverse=left != transpose)
    return delivered([c.view(input3.shape)], out)


# ---- record ---------------------------------------------------------------------------------------


def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 5, 3), (3, 3, 8), (1, 1), (0, 3, 3), (2, 0, 3), (2, 90, 100), (100, 20)):
        yield Sample((tensor(shape, dtype),))
    yield Sample((tensor((2, 6, 4), dtype).mT,))


def _modes(dtype: torch.dtype) -> Iterable[Sample]:
    for mode in ("reduced", "complete", "r"):
        for sample in _matrices(dtype):
            yield Sample((*sample.arguments, mode))


def _products(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 5, 3), (100, 70)):
        a, tau = torch.geqrf(tensor(shape, torch.float64))
        yield Sample((a.to(dtype), tau.to(dtype)))
    yield Sample((a.to(dtype), tau.to(dtype)[:10]))


def _multiplied(dtype: torch.dtype) -> Iterable[Sample]:
    a, tau = torch.geqrf(tensor((2, 5, 3), torch.float64))
    for left in (True, False):
        for transpose in (False, True):
            other = tensor((2, 5, 4) if left else (2, 4, 5), dtype)
            yield Sample((a.to(dtype), tau.to(dtype), other, left, transpose))


register(
    Operator(
        name="qr",
        overloads=(
            Overload("geqrf", geqrf, _matrices, takes_out=False),
            Overload("linalg_qr", linalg_qr, _modes, takes_out=False),
            Overload("linalg_householder_product", linalg_householder_product, _products),
            Overload("ormqr", ormqr, _multiplied),
        ),
        kernels=(reflectors_kernel, apply_kernel),
        dtypes=SERVED,
        tiles=TILES,
        benchmarks=(Benchmark("linalg_qr", lambda dtype: Sample((tensor((512, 512), dtype),))),),
        tolerance=64.0,
    )
)
