"""cummax and cummin: the running extreme along a dimension and where it is last. NaN stays once it came."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ..axis import around, normal_dim
from ..errors import NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Tiles, cdiv, compute_dtype, launch
from ..registry import ALL, Operator, Overload, register

TILES = Tiles(simt={"elements": 2048, "columns": 128}, simd={"elements": 1024, "columns": 256})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def later_largest(value, index, other, place):
    """The pair that comes later where it is not smaller."""
    take = (other >= value) | (other != other)
    return tl.where(take, other, value), tl.where(take, place, index)


@triton.jit
def later_smallest(value, index, other, place):
    """The pair that comes later where it is not larger."""
    take = (other <= value) | (other != other)
    return tl.where(take, other, value), tl.where(take, place, index)


@triton.jit
def largest_so_far(value, other):
    return tl.maximum(value, other, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def smallest_so_far(value, other):
    return tl.minimum(value, other, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def later_place(a, b):
    return tl.maximum(a, b)


@triton.jit
def row_extremes_kernel(
    values,
    indices,
    source,
    rows,
    length,
    LARGEST: tl.constexpr,
    COMPUTE: tl.constexpr,
    PLACE: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_R: tl.constexpr,
):
    """Along the rows of a contiguous source [rows, length]: the running extreme, then the latest place where
    an element is it. PLACE is the type that places are counted in."""
    row = tl.program_id(0).to(tl.int64) * BLOCK_K + tl.arange(0, BLOCK_K)
    lane = tl.arange(0, BLOCK_R)
    inside = row < rows
    best = tl.load(source + row * length, mask=inside, other=0).to(COMPUTE)
    at_best = tl.zeros((BLOCK_K,), PLACE)
    for block in range(0, length, BLOCK_R):
        place = block + lane
        mask = inside[:, None] & (place < length)[None, :]
        at = row[:, None] * length + place[None, :]
        value = tl.load(source + at, mask=mask, other=0).to(COMPUTE)
        if LARGEST:
            running = tl.associative_scan(value, 1, largest_so_far)
            running = largest_so_far(best[:, None], running)
        else:
            running = tl.associative_scan(value, 1, smallest_so_far)
            running = smallest_so_far(best[:, None], running)
        # An element is the extreme so far where it equals it, and every NaN is.
        taken = (value == running) | (value != value)
        where = tl.where(taken, place[None, :].to(PLACE), 0)
        where = tl.maximum(at_best[:, None], tl.associative_scan(where, 1, later_place))
        tl.store(values + at, running.to(values.dtype.element_ty), mask=mask)
        tl.store(indices + at, where.to(tl.int64), mask=mask)
        tl.debug_barrier()
        end = row * length + tl.minimum(block + BLOCK_R, length) - 1
        best = tl.load(values + end, mask=inside, other=0).to(COMPUTE)
        at_best = tl.load(indices + end, mask=inside, other=0).to(PLACE)


@triton.jit
def column_extremes_kernel(
    values, indices, source, length, inner, LARGEST: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):
    """Along the middle of a contiguous source [outer, length, inner], BLOCK columns a program."""
    blocks = tl.cdiv(inner, BLOCK)
    program = tl.program_id(0)
    lane = (program % blocks) * BLOCK + tl.arange(0, BLOCK)
    at = (program // blocks).to(tl.int64) * length * inner + lane
    mask = lane < inner
    best = tl.load(source + at, mask=mask, other=0).to(COMPUTE)
    where = tl.zeros((BLOCK,), tl.int64)
    for k in range(length):
        value = tl.load(source + at, mask=mask, other=0).to(COMPUTE)
        if LARGEST:
            best, where = later_largest(best, where, value, k)
        else:
            best, where = later_smallest(best, where, value, k)
        tl.store(values + at, best.to(values.dtype.element_ty), mask=mask)
        tl.store(indices + at, where, mask=mask)
        at += inner


# ---- forward --------------------------------------------------------------------------------------


def _extremes(
    self: torch.Tensor, values: torch.Tensor, indices: torch.Tensor, dim: int, largest: bool
) -> None:
    if self.dtype not in TRITON_DTYPES or indices.dtype != torch.int64:
        raise NotServed("cummax and cummin", f"dtypes {self.dtype} and {indices.dtype} are not served")
    dim = normal_dim(dim, self.ndim)
    if not self.numel():
        return
    source = self.contiguous()
    targets = [
        x if x.is_contiguous() else torch.empty(x.shape, dtype=x.dtype, device=x.device)
        for x in (values, indices)
    ]
    outer, length, inner = around(self.shape, dim)
    sizes = TILES.on(self)
    compute = TRITON_DTYPES[compute_dtype(self.dtype)]
    if inner == 1:
        block_r = min(power_of_two(length), sizes["elements"])
        block_k = max(1, min(power_of_two(outer), sizes["elements"] // block_r))
        launch(
            row_extremes_kernel,
            cdiv(outer, block_k),
            *targets,
            source,
            outer,
            length,
            LARGEST=largest,
            COMPUTE=compute,
            PLACE=tl.int32 if length < 1 << 31 else tl.int64,
            BLOCK_K=block_k,
            BLOCK_R=block_r,
        )
    else:
        block = min(power_of_two(inner), sizes["columns"])
        launch(
            column_extremes_kernel,
            outer * cdiv(inner, block),
            *targets,
            source,
            length,
            inner,
            LARGEST=largest,
            COMPUTE=compute,
            BLOCK=block,
        )
    for target, given in zip(targets, (values, indices), strict=True):
        if target is not given:
            given.copy_(target)


def cummax_helper(self: torch.Tensor, values: torch.Tensor, indices: torch.Tensor, dim: int) -> None:
    """Running maximum along `dim` into `values`, and the place where it was last into `indices`."""
    _extremes(self, values, indices, dim, True)


def cummin_helper(self: torch.Tensor, values: torch.Tensor, indices: torch.Tensor, dim: int) -> None:
    """Running minimum along `dim` into `values`, and the place where it was last into `indices`."""
    _extremes(self, values, indices, dim, False)


# ---- record ---------------------------------------------------------------------------------------


for _name, _function in (("cummax", cummax_helper), ("cummin", cummin_helper)):
    register(
        Operator(
            name=_name,
            overloads=(Overload(f"_{_name}_helper", _function, takes_out=False),),
            kernels=(row_extremes_kernel, column_extremes_kernel),
            dtypes=ALL,
            tiles=TILES,
        )
    )
