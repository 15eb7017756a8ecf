"""What is solved with LU factors: linear systems, inverses, determinants and their logarithms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..iteration import power_of_two
from ..launching import Tiles, launch
from ..registry import Benchmark, Operator, Overload, Sample, register
from ..samples import tensor
from .lu import exchange, exchange_kernel, factor, invertible, linalg_lu_factor_ex, panel_kernel
from .matrices import SERVED, broadcast_batch, check_info, copied, delivered, flat, matrices, served, triangle
from .triangular import solve_in_place, solve_kernel

TILES = Tiles(simt={"block": 256}, simd={"block": 256})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def multiply(a, b):
    """The product of two numbers, for a reduction."""
    return a * b


@triton.jit
def determinant_kernel(
    out, logarithm, a, pivots, n, batch_stride, diagonal_stride, LOG: tl.constexpr, BLOCK: tl.constexpr
):
    """out = determinant from LU factors and pivots; with LOG, its sign, and the logarithm of its size."""
    batch = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    sign = tl.full((BLOCK,), 1.0, a.dtype.element_ty)
    size = tl.full((BLOCK,), 1.0, a.dtype.element_ty)
    if LOG:
        size = tl.zeros((BLOCK,), a.dtype.element_ty)
    for start in range(0, n, BLOCK):
        k = start + lane
        mask = k < n
        value = tl.load(a + batch * batch_stride + k.to(tl.int64) * diagonal_stride, mask=mask, other=1.0)
        chosen = tl.load(pivots + batch * n + k, mask=mask, other=0)
        sign = tl.where(mask & (chosen != k + 1), -sign, sign)
        if LOG:
            sign = tl.where(value < 0, -sign, tl.where(value == 0, 0.0, sign))
            sign = tl.where(value != value, value, sign)
            size += tl.log(tl.abs(value))
        else:
            size = size * value
    total = tl.reduce(sign, 0, multiply)
    if LOG:
        tl.store(out + batch, total)
        tl.store(logarithm + batch, tl.sum(size, 0))
    else:
        tl.store(out + batch, total * tl.reduce(size, 0, multiply))


# ---- forward --------------------------------------------------------------------------------------


def solve_factored(data: torch.Tensor, pivots: torch.Tensor, x: torch.Tensor, adjoint: bool = False) -> None:
    """x [batch, n, columns] becomes inverse(A) x (inverse(A^T) x if `adjoint`) for LU factors of A."""
    if not x.numel():
        return
    if adjoint:
        solve_in_place(x, data.mT, upper=False)
        solve_in_place(x, data.mT, upper=True, unit=True)
        exchange(x, pivots, reverse=True)
    else:
        exchange(x, pivots)
        solve_in_place(x, data, upper=False, unit=True)
        solve_in_place(x, data, upper=True)


def linalg_lu_solve(
    LU: torch.Tensor,
    pivots: torch.Tensor,
    B: torch.Tensor,
    *,
    left: bool = True,
    adjoint: bool = False,
    out: Any = None,
) -> torch.Tensor:
    """X with A X = B, or X A = B unless `left`, from the factors of A; A is transposed if `adjoint`."""
    name = "linalg.lu_solve"
    served(name, LU, B)
    matrices(name, LU, square=True)
    if pivots.dtype != torch.int32:
        raise ArgumentError(f"{name}: pivots should be a Tensor of scalar type torch.int32")
    if pivots.shape[-1:] != LU.shape[-1:] or pivots.shape[:-1] != LU.shape[:-2]:
        raise ArgumentError(
            f"{name}: Number of pivots per batch should be same as the dimension of the matrix, but they are "
            f"{list(pivots.shape)} and {list(LU.shape)}"
        )
    if B.ndim < 2 or B.shape[-2 if left else -1] != LU.shape[-1]:
        raise ArgumentError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({list(LU.shape)} and {list(B.shape)})"
        )
    batch = broadcast_batch(LU, B)
    n = LU.shape[-1]
    x = copied(B.expand(*batch, *B.shape[-2:]))
    data = flat(LU.expand(*batch, n, n))
    order = flat(pivots[..., None].expand(*batch, n, 1))[..., 0].contiguous()
    solve_factored(data, order, x if left else x.mT, adjoint == left)
    return delivered([x.view(*batch, *B.shape[-2:])], out)


def linalg_solve_ex(
    A: torch.Tensor, B: torch.Tensor, *, left: bool = True, check_errors: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(X with A X = B, or X A = B unless `left`; LU factors; pivots; info). B may be vectors."""
    name = "linalg.solve"
    served(name, A, B)
    matrices(name, A, square=True)
    vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])
    if vector and not left:
        raise ArgumentError(
            "linalg.solve: Vector broadcasting of the left hand side is not supported for left=False"
        )
    right = B[..., None] if vector else B
    if right.ndim < 2 or right.shape[-2 if left else -1] != A.shape[-1]:
        raise ArgumentError(
            f"{name}: Incompatible shapes of A and B for the equation {'AX = B' if left else 'XA = B'} "
            f"({list(A.shape)} and {list(B.shape)})"
        )
    data, pivots, info = linalg_lu_factor_ex(A, operator=name)
    if check_errors:
        check_info(info, "torch.linalg.solve_ex", A.ndim == 2)
    x = linalg_lu_solve(data, pivots, right, left=left)
    return (x[..., 0] if vector else x), data, pivots, info


def linalg_inv_ex(A: torch.Tensor, *, check_errors: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """(inverse, info)."""
    served("linalg.inv", A)
    matrices("linalg.inv", A, square=True)
    work = copied(A)
    pivots, info = factor(work)
    info = info.view(A.shape[:-2])
    if check_errors:
        check_info(info, "linalg.inv_ex", A.ndim == 2)
    result = triangle(torch.empty_like(work), None, False)
    solve_factored(work, pivots, result)
    return result.view(A.shape), info


def _determinant(A: torch.Tensor, log: bool) -> tuple[torch.Tensor, ...]:
    """(determinant, logarithm), LU factors and pivots. Of a contiguous A the transpose is factored, which
    PyTorch's derivative of these two operators counts on."""
    name = "linalg.slogdet" if log else "linalg.det"
    served(name, A)
    matrices(name, A, square=True)
    source = A.mT if A.is_contiguous() else A
    data, pivots, _ = linalg_lu_factor_ex(source, operator=name)
    n = A.shape[-1]
    first = torch.empty(A.shape[:-2], dtype=A.dtype, device=A.device)
    second = torch.empty(A.shape[:-2], dtype=A.dtype, device=A.device)
    launch(
        determinant_kernel,
        first.numel(),
        first,
        second,
        data,
        pivots,
        n,
        n * n,
        n + 1,
        LOG=log,
        BLOCK=min(power_of_two(n), TILES.on(A)["block"]),
    )
    return first, second, data, pivots


def linalg_det(A: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(determinant, LU factors, pivots)."""
    result, _, data, pivots = _determinant(A, False)
    return result, data, pivots


def linalg_slogdet(A: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(sign, logarithm of the absolute determinant, LU factors, pivots)."""
    return _determinant(A, True)


# ---- record ---------------------------------------------------------------------------------------


def _squares(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 3, 7, 7), (1, 1), (0, 3, 3), (2, 0, 0), (2, 100, 100)):
        yield Sample((invertible(shape, dtype),))
    yield Sample((invertible((2, 6, 6), dtype).mT,))


def _small_squares(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (2, 3, 7, 7), (1, 1), (0, 3, 3), (2, 0, 0)):
        yield Sample((invertible(shape, dtype),))
    yield Sample((torch.zeros((3, 3), dtype=dtype),))


def _systems(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((invertible((5, 5), dtype), tensor((5, 3), dtype)))
    yield Sample((invertible((5, 5), dtype), tensor((5,), dtype)))
    yield Sample((invertible((2, 5, 5), dtype), tensor((2, 5), dtype)))
    yield Sample((invertible((2, 5, 5), dtype), tensor((3, 5), dtype)), {"left": False})
    yield Sample((invertible((3, 1, 5, 5), dtype), tensor((2, 5, 2), dtype)))
    yield Sample((invertible((90, 90), dtype), tensor((90, 70), dtype)))


def _factored(dtype: torch.dtype) -> Iterable[Sample]:
    data, pivots = torch.linalg.lu_factor(invertible((2, 6, 6), torch.float64))
    for left in (True, False):
        for adjoint in (False, True):
            b = tensor((3, 2, 6, 4), dtype)
            yield Sample((data.to(dtype), pivots, b if left else b.mT), {"left": left, "adjoint": adjoint})


register(
    Operator(
        name="solve",
        overloads=(
            Overload("linalg_lu_solve", linalg_lu_solve, _factored),
            Overload("_linalg_solve_ex", linalg_solve_ex, _systems, takes_out=False),
            Overload("linalg_inv_ex", linalg_inv_ex, _squares, takes_out=False),
        ),
        kernels=(panel_kernel, exchange_kernel, solve_kernel),
        dtypes=SERVED,
        tiles=TILES,
        benchmarks=(
            Benchmark(
                "_linalg_solve_ex",
                lambda dtype: Sample((invertible((512, 512), dtype), tensor((512, 64), dtype))),
            ),
        ),
        tolerance=64.0,
    )
)
register(
    Operator(
        name="det",
        overloads=(
            Overload("_linalg_det", linalg_det, _small_squares, takes_out=False),
            Overload("_linalg_slogdet", linalg_slogdet, _small_squares, takes_out=False),
        ),
        kernels=(determinant_kernel, panel_kernel),
        dtypes=SERVED,
        tiles=TILES,
        tolerance=64.0,
    )
)
