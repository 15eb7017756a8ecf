"""LU factors with partial pivoting: linalg_lu_factor_ex, linalg_lu and lu_unpack. A kernel factors a panel
of columns; the rest of the matrix gets the panel's row exchanges, a triangular solve and a matrix product."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import Tiles, cdiv, launch
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .matmul import product
from .matrices import SERVED, check_info, copied, flat, matrices, served, triangle
from .triangular import solve_in_place

TILES = Tiles(
    simt={"elements": 1024, "panel": 32, "columns": 64},
    simd={"elements": 1024, "panel": 32, "columns": 256},
)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def panel_kernel(
    a,
    pivots,
    info,
    rows,
    columns,
    steps,
    batch_stride,
    row_stride,
    pivot_batch,
    first,
    BLOCK_P: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """a[batch] [rows, columns] becomes its LU factors; pivots[batch] are the rows exchanged and
    info[batch] the first zero pivot, both counted from one and from `first`, the panel's place."""
    batch = tl.program_id(0).to(tl.int64)
    a += batch * batch_stride
    pivots += batch * pivot_batch
    lane_p = tl.arange(0, BLOCK_P)
    lane_m = tl.arange(0, BLOCK_M)
    lane_n = tl.arange(0, BLOCK_N)
    failed = first * 0
    if first > 0:
        failed = tl.load(info + batch)
    for k in range(steps):
        best = tl.full((BLOCK_P,), -1.0, a.dtype.element_ty)
        where = tl.zeros((BLOCK_P,), tl.int32) + k
        for start in range(k, rows, BLOCK_P):
            row = start + lane_p
            size = tl.abs(tl.load(a + row.to(tl.int64) * row_stride + k, mask=row < rows, other=0))
            larger = (size > best) & (row < rows)
            best = tl.where(larger, size, best)
            where = tl.where(larger, row, where)
        top = tl.max(best, 0)
        chosen = tl.min(tl.where(best == top, where, rows - 1), 0)
        tl.store(pivots + k, (chosen + first + 1).to(pivots.dtype.element_ty))
        at_k = a + k.to(tl.int64) * row_stride
        at_chosen = a + chosen.to(tl.int64) * row_stride
        if chosen != k:
            for start in range(0, columns, BLOCK_N):
                mask = start + lane_n < columns
                upper = tl.load(at_k + start + lane_n, mask=mask)
                lower = tl.load(at_chosen + start + lane_n, mask=mask)
                tl.debug_barrier()
                tl.store(at_k + start + lane_n, lower, mask=mask)
                tl.store(at_chosen + start + lane_n, upper, mask=mask)
        tl.debug_barrier()
        pivot = tl.load(at_k + k)
        if (pivot == 0) & (failed == 0):
            failed = first + k + 1
        for block in range(k + 1, rows, BLOCK_M):
            row = block + lane_m
            at = a + row.to(tl.int64) * row_stride
            factor = tl.load(at + k, mask=row < rows, other=0)
            if pivot != 0:
                factor = factor / pivot
            for start in range(k + 1, columns, BLOCK_N):
                column = start + lane_n
                mask = (row < rows)[:, None] & (column < columns)[None, :]
                right = tl.load(at_k + column, mask=column < columns, other=0)
                value = tl.load(at[:, None] + column[None, :], mask=mask, other=0)
                tl.store(at[:, None] + column[None, :], value - factor[:, None] * right[None, :], mask=mask)
            tl.debug_barrier()
            tl.store(at + k, factor, mask=row < rows)
        tl.debug_barrier()
    tl.store(info + batch, failed)


@triton.jit
def exchange_kernel(
    a,
    pivots,
    steps,
    columns,
    batch_stride,
    row_stride,
    column_stride,
    pivot_batch,
    first,
    REVERSE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Rows of a exchanged as `pivots` say, one after the other (from the last if REVERSE); pivots are
    counted from `first` + 1."""
    tiles = tl.cdiv(columns, BLOCK)
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    column = ((tl.program_id(0) % tiles) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    mask = column < columns
    a += batch * batch_stride
    for step in range(steps):
        k = step
        if REVERSE:
            k = steps - 1 - step
        chosen = tl.load(pivots + batch * pivot_batch + k).to(tl.int32) - (first + 1)
        if chosen != k:
            at_k = a + k.to(tl.int64) * row_stride + column * column_stride
            at_chosen = a + chosen.to(tl.int64) * row_stride + column * column_stride
            upper = tl.load(at_k, mask=mask)
            lower = tl.load(at_chosen, mask=mask)
            tl.store(at_k, lower, mask=mask)
            tl.store(at_chosen, upper, mask=mask)


# ---- forward --------------------------------------------------------------------------------------


def exchange(a: torch.Tensor, pivots: torch.Tensor, reverse: bool = False, first: int = 0) -> torch.Tensor:
    """Exchange rows of a [batch, rows, columns] in place as pivots [batch, steps] say."""
    if pivots.stride(1) != 1:
        pivots = pivots.contiguous()
    batch, _, columns = a.shape
    block = min(power_of_two(columns), TILES.on(a)["columns"])
    launch(
        exchange_kernel,
        batch * cdiv(columns, block),
        a,
        pivots,
        pivots.shape[1],
        columns,
        *a.stride(),
        pivots.stride(0),
        first,
        REVERSE=reverse,
        BLOCK=block,
    )
    return a


def factor(work: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Contiguous work [batch, rows, columns] becomes its LU factors; (pivots, info)."""
    batch, rows, columns = work.shape
    steps = min(rows, columns)
    pivots = torch.empty((batch, steps), dtype=torch.int32, device=work.device)
    info = torch.empty((batch,), dtype=torch.int32, device=work.device)
    if not work.numel():
        return pivots, info.zero_()
    tiles = TILES.on(work)
    size = tiles["panel"] if steps > 2 * tiles["panel"] else steps
    for start in range(0, steps, size):
        stop = min(start + size, steps)
        panel, chosen = work[:, start:, start:stop], pivots[:, start:stop]
        block_n = power_of_two(stop - start)
        launch(
            panel_kernel,
            batch,
            panel,
            chosen,
            info,
            rows - start,
            stop - start,
            stop - start,
            panel.stride(0),
            panel.stride(1),
            pivots.stride(0),
            start,
            BLOCK_P=min(power_of_two(rows - start), 256),
            BLOCK_N=block_n,
            BLOCK_M=min(power_of_two(rows - start), max(1, tiles["elements"] // block_n)),
        )
        if start:
            exchange(work[:, start:, :start], chosen, first=start)
        if stop < columns:
            right = exchange(work[:, start:, stop:], chosen, first=start)
            solve_in_place(right[:, : stop - start], panel[:, : stop - start], upper=False, unit=True)
            if stop < rows:
                rest = work[:, stop:, stop:]
                product(panel[:, stop - start :], right[:, : stop - start], rest, alpha=-1, out=rest)
    return pivots, info


def linalg_lu_factor_ex(
    A: torch.Tensor, *, pivot: bool = True, check_errors: bool = False, operator: str = "linalg.lu_factor"
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(L below and U on and above the diagonal, exchanged rows from one, info)."""
    served(operator, A)
    matrices(operator, A)
    if not pivot:
        if A.device.type == "cpu":
            raise ArgumentError(f"{operator}: LU without pivoting is not implemented on the CPU")
        raise NotServed(operator, "LU without pivoting is not served")
    work = copied(A)
    pivots, info = factor(work)
    info = info.view(A.shape[:-2])
    if check_errors:
        check_info(info, "torch.linalg.lu_factor_ex", A.ndim == 2)
    return work.view(A.shape), pivots.view(*A.shape[:-2], pivots.shape[-1]), info


def lu_unpack(
    LU_data: torch.Tensor, LU_pivots: torch.Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(P, L, U) with P L U = A; what is not asked for is an empty tensor."""
    served("lu_unpack", LU_data)
    if unpack_pivots and LU_pivots.dtype != torch.int32:
        raise ArgumentError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype."
        )
    batch = LU_data.shape[:-2]
    rows, columns = LU_data.shape[-2:]
    steps = min(rows, columns)

    def empty(*shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=LU_data.dtype, device=LU_data.device)

    permutation = lower = upper = empty(0)
    if unpack_data:
        data = flat(LU_data)
        lower, upper = empty(*batch, rows, steps), empty(*batch, steps, columns)
        triangle(flat(lower), data[:, :, :steps], False, unit=True)
        triangle(flat(upper), data[:, :steps], True)
    if unpack_pivots:
        permutation = empty(*batch, rows, rows)
        identity = triangle(flat(permutation), None, False)
        if permutation.numel() and steps:
            exchange(identity, LU_pivots.reshape(-1, steps), reverse=True)
    return permutation, lower, upper


def linalg_lu(A: torch.Tensor, *, pivot: bool = True) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(P, L, U) with P L U = A."""
    data, pivots, _ = linalg_lu_factor_ex(A, pivot=pivot, operator="linalg.lu")
    return lu_unpack(data, pivots)


# ---- record ---------------------------------------------------------------------------------------


def invertible(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Well-conditioned square matrices that need row exchanges."""
    n = shape[-1]
    return (tensor(shape, torch.float64, -1, 1) + 2 * torch.eye(n, dtype=torch.float64).flip(0)).to(dtype)


def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 5, 3), (3, 3, 8), (1, 1), (0, 3, 3), (2, 0, 3), (2, 100, 100)):
        yield Sample((tensor(shape, dtype),))
    yield Sample((tensor((2, 6, 4), dtype).mT,))
    yield Sample((torch.tensor([[0.0, 0.0], [0.0, 1.0]], dtype=dtype),))


def _factors(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 5, 3), (3, 3, 8)):
        data, pivots = torch.linalg.lu_factor(tensor(shape, torch.float64))
        yield Sample((data.to(dtype), pivots))
        yield Sample((data.to(dtype), pivots, True, False))


register(
    Operator(
        name="lu",
        overloads=(
            Overload("linalg_lu_factor_ex", linalg_lu_factor_ex, _matrices, takes_out=False),
            Overload("linalg_lu", linalg_lu, _matrices, takes_out=False),
            Overload("lu_unpack", lu_unpack, _factors, takes_out=False),
        ),
        kernels=(panel_kernel, exchange_kernel),
        dtypes=SERVED,
        tiles=TILES,
        benchmarks=(
            Benchmark("linalg_lu_factor_ex", lambda dtype: Sample((invertible((512, 512), dtype),))),
        ),
        tolerance=64.0,
    )
)
