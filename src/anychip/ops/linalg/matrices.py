"""What the factorisations share: batches of matrices as three-dimensional tensors, checks of arguments in
PyTorch's words, delivery into `out=`, and a kernel that copies a triangle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..iteration import broadcast_shape, power_of_two
from ..launching import Tiles, cdiv, launch

SERVED = (torch.float32, torch.float64)
TILES = Tiles(simt={"elements": 1024}, simd={"elements": 1024})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def triangle_kernel(
    out,
    source,
    rows,
    columns,
    out_batch,
    out_row,
    out_column,
    batch_stride,
    row_stride,
    column_stride,
    diagonal,
    UPPER: tl.constexpr,
    WHOLE: tl.constexpr,
    UNIT: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """out = the elements of `source` on one side of a diagonal (all if WHOLE), zeros elsewhere; ones on
    the diagonal itself if UNIT. A source of None is the identity."""
    tiles_n = tl.cdiv(columns, BLOCK_N)
    tiles = tl.cdiv(rows, BLOCK_M) * tiles_n
    batch = (tl.program_id(0) // tiles).to(tl.int64)
    tile = tl.program_id(0) % tiles
    row = ((tile // tiles_n) * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)[:, None]
    column = ((tile % tiles_n) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)[None, :]
    mask = (row < rows) & (column < columns)
    if source is None:
        value = tl.where(column == row, 1.0, 0.0).to(out.dtype.element_ty)
    else:
        at = batch * batch_stride + row * row_stride + column * column_stride
        value = tl.load(source + at, mask=mask, other=0)
        if not WHOLE:
            if UPPER:
                value = tl.where(column - row >= diagonal, value, 0)
            else:
                value = tl.where(column - row <= diagonal, value, 0)
        if UNIT:
            value = tl.where(column - row == diagonal, 1.0, value).to(out.dtype.element_ty)
    tl.store(out + batch * out_batch + row * out_row + column * out_column, value, mask=mask)


# ---- batches --------------------------------------------------------------------------------------


def served(operator: str, *tensors: torch.Tensor) -> None:
    """Raise unless all tensors are of one dtype that is served."""
    for x in tensors:
        if x.dtype != tensors[0].dtype:
            raise ArgumentError(
                f"{operator}: expected operands of one dtype, but got {[str(y.dtype) for y in tensors]}"
            )
        if x.dtype not in SERVED:
            raise NotServed(operator, f"dtype {x.dtype} is not served")


def matrices(operator: str, x: torch.Tensor, square: bool = False) -> None:
    """Raise unless `x` has at least two dimensions, the last two equal if `square`."""
    if x.ndim < 2:
        raise ArgumentError(f"{operator}: The input tensor A must have at least 2 dimensions.")
    if square and x.shape[-1] != x.shape[-2]:
        raise ArgumentError(
            f"{operator}: A must be batches of square matrices, but they are {x.shape[-2]} by "
            f"{x.shape[-1]} matrices"
        )


def flat(x: torch.Tensor) -> torch.Tensor:
    """[batch, rows, columns] of [..., rows, columns]: a view where the strides allow it."""
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def copied(x: torch.Tensor) -> torch.Tensor:
    """A contiguous copy of [..., rows, columns] as [batch, rows, columns]."""
    count = math.prod(x.shape[:-2])
    result = torch.empty((count, *x.shape[-2:]), dtype=x.dtype, device=x.device)
    return result.copy_(flat(x)) if x.numel() else result


def triangle(
    out: torch.Tensor,
    source: torch.Tensor | None,
    upper: bool,
    diagonal: int = 0,
    *,
    whole: bool = False,
    unit: bool = False,
) -> torch.Tensor:
    """Write a triangle of `source` [batch, rows, columns] (the identity for None) into `out`."""
    batch, rows, columns = out.shape
    budget = TILES.on(out)["elements"]
    block_n = min(power_of_two(columns), budget)
    block_m = min(power_of_two(rows), budget // block_n)
    strides = (0, 0, 0) if source is None else source.stride()
    launch(
        triangle_kernel,
        batch * cdiv(rows, block_m) * cdiv(columns, block_n),
        out,
        source,
        rows,
        columns,
        *out.stride(),
        *strides,
        diagonal,
        UPPER=upper,
        WHOLE=whole,
        UNIT=unit,
        BLOCK_M=block_m,
        BLOCK_N=block_n,
    )
    return out


def broadcast_batch(*tensors: torch.Tensor) -> tuple[int, ...]:
    """The common shape of all dimensions but the last two."""
    return tuple(broadcast_shape(*(x.shape[:-2] for x in tensors)))


def check_info(info: torch.Tensor, operator: str, is_matrix: bool) -> None:
    """Raise PyTorch's LinAlgError for the first matrix whose `info` is not zero."""
    torch.ops.aten._linalg_check_errors.default(info, operator, is_matrix=is_matrix)


def delivered(results: Sequence[torch.Tensor], out: Any) -> Any:
    """The results, or `out` (a tensor, or a tuple of them) once it holds them."""
    if out is None:
        return tuple(results) if len(results) > 1 else results[0]
    targets = out if isinstance(out, tuple) else (out,)
    for result, target in zip(results, targets, strict=True):
        if target.shape != result.shape:
            target.resize_(result.shape)
        target.copy_(result)
    return out
