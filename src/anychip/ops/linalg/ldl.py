"""Symmetric indefinite systems: linalg_ldl_factor_ex and linalg_ldl_solve. Factors L D L^T with pivots
of one or two rows, chosen as in Bunch and Kaufman, "Some stable methods for calculating inertia and
solving symmetric linear systems", 1977, and stored as LAPACK does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..iteration import power_of_two
from ..launching import Tiles, cdiv, launch
from ..registry import Operator, Overload, Sample, register
from ..samples import tensor
from .matrices import SERVED, broadcast_batch, check_info, copied, delivered, flat, matrices, served, triangle

TILES = Tiles(simt={"rows": 128, "columns": 64}, simd={"rows": 64, "columns": 64})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def largest_below(start_at, stride, first, last, skipped, BLOCK: tl.constexpr):
    """Size and place of the largest |start_at[i stride]| for first <= i < last, i != skipped."""
    lane = tl.arange(0, BLOCK)
    best = tl.full((BLOCK,), -1.0, start_at.dtype.element_ty)
    where = tl.zeros((BLOCK,), tl.int32) + first
    for start in range(first, last, BLOCK):
        i = start + lane
        inside = (i < last) & (i != skipped)
        size = tl.abs(tl.load(start_at + i.to(tl.int64) * stride, mask=inside, other=0))
        larger = inside & (size > best)
        best = tl.where(larger, size, best)
        where = tl.where(larger, i, where)
    top = tl.max(best, 0)
    return tl.maximum(top, 0.0), tl.min(tl.where(best == top, where, last), 0)


@triton.jit
def exchange_runs(x, x_stride, y, y_stride, count, BLOCK: tl.constexpr):
    """Exchange x[i] and y[i] for 0 <= i < count."""
    lane = tl.arange(0, BLOCK)
    for start in range(0, count, BLOCK):
        i = (start + lane).to(tl.int64)
        first = tl.load(x + i * x_stride, mask=i < count)
        second = tl.load(y + i * y_stride, mask=i < count)
        tl.debug_barrier()
        tl.store(x + i * x_stride, second, mask=i < count)
        tl.store(y + i * y_stride, first, mask=i < count)


@triton.jit
def ldl_kernel(a, pivots, info, n, BLOCK: tl.constexpr):
    """The lower triangle of a[batch] becomes L and D. A pivot of one row k has pivots[k] = p + 1 > 0 for
    the row p exchanged with it; two rows have the same negative number at both."""
    batch = tl.program_id(0).to(tl.int64)
    a += batch * n * n
    pivots += batch * n
    lane = tl.arange(0, BLOCK)
    failed = n * 0
    k = n * 0
    while k < n:
        column = a + k
        diagonal = tl.abs(tl.load(a + k.to(tl.int64) * (n + 1)))
        size, place = largest_below(column, n, k + 1, n, -1, BLOCK)
        chosen = k
        width = k * 0 + 1
        zero = tl.maximum(diagonal, size) == 0
        if zero:
            failed = tl.where(failed == 0, k + 1, failed)
        elif diagonal < 0.6403882032022076 * size:
            row = a + place.to(tl.int64) * n
            left, _ = largest_below(row, 1, k, place, -1, BLOCK)
            below, _ = largest_below(a + place, n, place + 1, n, -1, BLOCK)
            other = tl.maximum(left, below)
            if diagonal < 0.6403882032022076 * size * (size / other):
                chosen = place
                if tl.abs(tl.load(row + place)) < 0.6403882032022076 * other:
                    width = k * 0 + 2
        kk = k + width - 1
        if chosen != kk:
            exchange_runs(
                a + (chosen + 1).to(tl.int64) * n + kk,
                n,
                a + (chosen + 1).to(tl.int64) * n + chosen,
                n,
                n - chosen - 1,
                BLOCK,
            )
            exchange_runs(
                a + (kk + 1).to(tl.int64) * n + kk,
                n,
                a + chosen.to(tl.int64) * n + kk + 1,
                1,
                chosen - kk - 1,
                BLOCK,
            )
            exchange_runs(a + kk.to(tl.int64) * (n + 1), 1, a + chosen.to(tl.int64) * (n + 1), 1, 1, BLOCK)
            if width == 2:
                exchange_runs(
                    a + (k + 1).to(tl.int64) * n + k, 1, a + chosen.to(tl.int64) * n + k, 1, 1, BLOCK
                )
        tl.debug_barrier()
        if zero == 0:
            first = k + width
            pivot = tl.load(a + k.to(tl.int64) * (n + 1))
            d11 = pivot * 0 + 1
            d21 = d11
            d22 = d11
            if width == 2:
                d21 = tl.load(a + (k + 1).to(tl.int64) * n + k)
                d11 = tl.load(a + (k + 1).to(tl.int64) * (n + 1)) / d21
                d22 = pivot / d21
                d21 = 1.0 / ((d11 * d22 - 1.0) * d21)
            for i in range(first, n):
                row = a + i.to(tl.int64) * n
                mine = tl.load(row + k)
                mine_next = mine * 0
                if width == 2:
                    mine_next = tl.load(row + k + 1)
                for start in range(first, i + 1, BLOCK):
                    j = start + lane
                    inside = j <= i
                    at_j = a + j.to(tl.int64) * n + k
                    theirs = tl.load(at_j, mask=inside, other=0)
                    value = tl.load(row + j, mask=inside, other=0)
                    if width == 2:
                        theirs_next = tl.load(at_j + 1, mask=inside, other=0)
                        value -= mine * (d21 * (d11 * theirs - theirs_next))
                        value -= mine_next * (d21 * (d22 * theirs_next - theirs))
                    else:
                        value -= mine * (theirs / pivot)
                    tl.store(row + j, value, mask=inside)
            tl.debug_barrier()
            for start in range(first, n, BLOCK):
                j = start + lane
                inside = j < n
                at_j = a + j.to(tl.int64) * n + k
                theirs = tl.load(at_j, mask=inside, other=0)
                if width == 2:
                    theirs_next = tl.load(at_j + 1, mask=inside, other=0)
                    tl.store(at_j, d21 * (d11 * theirs - theirs_next), mask=inside)
                    tl.store(at_j + 1, d21 * (d22 * theirs_next - theirs), mask=inside)
                else:
                    tl.store(at_j, theirs / pivot, mask=inside)
        if width == 2:
            tl.store(pivots + k, -(chosen + 1))
            tl.store(pivots + k + 1, -(chosen + 1))
        else:
            tl.store(pivots + k, chosen + 1)
        k += width
        tl.debug_barrier()
    tl.store(info + batch, failed)


@triton.jit
def ldl_solve_kernel(
    x, a, pivots, n, columns, a_batch, a_row, a_column, BLOCK: tl.constexpr, BLOCK_N: tl.constexpr
):
    """x[batch, :, block] = the solution for the factors in `a`, in place."""
    tiles = tl.cdiv(columns, BLOCK_N)
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    column = ((tl.program_id(0) % tiles) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    inside = column < columns
    x += batch * n * columns
    a += batch * a_batch
    pivots += batch * n
    lane = tl.arange(0, BLOCK)
    k = n * 0
    while k < n:
        pivot = tl.load(pivots + k)
        width = tl.where(pivot > 0, 1, 2)
        chosen = tl.abs(pivot) - 1
        kk = k + width - 1
        at_kk = x + kk.to(tl.int64) * columns + column
        if chosen != kk:
            at_chosen = x + chosen.to(tl.int64) * columns + column
            upper = tl.load(at_kk, mask=inside)
            lower = tl.load(at_chosen, mask=inside)
            tl.store(at_kk, lower, mask=inside)
            tl.store(at_chosen, upper, mask=inside)
            tl.debug_barrier()
        at_k = x + k.to(tl.int64) * columns + column
        first = tl.load(at_k, mask=inside, other=0)
        second = tl.load(at_kk, mask=inside, other=0)
        for start in range(k + width, n, BLOCK):
            i = (start + lane).to(tl.int64)
            mask = (i < n)[:, None] & inside[None, :]
            at = x + (i * columns)[:, None] + column[None, :]
            value = tl.load(at, mask=mask, other=0)
            factor = tl.load(a + i * a_row + k.to(tl.int64) * a_column, mask=i < n, other=0)
            value -= factor[:, None] * first[None, :]
            if width == 2:
                factor = tl.load(a + i * a_row + kk.to(tl.int64) * a_column, mask=i < n, other=0)
                value -= factor[:, None] * second[None, :]
            tl.store(at, value, mask=mask)
        corner = tl.load(a + k.to(tl.int64) * (a_row + a_column))
        if width == 2:
            side = tl.load(a + kk.to(tl.int64) * a_row + k.to(tl.int64) * a_column)
            head = corner / side
            tail = tl.load(a + kk.to(tl.int64) * (a_row + a_column)) / side
            determinant = (head * tail - 1.0) * side
            tl.debug_barrier()
            tl.store(at_k, (tail * first - second) / determinant, mask=inside)
            tl.store(at_kk, (head * second - first) / determinant, mask=inside)
        else:
            tl.store(at_k, first / corner, mask=inside)
        tl.debug_barrier()
        k += width
    k = n - 1
    while k >= 0:
        pivot = tl.load(pivots + k)
        width = tl.where(pivot > 0, 1, 2)
        chosen = tl.abs(pivot) - 1
        low = k - width + 1
        first = tl.zeros((BLOCK, BLOCK_N), x.dtype.element_ty)
        second = tl.zeros((BLOCK, BLOCK_N), x.dtype.element_ty)
        for start in range(k + 1, n, BLOCK):
            i = (start + lane).to(tl.int64)
            mask = (i < n)[:, None] & inside[None, :]
            value = tl.load(x + (i * columns)[:, None] + column[None, :], mask=mask, other=0)
            factor = tl.load(a + i * a_row + k.to(tl.int64) * a_column, mask=i < n, other=0)
            first += factor[:, None] * value
            factor = tl.load(a + i * a_row + low.to(tl.int64) * a_column, mask=i < n, other=0)
            second += factor[:, None] * value
        at_k = x + k.to(tl.int64) * columns + column
        tl.store(at_k, tl.load(at_k, mask=inside, other=0) - tl.sum(first, 0), mask=inside)
        if width == 2:
            at_low = x + low.to(tl.int64) * columns + column
            tl.store(at_low, tl.load(at_low, mask=inside, other=0) - tl.sum(second, 0), mask=inside)
        tl.debug_barrier()
        if chosen != k:
            at_chosen = x + chosen.to(tl.int64) * columns + column
            upper = tl.load(at_k, mask=inside)
            lower = tl.load(at_chosen, mask=inside)
            tl.store(at_k, lower, mask=inside)
            tl.store(at_chosen, upper, mask=inside)
        tl.debug_barrier()
        k -= width


# ---- forward --------------------------------------------------------------------------------------


def linalg_ldl_factor_ex(
    self: torch.Tensor, *, hermitian: bool = False, check_errors: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(L below and D on and next to the diagonal, pivots, info) of symmetric matrices, of which the lower
    triangle is read."""
    name = "torch.linalg.ldl_factor_ex"
    served(name, self)
    matrices(name, self, square=True)
    source = flat(self)
    batch, n, _ = source.shape
    work = triangle(torch.empty(source.shape, dtype=self.dtype, device=self.device), source, False)
    pivots = torch.empty((batch, n), dtype=torch.int32, device=self.device)
    info = torch.empty((batch,), dtype=torch.int32, device=self.device)
    if work.numel():
        block = min(power_of_two(n), TILES.on(self)["rows"])
        launch(ldl_kernel, batch, work, pivots, info, n, BLOCK=block)
    else:
        info.zero_()
    info = info.view(self.shape[:-2])
    if check_errors:
        check_info(info, name, self.ndim == 2)
    return work.view(self.shape), pivots.view(self.shape[:-1]), info


def linalg_ldl_solve(
    LD: torch.Tensor, pivots: torch.Tensor, B: torch.Tensor, *, hermitian: bool = False, out: Any = None
) -> torch.Tensor:
    """X with A X = B for the factors of A."""
    name = "torch.linalg.ldl_solve"
    matrices(name, LD, square=True)
    if B.ndim < 2 or B.shape[-2] != LD.shape[-2]:
        raise ArgumentError(
            f"{name}: Expected LD.size(-2) to be the same as B.size(-2), but got {list(LD.shape)} and "
            f"{list(B.shape)}"
        )
    if pivots.shape != LD.shape[:-1]:
        raise ArgumentError(
            f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape "
            f"{list(pivots.shape)}"
        )
    if pivots.dtype.is_floating_point or pivots.dtype.is_complex or pivots.dtype == torch.bool:
        raise ArgumentError(f"{name}: Expected pivots to be integers. Got {pivots.dtype}")
    served(name, LD, B)
    batch = broadcast_batch(LD, B)
    n, columns = B.shape[-2:]
    x = copied(B.expand(*batch, n, columns))
    a = flat(LD.expand(*batch, n, n))
    order = pivots.expand(*batch, n).to(torch.int32).contiguous()
    if x.numel():
        tiles = TILES.on(x)
        block_n = min(power_of_two(columns), tiles["columns"])
        launch(
            ldl_solve_kernel,
            len(x) * cdiv(columns, block_n),
            x,
            a,
            order,
            n,
            columns,
            *a.stride(),
            BLOCK=min(power_of_two(n), 16),
            BLOCK_N=block_n,
        )
    return delivered([x.view(*batch, n, columns)], out)


# ---- record ---------------------------------------------------------------------------------------


def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 3, 7, 7), (1, 1), (0, 3, 3), (2, 0, 0), (30, 30)):
        a = tensor(shape, dtype)
        yield Sample((a + a.mT,))
    yield Sample((torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]], dtype=dtype),))


def _systems(dtype: torch.dtype) -> Iterable[Sample]:
    for seed in range(3):
        a = tensor((2, 9, 9), torch.float64, seed=seed)
        data, pivots = torch.linalg.ldl_factor(a + a.mT)
        yield Sample((data.to(dtype), pivots, tensor((2, 9, 4), dtype)))


register(
    Operator(
        name="ldl",
        overloads=(
            Overload("linalg_ldl_factor_ex", linalg_ldl_factor_ex, _matrices, takes_out=False),
            Overload("linalg_ldl_solve", linalg_ldl_solve, _systems),
        ),
        kernels=(ldl_kernel, ldl_solve_kernel),
        dtypes=SERVED,
        tiles=TILES,
        tolerance=512.0,
    )
)
