"""Distinct values, of a tensor or of its slices along a dimension, in order or as they follow each
other, with counts and with where each element went."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ..axis import normal_dim
from ..errors import ArgumentError, NotServed
from ..indexing.rows import index_select
from ..indexing.selection import picked, selected
from ..launching import TRITON_DTYPES, Tiles, cdiv, launch
from ..memory.arange import arange_out
from ..registry import ALL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, tensor
from ..scan.running import SUM
from .radix import KERNELS, sort_rows

TILES = Tiles(simt={"block": 512}, simd={"block": 1024})
Triple = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def beginnings_kernel(flags, rows, order, n, width, ORDERED: tl.constexpr, BLOCK: tl.constexpr):
    """flags[i] = whether row i (in `order`, if ORDERED) of rows [n, width] differs from the one before."""
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    before = tl.maximum(lane - 1, 0)
    here = lane
    if ORDERED:
        here = tl.load(order + lane, mask=mask, other=0)
        before = tl.load(order + before, mask=mask, other=0)
    new = lane == 0
    for k in range(width):
        value = tl.load(rows + here * width + k, mask=mask, other=0)
        new = new | (value != tl.load(rows + before * width + k, mask=mask, other=0))
    tl.store(flags + lane, new, mask=mask)


@triton.jit
def runs_kernel(counts, starts, groups, n, BLOCK: tl.constexpr):
    """counts[j] = distance from starts[j] to the next start, or to n."""
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < groups
    end = tl.load(starts + lane + 1, mask=lane + 1 < groups, other=0)
    end = tl.where(lane + 1 < groups, end, n)
    tl.store(counts + lane, end - tl.load(starts + lane, mask=mask, other=0), mask=mask)


@triton.jit
def inverse_kernel(inverse, ranks, order, n, ORDERED: tl.constexpr, BLOCK: tl.constexpr):
    """inverse[order[i]] = ranks[i] - 1."""
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    to = lane
    if ORDERED:
        to = tl.load(order + lane, mask=mask, other=0)
    tl.store(inverse + to, tl.load(ranks + lane, mask=mask, other=1) - 1, mask=mask)


# ---- forward --------------------------------------------------------------------------------------


def _nothing(x: torch.Tensor) -> torch.Tensor:
    return torch.empty((0,), dtype=torch.int64, device=x.device)


def _groups(rows: torch.Tensor, order: torch.Tensor | None, inverse: bool, counts: bool) -> Triple:
    """(places where groups of equal neighbours start, each row's group, sizes of the groups) of
    contiguous rows [n, width], taken in `order` if it is given."""
    n, width = rows.shape
    if rows.dtype not in TRITON_DTYPES:
        raise NotServed("unique", f"dtype {rows.dtype} is not served")
    block = TILES.on(rows)["block"]
    flags = torch.empty((n,), dtype=torch.bool, device=rows.device)
    launch(
        beginnings_kernel,
        cdiv(n, block),
        flags,
        rows,
        order,
        n,
        width,
        ORDERED=order is not None,
        BLOCK=block,
    )
    starts = selected(flags)
    groups, sizes = _nothing(rows), _nothing(rows)
    if inverse:
        groups = torch.empty((n,), dtype=torch.int64, device=rows.device)
        ranks = SUM(flags, 0, torch.int64, torch.int64)
        launch(
            inverse_kernel, cdiv(n, block), groups, ranks, order, n, ORDERED=order is not None, BLOCK=block
        )
    if counts:
        sizes = torch.empty(starts.shape, dtype=torch.int64, device=rows.device)
        launch(runs_kernel, cdiv(sizes.numel(), block), sizes, starts, sizes.numel(), n, BLOCK=block)
    return starts, groups, sizes


def _flat(self: torch.Tensor, ordered: bool, inverse: bool, counts: bool) -> Triple:
    flat = self.contiguous().view(-1)
    if ordered:
        values, order = sort_rows(flat)
        assert values is not None
        starts, groups, sizes = _groups(values.view(-1, 1), None, False, counts)
        if inverse:
            groups = _groups(flat.view(-1, 1), order, True, False)[1]
    else:
        values = flat
        starts, groups, sizes = _groups(flat.view(-1, 1), None, inverse, counts)
    return picked(values, starts), groups.view(self.shape) if inverse else groups, sizes


def unique2(
    self: torch.Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> Triple:
    """(distinct values in order, place of each element among them, how often each occurs)."""
    return _flat(self, True, return_inverse, return_counts)


def unique(
    self: torch.Tensor, sorted: bool = True, return_inverse: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """(distinct values in order, place of each element among them)."""
    return _flat(self, True, return_inverse, False)[:2]


def _slices(self: torch.Tensor, dim: int, ordered: bool, inverse: bool, counts: bool) -> Triple:
    """The same for slices along `dim`; their order is that of their elements, the first one foremost."""
    dim = normal_dim(dim, self.ndim)
    if not self.ndim:
        values, groups, sizes = _flat(self.view(1), ordered, inverse, counts)
        return values.view(()), groups, sizes
    n = self.shape[dim]
    if not self.numel():
        if n or 0 in (*self.shape[:dim], *self.shape[dim + 1 :]):
            raise ArgumentError(
                "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied"
            )
        return self.clone(), _nothing(self), _nothing(self)
    rows = self.movedim(dim, 0).contiguous().view(n, -1)
    order = None
    if ordered:
        order = arange_out(0, n, out=_nothing(self))
        for k in reversed(range(rows.shape[1])):
            keys = picked(rows[:, k].contiguous(), order)
            order = picked(order, sort_rows(keys, with_values=False)[1])
    starts, groups, sizes = _groups(rows, order, inverse, counts)
    return index_select(self, dim, starts if order is None else picked(order, starts)), groups, sizes


def unique_dim(
    self: torch.Tensor,
    dim: int,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> Triple:
    """(distinct slices along `dim` in order, place of each among them, how often each occurs)."""
    return _slices(self, dim, True, return_inverse, return_counts)


def unique_dim_consecutive(
    self: torch.Tensor, dim: int, return_inverse: bool = False, return_counts: bool = False
) -> Triple:
    """The same of slices that follow each other, in their own order."""
    return _slices(self, dim, False, return_inverse, return_counts)


def unique_consecutive(
    self: torch.Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Triple:
    """The same of elements that follow each other in the flattened tensor, or of slices along `dim`."""
    if dim is not None:
        return _slices(self, dim, False, return_inverse, return_counts)
    return _flat(self, False, return_inverse, return_counts)


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _wholes(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((6, 8), dtype, -2, 3)
    x = x.round() if dtype.is_floating_point else x
    yield Sample((x,), {"return_inverse": True, "return_counts": True})
    yield Sample((x.t(),), {"return_inverse": True, "return_counts": True})
    yield Sample((tensor((0,), dtype),), {"return_inverse": True, "return_counts": True})


@sparingly
def _without_counts(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _wholes(dtype):
        yield Sample(sample.arguments, {"return_inverse": True})


@sparingly
def _dims(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((8, 3, 2), dtype, 0, 2)
    x = x.round() if dtype.is_floating_point else x
    for dim in (0, -1):
        yield Sample((x, dim), {"return_inverse": True, "return_counts": True})


def _many(dtype: torch.dtype) -> Sample:
    return Sample((tensor((1 << 20,), torch.int64, 0, 1000), True, True, True))


register(
    Operator(
        name="unique",
        overloads=(
            Overload("_unique2", unique2, _wholes, takes_out=False),
            Overload("_unique", unique, _without_counts, takes_out=False),
            Overload("unique_dim", unique_dim, _dims, takes_out=False),
        ),
        kernels=(beginnings_kernel, runs_kernel, inverse_kernel, *KERNELS),
        dtypes=ALL,
        differentiable=False,
        tiles=TILES,
        benchmarks=(Benchmark("_unique2", _many),),
    )
)
register(
    Operator(
        name="unique_consecutive",
        overloads=(
            Overload("unique_consecutive", unique_consecutive, _wholes, takes_out=False),
            Overload("unique_dim_consecutive", unique_dim_consecutive, _dims, takes_out=False),
        ),
        kernels=(beginnings_kernel, runs_kernel, inverse_kernel),
        dtypes=ALL,
        differentiable=False,
        tiles=TILES,
    )
)
