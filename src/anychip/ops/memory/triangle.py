"""Triangles of matrices: tril and triu, their coordinates, and the identity matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import delivered
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, launch, signature
from ..registry import ALL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, tensor

TILES = Tiles(simt={"elements": 1024, "block": 512}, simd={"elements": 4096, "block": 1024})
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["diagonal"])
def triangle_kernel(
    out, source, rows, columns, diagonal, UPPER: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr
):
    """A tile of contiguous matrices [batch, rows, columns]: what is on the other side of the diagonal
    becomes zero. Without `source` ones are written on the diagonal, zeros elsewhere."""
    tiles_n = tl.cdiv(columns, BLOCK_N)
    tiles = tl.cdiv(rows, BLOCK_M) * tiles_n
    program = tl.program_id(0)
    matrix = (program // tiles).to(tl.int64)
    tile = program % tiles
    row = (tile // tiles_n) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = (tile % tiles_n) * BLOCK_N + tl.arange(0, BLOCK_N)
    at = (matrix * rows + row[:, None]) * columns + column[None, :]
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    distance = column[None, :] - row[:, None]
    if source is None:
        value = distance == diagonal
    else:
        if UPPER:
            kept = distance >= diagonal
        else:
            kept = distance <= diagonal
        value = tl.load(source + at, mask=inside & kept, other=0)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def row_start(row, columns, offset, UPPER: tl.constexpr):
    """How many elements of the triangle are in the rows before `row` (a triangle's rows are clamped to
    [0, columns])."""
    if UPPER:
        # row r holds columns - clamp(r + offset, 0, columns)
        full = tl.minimum(tl.maximum(-offset, 0), row)
        last = tl.minimum(tl.maximum(columns - offset, 0), row)
        sloped = tl.maximum(last - full, 0)
        slope = sloped * (columns - offset) - (full + last - 1) * sloped // 2
        result = full * columns + slope
    else:
        # row r holds clamp(r + offset + 1, 0, columns)
        first = tl.minimum(tl.maximum(-offset, 0), row)
        last = tl.minimum(tl.maximum(columns - offset - 1, first), row)
        sloped = last - first
        slope = sloped * (offset + 1) + (first + last - 1) * sloped // 2
        result = slope + tl.maximum(row - last, 0) * columns
    return result


@triton.jit
def coordinates_kernel(out, n, columns, offset, UPPER: tl.constexpr, BLOCK: tl.constexpr):
    """out[0, i] and out[1, i]: row and column of the i-th element of a triangle; a program writes those of
    one row."""
    row = tl.program_id(0).to(tl.int64)
    wide = row * 0 + columns
    shift = row * 0 + offset
    first = row_start(row, wide, shift, UPPER)
    count = row_start(row + 1, wide, shift, UPPER) - first
    column = row * 0
    if UPPER:
        column = tl.maximum(row + offset, 0)
    lane = tl.arange(0, BLOCK)
    for start in range(0, count, BLOCK):
        mask = start + lane < count
        at = first + start + lane
        rows = tl.zeros((BLOCK,), tl.int64) + row
        tl.store(out + at, rows.to(out.dtype.element_ty), mask=mask)
        tl.store(out + n + at, (column + start + lane).to(out.dtype.element_ty), mask=mask)


# ---- forward --------------------------------------------------------------------------------------


def _launched(out: torch.Tensor, source: torch.Tensor | None, diagonal: int, upper: bool) -> None:
    """The kernel over a contiguous `out` of at least two dimensions."""
    rows, columns = out.shape[-2:]
    if not out.numel():
        return
    key = (signature(out, source), upper)
    plan = PLANS.get(key)
    if plan is None:
        budget = TILES.on(out)["elements"]
        block_n = min(power_of_two(columns), budget)
        block_m = min(power_of_two(rows), max(1, budget // block_n))
        programs = out.numel() // (rows * columns) * cdiv(rows, block_m) * cdiv(columns, block_n)
        constants = {"UPPER": upper, "BLOCK_M": block_m, "BLOCK_N": block_n}
        label = "eye" if source is None else "triu" if upper else "tril"
        plan = Plan(triangle_kernel, programs, (rows, columns), constants, label=label)
        PLANS.remember(key, plan)
    limit = max(rows, columns)
    plan.launch(out, source, numbers=(max(-limit, min(limit, diagonal)),))


def _triangle(self: torch.Tensor, diagonal: int, upper: bool, out: Any) -> torch.Tensor:
    if self.ndim < 2:
        raise ArgumentError(f"{'triu' if upper else 'tril'}: input tensor must have at least 2 dimensions")
    if self.dtype not in TRITON_DTYPES:
        raise NotServed("triu" if upper else "tril", f"dtype {self.dtype} is not served")
    target = out
    if out is None or out.shape != self.shape or out.dtype != self.dtype or not out.is_contiguous():
        target = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    _launched(target, self.contiguous(), diagonal, upper)
    return target if target is out else delivered(target, out)


def tril(self: torch.Tensor, diagonal: int = 0, *, out: Any = None) -> torch.Tensor:
    """Matrices with zeros above the given diagonal."""
    return _triangle(self, diagonal, False, out)


def triu(self: torch.Tensor, diagonal: int = 0, *, out: Any = None) -> torch.Tensor:
    """Matrices with zeros below the given diagonal."""
    return _triangle(self, diagonal, True, out)


def _below(rows: int, columns: int, offset: int) -> int:
    """How many elements the lower triangle has: rows without any, rows that grow by one, full rows."""
    first = min(max(-offset, 0), rows)
    last = min(max(columns - offset - 1, first), rows)
    sloped = last - first
    return sloped * (offset + 1) + (first + last - 1) * sloped // 2 + (rows - last) * columns


def _coordinates(
    row: int, col: int, offset: int, dtype: torch.dtype | None, device: Any, upper: bool
) -> torch.Tensor:
    name = "triu_indices" if upper else "tril_indices"
    if row < 0 or col < 0:
        raise ArgumentError(f"row and col must be non-negative, got {row} and {col} ({name})")
    count = row * col - _below(row, col, offset - 1) if upper else _below(row, col, offset)
    out = torch.empty((2, count), dtype=dtype or torch.int64, device=device)
    block = TILES.on(out)["block"]
    if count:
        launch(coordinates_kernel, row, out, count, col, offset, UPPER=upper, BLOCK=block)
    return out


def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> torch.Tensor:
    """Rows and columns [2, count] of the lower triangle of a matrix, row by row."""
    return _coordinates(row, col, offset, dtype, device, False)


def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> torch.Tensor:
    """Rows and columns [2, count] of the upper triangle of a matrix, row by row."""
    return _coordinates(row, col, offset, dtype, device, True)


def eye_out(n: int, m: int, *, out: torch.Tensor) -> torch.Tensor:
    """Ones on the diagonal of an n x m matrix, zeros elsewhere."""
    if n < 0 or m < 0:
        raise ArgumentError(f"n and m must be greater or equal to 0, got {n} and {m}")
    if out.shape != (n, m):
        out.resize_((n, m))
    target = out if out.is_contiguous() else torch.empty((n, m), dtype=out.dtype, device=out.device)
    _launched(target, None, 0, False)
    return out if target is out else out.copy_(target)


def eye_square(n: int, *, out: torch.Tensor) -> torch.Tensor:
    """The identity matrix of size n."""
    return eye_out(n, n, out=out)


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, diagonal in (((4, 6), 0), ((2, 5, 3), 1), ((5, 5), -2), ((0, 3), 0), ((3, 3), 10)):
        yield Sample((tensor(shape, dtype), diagonal))
    yield Sample((tensor((6, 4), dtype).t(), -1))


@sparingly
def _sizes(dtype: torch.dtype) -> Iterable[Sample]:
    for row, col, offset in ((4, 6, 0), (6, 3, 1), (5, 5, -2), (3, 3, 5), (3, 4, -5), (0, 3, 0)):
        yield Sample((row, col, offset), {"dtype": dtype})


@sparingly
def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    for n, m in ((3, 5), (4, 4), (0, 2)):
        yield Sample((n, m), {"out": torch.empty((0,), dtype=dtype)})


@sparingly
def _squares(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((5,), {"out": torch.empty((5, 5), dtype=dtype).t()})


def _large(dtype: torch.dtype) -> Sample:
    return Sample((tensor((2048, 2048), dtype), 0))


for _name, _function, _list, _indices in (
    ("tril", tril, "tril_indices", tril_indices),
    ("triu", triu, "triu_indices", triu_indices),
):
    register(
        Operator(
            name=_name,
            overloads=(Overload(_name, _function, _samples),),
            kernels=(triangle_kernel,),
            dtypes=ALL,
            tiles=TILES,
            benchmarks=(Benchmark(_name, _large),),
        )
    )
    register(
        Operator(
            name=_list,
            overloads=(Overload(_list, _indices, _sizes, takes_out=False),),
            kernels=(coordinates_kernel,),
            dtypes=(torch.int64, torch.int32),
            differentiable=False,
            tiles=TILES,
        )
    )
register(
    Operator(
        name="eye",
        overloads=(
            Overload("eye.m_out", eye_out, _matrices, takes_out=False),
            Overload("eye.out", eye_square, _squares, takes_out=False),
        ),
        kernels=(triangle_kernel,),
        dtypes=ALL,
        differentiable=False,
        tiles=TILES,
    )
)
