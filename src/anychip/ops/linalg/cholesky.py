"""Cholesky factors and what is solved with them: linalg_cholesky_ex, cholesky, cholesky_inverse and
_cholesky_solve_helper. A kernel factors a block column after column; larger matrices go block by block,
with a triangular solve and a matrix product for what lies below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..iteration import power_of_two
from ..launching import Tiles, launch
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .matmul import product
from .matrices import (
    SERVED,
    broadcast_batch,
    check_info,
    copied,
    delivered,
    flat,
    matrices,
    served,
    triangle,
    triangle_kernel,
)
from .triangular import solve_in_place, solve_kernel

TILES = Tiles(simt={"elements": 2048, "diagonal": 64}, simd={"elements": 1024, "diagonal": 64})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def cholesky_kernel(
    a, info, n, batch_stride, row_stride, first, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr
):
    """The lower triangle of a[batch] becomes its Cholesky factor; info[batch] is the order of the first
    minor that is not positive, counted from `first`, and the columns from there on stay as they were."""
    batch = tl.program_id(0).to(tl.int64)
    a += batch * batch_stride
    lane_m = tl.arange(0, BLOCK_M)
    lane_k = tl.arange(0, BLOCK_K)
    failed = first * 0
    if first > 0:
        failed = tl.load(info + batch)
    for j in range(n):
        if failed == 0:
            row_j = a + j.to(tl.int64) * row_stride
            squares = tl.zeros((BLOCK_K,), a.dtype.element_ty)
            for start in range(0, j, BLOCK_K):
                known = tl.load(row_j + start + lane_k, mask=start + lane_k < j, other=0)
                squares += known * known
            pivot = tl.load(row_j + j) - tl.sum(squares, 0)
            tl.debug_barrier()
            if pivot > 0:
                root = tl.sqrt(pivot)
                tl.store(row_j + j, root)
                for block in range(j + 1, n, BLOCK_M):
                    row = block + lane_m
                    at = a + row.to(tl.int64) * row_stride
                    total = tl.zeros((BLOCK_M, BLOCK_K), a.dtype.element_ty)
                    for start in range(0, j, BLOCK_K):
                        inside = start + lane_k < j
                        known = tl.load(row_j + start + lane_k, mask=inside, other=0)
                        left = tl.load(
                            at[:, None] + (start + lane_k)[None, :],
                            mask=(row < n)[:, None] & inside[None, :],
                            other=0,
                        )
                        total += left * known[None, :]
                    value = tl.load(at + j, mask=row < n, other=0) - tl.sum(total, 1)
                    tl.store(at + j, value / root, mask=row < n)
            else:
                failed = first + j + 1
            tl.debug_barrier()
    tl.store(info + batch, failed)


# ---- forward --------------------------------------------------------------------------------------


def factor(work: torch.Tensor) -> torch.Tensor:
    """The lower triangle of contiguous work [batch, n, n] becomes the factor; returns info [batch]."""
    batch, n, _ = work.shape
    info = torch.empty((batch,), dtype=torch.int32, device=work.device)
    if not n:
        return info.zero_()
    tiles = TILES.on(work)
    size = tiles["diagonal"]
    for start in range(0, n, size):
        stop = min(start + size, n)
        block = work[:, start:stop, start:stop]
        block_k = min(power_of_two(stop - start), 32)
        launch(
            cholesky_kernel,
            batch,
            block,
            info,
            stop - start,
            block.stride(0),
            block.stride(1),
            start,
            BLOCK_M=min(power_of_two(stop - start), tiles["elements"] // block_k),
            BLOCK_K=block_k,
        )
        if stop < n:
            below = work[:, stop:, start:stop]
            solve_in_place(below.mT, block, upper=False)
            rest = work[:, stop:, stop:]
            product(below, below.mT, rest, alpha=-1, out=rest)
    return info


def linalg_cholesky_ex(
    self: torch.Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None
) -> Any:
    """(L with L L^T = self, or its transpose if `upper`; info). Only one triangle of self is read."""
    served("linalg.cholesky", self)
    matrices("linalg.cholesky", self, square=True)
    source = flat(self.mT if upper else self)
    work = triangle(torch.empty(source.shape, dtype=self.dtype, device=self.device), source, False)
    info = factor(work).view(self.shape[:-2])
    if len(work) and work.shape[1] > TILES.on(self)["diagonal"]:
        work = triangle(torch.empty_like(work), work, False)
    if check_errors:
        check_info(info, "linalg.cholesky_ex", self.ndim == 2)
    result = work.view(self.shape)
    return delivered([result.mT if upper else result, info], out)


def cholesky(self: torch.Tensor, upper: bool = False, *, out: Any = None) -> torch.Tensor:
    """The factor alone; an error if a matrix is not positive-definite."""
    result, info = linalg_cholesky_ex(self, upper=upper)
    check_info(info, "cholesky", self.ndim == 2)
    return delivered([result], out)


def cholesky_solve_helper(self: torch.Tensor, A: torch.Tensor, upper: bool) -> torch.Tensor:
    """X with A A^T X = self for a factor A (A^T A X = self if `upper`)."""
    served("cholesky_solve", self, A)
    batch = broadcast_batch(self, A)
    x = copied(self.expand(*batch, *self.shape[-2:]))
    lower = flat((A.mT if upper else A).expand(*batch, *A.shape[-2:]))
    solve_in_place(x, lower, upper=False)
    solve_in_place(x, lower.mT, upper=True)
    return x.view(*batch, *self.shape[-2:])


def cholesky_inverse(self: torch.Tensor, upper: bool = False, *, out: Any = None) -> torch.Tensor:
    """The inverse of A A^T for a factor A (of A^T A if `upper`)."""
    matrices("cholesky_inverse", self, square=True)
    served("cholesky_inverse", self)
    batch = flat(self)
    identity = triangle(torch.empty(batch.shape, dtype=self.dtype, device=self.device), None, False)
    return delivered([cholesky_solve_helper(identity.view(self.shape), self, upper)], out)


# ---- record ---------------------------------------------------------------------------------------


def positive(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Well-conditioned positive-definite matrices."""
    a = tensor(shape, torch.float64, -1, 1)
    return (a @ a.mT / shape[-1] + torch.eye(shape[-1], dtype=torch.float64)).to(dtype)


def _factors(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 3, 7, 7), (1, 1), (0, 3, 3), (2, 0, 0), (2, 150, 150)):
        yield Sample((positive(shape, dtype),))
        yield Sample((positive(shape, dtype).mT,), {"upper": True})


def _checked_factors(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((positive((3, 5, 5), dtype),))
    yield Sample((positive((3, 5, 5), dtype), True))


def _inverses(dtype: torch.dtype) -> Iterable[Sample]:
    for upper in (False, True):
        a = torch.linalg.cholesky(positive((2, 6, 6), torch.float64), upper=upper)
        yield Sample((a.to(dtype), upper))


def _solves(dtype: torch.dtype) -> Iterable[Sample]:
    for upper in (False, True):
        a = torch.linalg.cholesky(positive((2, 6, 6), torch.float64), upper=upper)
        yield Sample((tensor((2, 6, 3), dtype), a.to(dtype), upper))


register(
    Operator(
        name="cholesky",
        overloads=(
            Overload("linalg_cholesky_ex", linalg_cholesky_ex, _factors),
            Overload("cholesky", cholesky, _checked_factors),
            Overload("cholesky_inverse", cholesky_inverse, _inverses),
            Overload("_cholesky_solve_helper", cholesky_solve_helper, _solves, takes_out=False),
        ),
        kernels=(cholesky_kernel, solve_kernel, triangle_kernel),
        dtypes=SERVED,
        tiles=TILES,
        benchmarks=(Benchmark("linalg_cholesky_ex", lambda dtype: Sample((positive((512, 512), dtype),))),),
        tolerance=16.0,
    )
)
