"""Triangular systems: linalg_solve_triangular and triangular_solve. A kernel solves for a block of columns
row after row; larger matrices are solved in diagonal blocks with matrix products between."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..iteration import power_of_two
from ..launching import Plan, Plans, Tiles, cdiv, signature
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .matmul import product
from .matrices import SERVED, broadcast_batch, copied, delivered, flat, matrices, served
from .references import solve_triangular

TILES = Tiles(
    simt={"elements": 1024, "columns": 32, "diagonal": 64, "few": 64},
    simd={"elements": 512, "columns": 64, "diagonal": 64, "few": 512},
)
"""`diagonal` is the side of the blocks that the kernel solves, `few` that with no more columns than FEW."""
FEW = 16
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def solve_kernel(
    x,
    a,
    n,
    columns,
    x_batch,
    x_row,
    x_column,
    a_batch,
    a_row,
    a_column,
    UPPER: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_J: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """x[:, block] = inverse(a) x[:, block] for a triangular a, in place, a row at a time."""
    tiles = tl.cdiv(columns, BLOCK_K)
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    first = (tl.program_id(0) % tiles).to(tl.int64) * BLOCK_K
    x += batch * x_batch + first * x_column
    a += batch * a_batch
    lane_j = tl.arange(0, BLOCK_J)
    lane_k = tl.arange(0, BLOCK_K)
    inside_k = lane_k < columns - first
    at_k = lane_k.to(tl.int64) * x_column
    for step in range(n):
        row = step
        start = step * 0
        stop = step
        if UPPER:
            row = n - 1 - step
            start = row + 1
            stop = n
        total = tl.zeros((BLOCK_J, BLOCK_K), x.dtype.element_ty)
        for block in range(start, stop, BLOCK_J):
            j = (block + lane_j).to(tl.int64)
            inside_j = block + lane_j < stop
            factor = tl.load(a + row.to(tl.int64) * a_row + j * a_column, mask=inside_j, other=0)
            known = tl.load(
                x + (j * x_row)[:, None] + at_k[None, :], mask=inside_j[:, None] & inside_k[None, :], other=0
            )
            total += factor[:, None] * known
        at = x + row.to(tl.int64) * x_row + at_k
        result = tl.load(at, mask=inside_k, other=0) - tl.sum(total, 0)
        if not UNIT:
            result = result / tl.load(a + row.to(tl.int64) * (a_row + a_column))
        tl.store(at, result, mask=inside_k)
        tl.debug_barrier()


# ---- forward --------------------------------------------------------------------------------------


def _solve_block(x: torch.Tensor, a: torch.Tensor, upper: bool, unit: bool) -> None:
    key = (signature(x, a), upper, unit)
    plan = PLANS.get(key)
    if plan is None:
        batch, n, columns = x.shape
        tiles = TILES.on(x)
        block_k = 1 if columns == 1 else max(FEW, min(power_of_two(columns), tiles["columns"]))
        block_j = min(power_of_two(n), tiles["elements"] // block_k)
        constants = {"UPPER": upper, "UNIT": unit, "BLOCK_J": block_j, "BLOCK_K": block_k}
        sizes = (n, columns, *x.stride(), *a.stride())
        plan = PLANS.remember(key, Plan(solve_kernel, batch * cdiv(columns, block_k), sizes, constants))
    plan.launch(x, a)


def solve_in_place(x: torch.Tensor, a: torch.Tensor, upper: bool, unit: bool = False) -> torch.Tensor:
    """x [batch, n, columns] becomes inverse(a) x for triangular a [batch, n, n]; any strides."""
    n = x.shape[1]
    size = TILES.on(x)["few" if x.shape[2] <= FEW else "diagonal"]
    if not x.numel():
        return x
    starts = list(range(0, n, size))
    for start in reversed(starts) if upper else starts:
        stop = min(start + size, n)
        _solve_block(x[:, start:stop], a[:, start:stop, start:stop], upper, unit)
        rest = slice(0, start) if upper else slice(stop, n)
        if rest.stop > rest.start:
            target = x[:, rest]
            product(a[:, rest, start:stop], x[:, start:stop], target, alpha=-1, out=target)
    return x


def linalg_solve_triangular(
    self: torch.Tensor,
    B: torch.Tensor,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
    out: Any = None,
) -> torch.Tensor:
    """X with self X = B, or X self = B unless `left`; batches broadcast."""
    name = "linalg.solve_triangular"
    served(name, self, B)
    matrices(name, self, square=True)
    matrices(name, B)
    side = B.shape[-2 if left else -1]
    if side != self.shape[-1]:
        raise ArgumentError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({self.shape[-2]}x{self.shape[-1]} and {B.shape[-2]}x{B.shape[-1]})"
        )
    batch = broadcast_batch(self, B)
    a = flat(self.expand(*batch, *self.shape[-2:]))
    x = copied(B.expand(*batch, *B.shape[-2:]))
    if left:
        solve_in_place(x, a, upper, unitriangular)
    else:
        solve_in_place(x.mT, a.mT, not upper, unitriangular)
    return delivered([x.view(*batch, *B.shape[-2:])], out)


def triangular_solve(
    self: torch.Tensor,
    A: torch.Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
    *,
    out: Any = None,
) -> Any:
    """(X with A X = self, copy of A); A is transposed first if `transpose`."""
    matrices("triangular_solve", A, square=True)
    matrices("triangular_solve", self)
    batch = broadcast_batch(self, A)
    coefficients = copied(A.expand(*batch, *A.shape[-2:])).view(*batch, *A.shape[-2:])
    chosen = coefficients.mT if transpose else coefficients
    x = linalg_solve_triangular(chosen, self, upper=upper != transpose, unitriangular=unitriangular)
    return delivered([x, coefficients], out)


# ---- record ---------------------------------------------------------------------------------------


def triangular_matrix(shape: tuple[int, ...], dtype: torch.dtype, upper: bool) -> torch.Tensor:
    """A well-conditioned triangular matrix; what lies on the other side is NaN."""
    n = shape[-1]
    values = tensor(shape, torch.float64, -1, 1) / n + torch.eye(n, dtype=torch.float64) * 2
    side = torch.ones(n, n, dtype=torch.bool)
    return values.masked_fill(side.tril(-1) if upper else side.triu(1), float("nan")).to(dtype)


def _systems(dtype: torch.dtype) -> Iterable[Sample]:
    for upper in (False, True):
        a = triangular_matrix((5, 5), dtype, upper)
        yield Sample((a, tensor((5, 3), dtype)), {"upper": upper})
        yield Sample((a, tensor((2, 3, 5), dtype)), {"upper": upper, "left": False})
        yield Sample(
            (a.mT.contiguous().mT, tensor((2, 5, 1), dtype)), {"upper": upper, "unitriangular": True}
        )
        wide = triangular_matrix((2, 150, 150), dtype, upper)
        yield Sample((wide, tensor((2, 150, 70), dtype)), {"upper": upper})
    yield Sample((triangular_matrix((0, 3, 3), dtype, True), tensor((0, 3, 2), dtype)), {"upper": True})


def _legacy(dtype: torch.dtype) -> Iterable[Sample]:
    a, b = triangular_matrix((3, 4, 4), dtype, True), tensor((4, 2), dtype)
    a = a.triu()
    yield Sample((b, a.nan_to_num()))
    yield Sample((b, a.nan_to_num(), True, True, True))


register(
    Operator(
        name="solve_triangular",
        overloads=(
            Overload(
                "linalg_solve_triangular", linalg_solve_triangular, _systems, reference=solve_triangular
            ),
            Overload("triangular_solve", triangular_solve, _legacy),
        ),
        kernels=(solve_kernel,),
        dtypes=SERVED,
        tiles=TILES,
        benchmarks=(
            Benchmark(
                "linalg_solve_triangular",
                lambda dtype: Sample(
                    (triangular_matrix((512, 512), dtype, False), tensor((512, 512), dtype)), {"upper": False}
                ),
            ),
        ),
        tolerance=8.0,
    )
)
