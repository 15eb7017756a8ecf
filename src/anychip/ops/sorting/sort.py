"""sort along any dimension, and what is read off a sorted row: kthvalue, median, nanmedian and mode.
argsort and msort are PyTorch's composites of sort."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import last, normal_dim, without
from ..errors import ArgumentError, DimensionError
from ..launching import Tiles, cdiv, launch
from ..memory.copy import COPY, fill_
from ..registry import ALL, FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, special, tensor
from .radix import KERNELS, TILES, sort_rows

ROWS = Tiles(simt={"block": 32}, simd={"block": 32})
Pair = tuple[torch.Tensor, torch.Tensor]

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def median_kernel(values, indices, source, order, rows, n, SKIP: tl.constexpr, BLOCK: tl.constexpr):
    """The lower median of each row of `source`, whose sorted order is known. NaN is last in that order:
    the first NaN is the median, or is left out with all the others if SKIP."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = row < rows
    low = tl.zeros((BLOCK,), tl.int64)
    high = low + n
    for _ in range(64 if source.dtype.element_ty.is_floating() else 0):
        active = low < high
        middle = (low + high) // 2
        at = tl.load(order + row * n + middle, mask=inside & active, other=0)
        value = tl.load(source + row * n + at, mask=inside & active, other=0)
        missing = value != value
        high = tl.where(active & missing, middle, high)
        low = tl.where(active & (not missing), middle + 1, low)
    counted = high
    if SKIP:
        place = tl.maximum((counted - 1) // 2, 0)
    else:
        place = tl.where(counted < n, counted, (n - 1) // 2)
    index = tl.load(order + row * n + place, mask=inside, other=0)
    tl.store(values + row, tl.load(source + row * n + index, mask=inside), mask=inside)
    tl.store(indices + row, index, mask=inside)


@triton.jit
def mode_kernel(values, indices, source, order, rows, n, BLOCK: tl.constexpr):
    """The value that occurs most often in each row (the smallest of several), and its last place."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = row < rows
    before = tl.load(source + row * n, mask=inside)
    run = tl.zeros((BLOCK,), tl.int64)
    best = tl.zeros((BLOCK,), tl.int64)
    chosen = tl.zeros((BLOCK,), tl.int64)
    for k in range(n):
        value = tl.load(source + row * n + k, mask=inside)
        run = tl.where(value == before, run + 1, 1)
        longer = run > best
        best = tl.where(longer, run, best)
        chosen = tl.where(longer, k, chosen)
        before = value
    tl.store(values + row, tl.load(source + row * n + chosen, mask=inside), mask=inside)
    tl.store(indices + row, tl.load(order + row * n + chosen, mask=inside, other=0), mask=inside)


# ---- forward --------------------------------------------------------------------------------------


def sorted_along(
    self: torch.Tensor, dim: int, descending: bool, first: int = 0, kept: int | None = None
) -> Pair:
    """Elements first to first + kept of `self` in sorted order along `dim`, and where they were."""
    dim = normal_dim(dim, self.ndim)
    source = last(self, dim)
    values, indices = sort_rows(source, descending, first=first, kept=kept)
    assert values is not None
    if self.ndim == 0:
        return values.view(()), indices.view(())
    if dim == self.ndim - 1:
        return values, indices
    placed = []
    for x in (values, indices):
        moved = x.movedim(-1, dim)
        placed.append(COPY(moved, out=torch.empty(moved.shape, dtype=x.dtype, device=x.device)))
    return placed[0], placed[1]


def sort(self: torch.Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Pair:
    """(sorted values, indices) along `dim`; always stable, NaN counts as the largest."""
    return sorted_along(self, dim, descending)


def _length(name: str, self: torch.Tensor, dim: int) -> int:
    """The size along `dim`, which must not be zero."""
    size = self.shape[dim] if self.ndim else 1
    if size == 0:
        raise DimensionError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
    return size


def kthvalue(self: torch.Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Pair:
    """The k-th smallest element along `dim`, counted from one, and where it is."""
    dim = normal_dim(dim, self.ndim)
    size = self.shape[dim] if self.ndim else 1
    if not 1 <= k <= size:
        raise ArgumentError(f"kthvalue(): selected number k out of range for dimension {dim}: {k} of {size}")
    values, indices = sorted_along(self, dim, False, k - 1, 1)
    if keepdim or not self.ndim:
        return values, indices
    return values.squeeze(dim), indices.squeeze(dim)


def _read_off(
    kernel: Any, self: torch.Tensor, dim: int, keepdim: bool, by_value: bool, **constants: Any
) -> Pair:
    """Run a kernel on sorted rows: it gets the row in its own order, or in sorted order if `by_value`."""
    source = last(self, dim)
    n = source.shape[-1]
    shape = without(self.shape, dim, keepdim)
    values = torch.empty(shape, dtype=self.dtype, device=self.device)
    indices = torch.empty(shape, dtype=torch.int64, device=self.device)
    ordered, order = sort_rows(source, with_values=by_value)
    block = ROWS.on(self)["block"]
    rows = values.numel()
    launch(
        kernel,
        cdiv(rows, block),
        values,
        indices,
        ordered if by_value else source,
        order,
        rows,
        n,
        BLOCK=block,
        **constants,
    )
    return values, indices


def _median(name: str, skip: bool, self: torch.Tensor, dim: int, keepdim: bool) -> Pair:
    dim = normal_dim(dim, self.ndim)
    _length(name, self, dim)
    return _read_off(median_kernel, self, dim, keepdim, False, SKIP=skip)


def median(self: torch.Tensor, dim: int, keepdim: bool = False) -> Pair:
    """The lower median along `dim` and where it is; NaN where there is one."""
    return _median("median", False, self, dim, keepdim)


def nanmedian(self: torch.Tensor, dim: int, keepdim: bool = False) -> Pair:
    """The lower median along `dim` of what is not NaN."""
    return _median("nanmedian", True, self, dim, keepdim)


def _median_all(skip: bool, self: torch.Tensor) -> torch.Tensor:
    if not self.numel():
        if not self.dtype.is_floating_point:
            return fill_(self.new_empty(()), torch.iinfo(self.dtype).min)
        return fill_(torch.empty((), dtype=self.dtype, device=self.device), float("nan"))
    return _median("median", skip, self.reshape(-1), 0, False)[0]


def median_all(self: torch.Tensor) -> torch.Tensor:
    """The lower median of all elements, 0-d."""
    return _median_all(False, self)


def nanmedian_all(self: torch.Tensor) -> torch.Tensor:
    """The lower median of all elements that are not NaN, 0-d."""
    return _median_all(True, self)


def mode(self: torch.Tensor, dim: int = -1, keepdim: bool = False) -> Pair:
    """The most frequent value along `dim` and the last place where it is."""
    dim = normal_dim(dim, self.ndim)
    _length("mode", self, dim)
    return _read_off(mode_kernel, self, dim, keepdim, True)


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _sorts(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((7,), (3, 40), (0, 3), (2, 0), ()):
        yield Sample((tensor(shape, dtype),), {"stable": True, "descending": len(shape) == 1})
    yield Sample((tensor((5, 4, 3), dtype).transpose(0, 2),), {"stable": True, "dim": 0})
    yield Sample((tensor((4, 100), dtype)[:, ::2],), {"stable": True, "dim": 1, "descending": True})
    if dtype.is_floating_point:
        yield Sample((special(dtype),), {"stable": True})


@sparingly
def _long(dtype: torch.dtype) -> Iterable[Sample]:
    yield from _sorts(dtype)
    yield Sample((tensor((70000,), dtype),), {"stable": True})


def _distinct(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Different numbers, so that a value has one place only."""
    count = torch.Size(shape).numel()
    return ((torch.arange(count) * 37) % 101 - 50).to(dtype).reshape(shape)


@sparingly
def _kths(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((_distinct((9,), dtype), 3))
    yield Sample((_distinct((5, 20), dtype), 7, 1, True))
    yield Sample((_distinct((5, 6), dtype).t(), 2, 0))
    yield Sample((tensor((), dtype), 1))


@sparingly
def _medians(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((_distinct((9,), dtype), 0))
    yield Sample((_distinct((5, 20), dtype), 1, True))
    yield Sample((_distinct((5, 6), dtype).t(), 0))
    if dtype.is_floating_point:
        nan = float("nan")
        yield Sample((torch.tensor([[3.0, nan, 1.0, 2.0], [5.0, 4.0, 7.0, 6.0]], dtype=dtype), 1))


@sparingly
def _whole(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _medians(dtype):
        yield Sample(sample.arguments[:1])


@sparingly
def _modes(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((torch.tensor([3, 1, 3, 2, 1, 1], dtype=dtype),))
    yield Sample((_distinct((4, 5), dtype), 0, True))


def _rows(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype),))


def _sorted_rows(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype),), {"stable": True})


def _along_rows(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), 1))


register(
    Operator(
        name="sort",
        overloads=(Overload("sort.stable", sort, _long, takes_out=False),),
        kernels=KERNELS,
        dtypes=ALL,
        tiles=TILES,
        benchmarks=(Benchmark("sort.stable", _sorted_rows),),
    )
)
register(
    Operator(
        name="kthvalue",
        overloads=(Overload("kthvalue", kthvalue, _kths, takes_out=False),),
        kernels=KERNELS,
        dtypes=(*FLOATING, *INTEGRAL),
        tiles=TILES,
    )
)
register(
    Operator(
        name="median",
        overloads=(
            Overload("median.dim", median, _medians, takes_out=False),
            Overload("median", median_all, _whole, takes_out=False),
        ),
        kernels=(*KERNELS, median_kernel),
        dtypes=(*FLOATING, *INTEGRAL),
        tiles=TILES,
        benchmarks=(Benchmark("median.dim", _along_rows),),
    )
)
register(
    Operator(
        name="nanmedian",
        overloads=(
            Overload("nanmedian.dim", nanmedian, _medians, takes_out=False),
            Overload("nanmedian", nanmedian_all, _whole, takes_out=False),
        ),
        kernels=(*KERNELS, median_kernel),
        dtypes=(*FLOATING, *INTEGRAL),
        tiles=TILES,
    )
)
register(
    Operator(
        name="mode",
        overloads=(Overload("mode", mode, _modes, takes_out=False),),
        kernels=(*KERNELS, mode_kernel),
        dtypes=(*FLOATING, *INTEGRAL),
        tiles=TILES,
    )
)
