"""bincount, histc, histogram and histogramdd: each element becomes the number of its bin, and bins are
counted in several tables side by side, which are added up in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import delivered
from ..distinct import distinct
from ..elementwise.arithmetic import div, sub
from ..errors import ArgumentError, NotServed
from ..indexing.combine import combine, combine_kernel
from ..launching import TRITON_DTYPES, Tiles, cdiv, launch
from ..memory.copy import COPY, fill_
from ..memory.spaced import linspace, spaced_kernel
from ..pointwise import Pointwise
from ..reduction import wide_accumulator
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, tensor
from ..sorting.search import search
from .extremes import max_all, min_all
from .sums import SUM

TILES = Tiles(
    simt={"tables": 4096, "share": 256, "block": 512}, simd={"tables": 16, "share": 1 << 15, "block": 1024}
)
"""At most so many tables, each for at least `share` elements and as many as there are bins."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def even_bin(value, low, high, bins):
    """Which of `bins` even bins over [low, high] a value is in; -1 outside, and for NaN."""
    inside = (value >= low) & (value <= high)
    place = ((tl.where(inside, value, low) - low) * bins / (high - low)).to(tl.int64)
    return tl.where(inside, tl.minimum(place, bins.to(tl.int64) - 1), -1)


@triton.jit
def bin_between(before, value, last, bins):
    """The bin of a value with `before` of the edges not above it; the last edge belongs to the last bin."""
    return tl.where(before <= bins, before - 1, tl.where(value == last, bins - 1, -1))


@triton.jit
def joined_bin(total, place, bins):
    """Bins of two dimensions as one; -1 where one of them is."""
    return tl.where((total >= 0) & (place >= 0), total * bins + place, -1)


@triton.jit
def edge_kernel(out, values, edges, n, bins, COMPUTE: tl.constexpr, BLOCK: tl.constexpr):
    """out[i] = the bin of values[i] between nearly even edges [bins + 1], -1 outside and for NaN: the place
    that even bins give is off by one at most, and the edges decide."""
    distinct(out, edges)
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = i < n
    value = tl.load(values + i, mask=mask, other=0).to(COMPUTE)
    low = tl.load(edges).to(COMPUTE)
    high = tl.load(edges + bins).to(COMPUTE)
    inside = (value >= low) & (value <= high)
    share = (tl.where(inside, value, low) - low) / (high - low)
    place = tl.minimum((share * bins).to(tl.int32), bins - 1)
    place -= ((value < tl.load(edges + place)) & (place > 0)).to(tl.int32)
    place += ((value >= tl.load(edges + place + 1)) & (place < bins - 1)).to(tl.int32)
    tl.store(out + i, tl.where(inside, place, -1).to(tl.int64), mask=mask)


EVEN = Pointwise(even_bin, result=torch.int64)
BETWEEN = Pointwise(bin_between, raw=15, result=torch.int64)
JOINED = Pointwise(joined_bin)

# ---- forward --------------------------------------------------------------------------------------


def counted(
    places: torch.Tensor, bins: int, weights: torch.Tensor | None, dtype: torch.dtype
) -> torch.Tensor:
    """How many of the flat `places` (negative: none) are each bin, or the sum of their weights [bins], which
    grows in double where `wide_accumulator` says so."""
    wide = wide_accumulator(dtype, places.device)
    count = places.numel()
    sizes = TILES.on(places)
    tables = max(1, min(sizes["tables"], count // sizes["share"], count // max(bins, 1)))
    held = torch.empty((tables, bins), dtype=wide, device=places.device)
    fill_(held, 0)
    share = count // tables
    if bins:
        for rows, start, length in ((tables, 0, share), (1, share * tables, count - share * tables)):
            part = places[start : start + rows * length].view(rows, length)
            added = None if weights is None else weights[start : start + rows * length].view(rows, length)
            combine(held, 1, part, added, "add", value=1, skip=True)
    if tables == 1 and wide == dtype:
        return held.view(bins)
    return SUM(held, [0], False, compute=wide, result=dtype)


def bincount(self: torch.Tensor, weights: torch.Tensor | None = None, minlength: int = 0) -> torch.Tensor:
    """How often each number occurs in a 1-d tensor of non-negative integers, or sums of weights."""
    if self.dtype not in INTEGRAL:
        raise ArgumentError(f'"bincount_cpu" not implemented for {self.dtype}')
    if minlength < 0:
        raise ArgumentError("minlength should be >= 0")
    if self.ndim != 1:
        raise ArgumentError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and (weights.ndim != 1 or weights.shape != self.shape):
        raise ArgumentError("weights should be 1-d and have the same length as input")
    length = minlength
    if self.numel():
        if self.dtype != torch.uint8 and int(min_all(self)) < 0:
            raise ArgumentError("bincount only supports 1-d non-negative integral inputs.")
        length = max(minlength, int(max_all(self)) + 1)
    dtype = torch.int64
    if weights is not None:
        dtype = torch.float32 if weights.dtype == torch.float32 else torch.float64
        weights = weights.to(dtype).contiguous()
    return counted(self.to(torch.int64).contiguous(), length, weights, dtype)


def _ends(name: str, self: torch.Tensor, low: float, high: float, margin: float) -> tuple[float, float]:
    """The outer edges: as given, or the extremes of the data; apart by twice `margin` if equal."""
    if low == high and self.numel():
        low, high = float(min_all(self)), float(max_all(self))
    if low == high:
        low, high = low - margin, high + margin
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ArgumentError(f"{name}: range of [{low}, {high}] is not finite")
    if low > high:
        raise ArgumentError(f"{name}: max must be larger than min")
    return low, high


def histc(self: torch.Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Any = None) -> Any:
    """Counts of even bins between min and max (the data's own if equal), in the dtype of self."""
    if self.dtype not in FLOATING:
        raise NotServed("histc", f"dtype {self.dtype} is not served")
    if bins <= 0:
        raise ArgumentError("torch.histc(): bins must be > 0")
    low, high = _ends("torch.histc", self, float(min), float(max), 1.0)
    places = EVEN(self.contiguous().view(-1), low, high, float(bins))
    return delivered(COPY(counted(places, bins, None, torch.int64), out=self.new_empty((bins,))), out)


def _checked(self: torch.Tensor, weight: torch.Tensor | None, name: str) -> None:
    if self.dtype not in (torch.float32, torch.float64):
        raise NotServed(name, f"dtype {self.dtype} is not served")
    if weight is not None:
        if weight.dtype != self.dtype:
            raise ArgumentError(
                f"{name}: if weight tensor is provided, input tensor and weight tensor should have the same "
                f"dtype, but got input {self.dtype}, and weight {weight.dtype}"
            )
        if weight.shape != self.shape:
            raise ArgumentError(
                f"{name}: if weight tensor is provided it should have the same shape as the input tensor"
            )


def _edges(
    name: str, columns: Sequence[torch.Tensor], bins: Sequence[int], limits: Sequence[float] | None
) -> list[torch.Tensor]:
    """Even edges of every dimension."""
    if len(bins) != len(columns):
        raise ArgumentError(
            f"{name}: The size of bins must be equal to the innermost dimension of the input ({len(columns)})"
        )
    if limits is not None and len(limits) != 2 * len(columns):
        raise ArgumentError(f"{name}: for a {len(columns)}-dimensional histogram range should have pairs")
    edges = []
    for d, (column, count) in enumerate(zip(columns, bins, strict=True)):
        if count <= 0:
            raise ArgumentError(f"{name}: bins must be > 0, but got {count} for dimension {d}")
        if limits is not None:
            low, high = limits[2 * d], limits[2 * d + 1]
            if low > high or not (math.isfinite(low) and math.isfinite(high)):
                raise ArgumentError(f"{name}: min should not exceed max, but got {low} and {high}")
            low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
        elif column.numel():
            low, high = _ends(name, column, 0.0, 0.0, 0.5)
        else:
            low, high = 0.0, 1.0
        out = torch.empty((count + 1,), dtype=column.dtype, device=column.device)
        edges.append(linspace(low, high, count + 1, out=out))
    return edges


def _places(column: torch.Tensor, edge: torch.Tensor, even: bool) -> torch.Tensor:
    """The bin between edges of each element, -1 outside."""
    out = torch.empty(column.shape, dtype=torch.int64, device=column.device)
    bins = edge.numel() - 1
    if not even or column.dtype not in (torch.float32, torch.float64):
        search(edge, None, column, column.numel(), out, True)
        return BETWEEN(out, column, edge[-1], bins)
    block = TILES.on(column)["block"]
    launch(
        edge_kernel,
        cdiv(column.numel(), block),
        out,
        column,
        edge,
        column.numel(),
        bins,
        COMPUTE=TRITON_DTYPES[column.dtype],
        BLOCK=block,
    )
    return out


def _counts(
    columns: Sequence[torch.Tensor],
    edges: Sequence[torch.Tensor],
    weight: torch.Tensor | None,
    density: bool,
    even: bool,
) -> torch.Tensor:
    """Counts, sums of weights, or densities in the bins between the edges of all dimensions, which may be
    `even`."""
    dtype, device = columns[0].dtype, columns[0].device
    shape = tuple(edge.numel() - 1 for edge in edges)
    total: Any = 0
    for column, edge, bins in zip(columns, edges, shape, strict=True):
        place = _places(column, edge, even)
        total = place if len(columns) == 1 else JOINED(total, place, bins)
    places = total.contiguous()
    if weight is None:
        found = counted(places, math.prod(shape), None, torch.int64)
    else:
        found = counted(places, math.prod(shape), weight.contiguous().view(-1), dtype)
    result = COPY(found.view(shape), out=torch.empty(shape, dtype=dtype, device=device))
    if density:
        result = div(result, SUM(result, None, False, compute=dtype, result=dtype))
        for d, edge in enumerate(edges):
            widths = sub(edge[1:], edge[:-1], 1)
            result = div(result, widths.view([-1 if k == d else 1 for k in range(len(shape))]))
    return result


def _flat_edges(bins: torch.Tensor, like: torch.Tensor, name: str) -> torch.Tensor:
    if bins.dtype != like.dtype:
        raise ArgumentError(f"{name}: input tensor and bins tensors should have the same dtype")
    if bins.ndim != 1 or not bins.numel():
        raise ArgumentError(f"{name}: bins tensor should have one dimension and one element at least")
    return bins.contiguous()


def histogram(
    self: torch.Tensor,
    bins: int = 100,
    *,
    range: Sequence[float] | None = None,
    weight: torch.Tensor | None = None,
    density: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(counts, edges) of even bins over `range` (None: the data's own)."""
    _checked(self, weight, "histogram")
    column = self.contiguous().view(-1)
    edges = _edges("histogram", [column], [bins], range)
    return _counts([column], edges, weight, density, True), edges[0]


def histogram_between(
    self: torch.Tensor, bins: torch.Tensor, *, weight: torch.Tensor | None = None, density: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """(counts, edges) of the bins between given edges."""
    _checked(self, weight, "histogram")
    edges = _flat_edges(bins, self, "histogram")
    return _counts([self.contiguous().view(-1)], [edges], weight, density, False), edges


def _columns(self: torch.Tensor, weight: torch.Tensor | None) -> list[torch.Tensor]:
    """The coordinates of points [..., D], one contiguous tensor a dimension."""
    _checked(self, None, "histogramdd")
    if self.ndim < 2:
        raise ArgumentError("torch.histogramdd: input tensor should have at least 2 dimensions")
    if weight is not None and (weight.dtype != self.dtype or weight.shape != self.shape[:-1]):
        raise ArgumentError("torch.histogramdd: weight should have the input's dtype and shape but the last")
    points = self.reshape(-1, self.shape[-1])
    return [points[:, d].contiguous() for d in range(self.shape[-1])]


def histogramdd_edges(
    self: torch.Tensor,
    bins: Sequence[int],
    *,
    range: Sequence[float] | None = None,
    weight: torch.Tensor | None = None,
    density: bool = False,
) -> list[torch.Tensor]:
    """Even edges of every dimension of points [..., D]."""
    return _edges("torch.histogramdd", _columns(self, weight), bins, range)


def histogramdd_even(
    self: torch.Tensor,
    bins: Sequence[int],
    *,
    range: Sequence[float] | None = None,
    weight: torch.Tensor | None = None,
    density: bool = False,
) -> torch.Tensor:
    """Counts [*bins] of points [..., D] in even bins."""
    columns = _columns(self, weight)
    return _counts(columns, _edges("torch.histogramdd", columns, bins, range), weight, density, True)


def histogramdd_between(
    self: torch.Tensor,
    bins: Sequence[torch.Tensor],
    *,
    weight: torch.Tensor | None = None,
    density: bool = False,
) -> torch.Tensor:
    """Counts of points [..., D] in bins between given edges, one tensor of them a dimension."""
    columns = _columns(self, weight)
    if len(bins) != len(columns):
        raise ArgumentError(
            "torch.histogramdd: one tensor of bins is needed for each dimension of the points"
        )
    edges = [_flat_edges(x, self, "torch.histogramdd") for x in bins]
    return _counts(columns, edges, weight, density, False)


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _integers(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((200,), dtype, 0, 7)
    yield Sample((x,))
    yield Sample((x, tensor((200,), torch.float64, seed=1), 20))
    yield Sample((tensor((0,), dtype), None, 3))


@sparingly
def _values(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((20, 30), dtype), 7))
    yield Sample((tensor((20, 30), dtype).t(), 5, -1, 2))
    yield Sample((torch.full((4,), 2.0, dtype=dtype), 3))


@sparingly
def _even(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((20, 30), dtype)
    yield Sample((x, 7))
    yield Sample((x, 5), {"range": (-1.0, 2.0), "density": True})
    yield Sample((x, 5), {"weight": tensor((20, 30), dtype, 0, 1, seed=1)})


@sparingly
def _between(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((20, 30), dtype)
    yield Sample((x, torch.tensor([-2.0, -1.0, 1.5, 2.5], dtype=dtype)))


@sparingly
def _points(dtype: torch.dtype) -> Iterable[Sample]:
    x = tensor((40, 2), dtype)
    yield Sample((x, [3, 4]))
    yield Sample((x, [3, 4]), {"range": (-1.0, 2.0, -2.0, 2.0), "density": True})


@sparingly
def _point_edges(dtype: torch.dtype) -> Iterable[Sample]:
    edges = [torch.tensor([-2.0, 0.0, 2.0], dtype=dtype), torch.tensor([-1.0, 1.0], dtype=dtype)]
    yield Sample((tensor((40, 2), dtype), edges), {"weight": tensor((40,), dtype, 0, 1, seed=1)})


def _many(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), 100, -3, 3))


def _many_even(dtype: torch.dtype) -> Sample:
    return Sample((tensor((1024, 1024), dtype), 100), {"range": (-3.0, 3.0)})


def _many_integers(dtype: torch.dtype) -> Sample:
    return Sample((tensor((1 << 22,), torch.int64, 0, 1000),))


for _name, _overloads, _dtypes, _benchmarks in (
    (
        "bincount",
        (Overload("bincount", bincount, _integers, takes_out=False),),
        INTEGRAL,
        (Benchmark("bincount", _many_integers),),
    ),
    (
        "histc",
        (Overload("histc", histc, _values),),
        FLOATING,
        (Benchmark("histc", _many),),
    ),
    (
        "histogram",
        (
            Overload("histogram.bin_ct", histogram, _even, takes_out=False),
            Overload("histogram.bins_tensor", histogram_between, _between, takes_out=False),
        ),
        (torch.float32, torch.float64),
        (Benchmark("histogram.bin_ct", _many_even),),
    ),
    (
        "histogramdd",
        (
            Overload("_histogramdd_bin_edges", histogramdd_edges, _points, takes_out=False),
            Overload("_histogramdd_from_bin_cts", histogramdd_even, _points, takes_out=False),
            Overload("_histogramdd_from_bin_tensors", histogramdd_between, _point_edges, takes_out=False),
        ),
        (torch.float32, torch.float64),
        (),
    ),
):
    register(
        Operator(
            name=_name,
            overloads=_overloads,
            kernels=(
                (combine_kernel, edge_kernel, spaced_kernel)
                if _name.startswith("histogram")
                else (combine_kernel,)
            ),
            dtypes=_dtypes,
            differentiable=False,
            tiles=TILES,
            benchmarks=_benchmarks,
        )
    )
