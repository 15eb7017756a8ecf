"""scatter with reductions, index_copy, index_fill, index_reduce, put and take: checks and identities
around the one operation that combines elements in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import delivered, normal_dim
from ..distinct import distinct
from ..elementwise.arithmetic import div
from ..errors import ArgumentError, DimensionError, NotServed
from ..launching import TRITON_DTYPES, Tiles, cdiv, launch
from ..memory.copy import fill_
from ..registry import ALL, FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, tensor
from .combine import (
    INDEX_DTYPES,
    TILES,
    Kind,
    along_checked,
    combine,
    combine_kernel,
    scatter_checked,
    working_copy,
)

TAKE = Tiles(simt={"block": 512}, simd={"block": 1024})
KINDS: dict[str, Kind] = {
    "sum": "add",
    "add": "add",
    "mean": "add",
    "prod": "multiply",
    "multiply": "multiply",
    "amax": "largest",
    "amin": "smallest",
}

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def take_kernel(out, source, index, n, size, BLOCK: tl.constexpr):
    """out[i] = source[index[i]] of a flat source; a negative index counts from the end."""
    distinct(out, source)
    distinct(out, index)
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < n
    position = tl.load(index + lane, mask=inside, other=0).to(tl.int64)
    position = tl.where(position < 0, position + size, position)
    known = (position >= 0) & (position < size)
    tl.device_assert(known | (not inside), "index out of range: tried to access an element beyond the tensor")
    tl.store(out + lane, tl.load(source + position, mask=inside & known), mask=inside)


# ---- forward --------------------------------------------------------------------------------------


def _finished(work: torch.Tensor, self: torch.Tensor, out: Any) -> torch.Tensor:
    if out is None:
        return work if work.dtype == self.dtype else work.to(self.dtype)
    return delivered(work, out)


def _identity(kind: Kind, dtype: torch.dtype) -> float:
    """What leaves the other operand as it is."""
    if kind in ("add", "multiply"):
        return 0 if kind == "add" else 1
    if dtype.is_floating_point:
        return float("-inf") if kind == "largest" else float("inf")
    limits = torch.iinfo(dtype)
    return limits.min if kind == "largest" else limits.max


def _reduced(
    self: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    source: torch.Tensor,
    reduce: str,
    include_self: bool,
    wrap: bool,
    out: Any,
) -> torch.Tensor:
    """self with `source` reduced into it at positions `index` of the same rank."""
    kind = KINDS[reduce]
    work = working_copy(self, kind)
    if not include_self:
        combine(work, dim, index, None, "replace", value=_identity(kind, work.dtype), wrap=wrap)
    combine(work, dim, index, source, kind, wrap=wrap)
    if reduce == "mean":
        counts = fill_(torch.empty_like(work), 1)
        if not include_self:
            combine(counts, dim, index, None, "replace", value=0, wrap=wrap)
        combine(counts, dim, index, None, "add", value=1, wrap=wrap)
        work = div(work, counts, rounding_mode=None if work.dtype.is_floating_point else "floor")
    return _finished(work, self, out)


def scatter_reduce(
    self: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    src: torch.Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    out: Any = None,
) -> torch.Tensor:
    """self with `src` reduced (sum, prod, mean, amax or amin) into the positions of `index` along `dim`."""
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise ArgumentError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    place = scatter_checked("scatter_reduce", self, dim, index, src)
    return _reduced(self, place, index, src, reduce, include_self, False, out)


def scatter_src_reduce(
    self: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor, *, reduce: str, out: Any = None
) -> torch.Tensor:
    """self with `src` added or multiplied into the positions of `index` along `dim`."""
    if reduce not in ("add", "multiply"):
        raise ArgumentError(f"reduce argument must be either add or multiply, got {reduce}")
    place = scatter_checked("scatter", self, dim, index, src)
    return _reduced(self, place, index, src, reduce, True, False, out)


def scatter_value_reduce(
    self: torch.Tensor, dim: int, index: torch.Tensor, value: float, *, reduce: str, out: Any = None
) -> torch.Tensor:
    """self with a number added or multiplied into the positions of `index` along `dim`."""
    if reduce not in ("add", "multiply"):
        raise ArgumentError(f"reduce argument must be either add or multiply, got {reduce}")
    place = scatter_checked("scatter", self, dim, index, None)
    kind = KINDS[reduce]
    work = working_copy(self, kind)
    combine(work, place, index, None, kind, value=value)
    return _finished(work, self, out)


def index_copy(
    self: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor, *, out: Any = None
) -> torch.Tensor:
    """self with slices of `source` written along `dim` at the positions of a 1-d `index`."""
    place, spread = along_checked("index_copy", self, dim, index, source)
    work = working_copy(self, "replace")
    combine(work, place, spread, source, "replace")
    return _finished(work, self, out)


def index_reduce(
    self: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    source: torch.Tensor,
    reduce: str,
    *,
    include_self: bool = True,
    out: Any = None,
) -> torch.Tensor:
    """self with slices of `source` reduced (prod, mean, amax or amin) into those at a 1-d `index`."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise ArgumentError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."
        )
    place, spread = along_checked("index_reduce", self, dim, index, source)
    return _reduced(self, place, spread, source, reduce, include_self, False, out)


def index_fill_(self: torch.Tensor, dim: int, index: torch.Tensor, value: Any) -> torch.Tensor:
    """Write a number, or a 0-d tensor, into the slices along `dim` at a 1-d `index`."""
    dim = normal_dim(dim, self.ndim)
    if index.dtype not in INDEX_DTYPES:
        raise DimensionError("index_fill_(): Expected dtype int64 for index.")
    if index.ndim > 1:
        raise DimensionError("Index has to be a vector/scalar")
    if isinstance(value, complex) or self.dtype not in TRITON_DTYPES:
        raise NotServed("index_fill_", f"a value {value} into {self.dtype} is not served")
    shape = list(self.shape or (1,))
    shape[dim] = index.numel()
    spread = index.reshape([-1 if d == dim else 1 for d in range(len(shape))]).expand(shape)
    if isinstance(value, torch.Tensor):
        if value.ndim:
            raise ArgumentError(
                f"Only supports 0-dimensional value tensor. Got a tensor with {value.ndim} dims"
            )
        source = value.to(self.dtype).expand(shape)
        combine(self, dim, spread, source, "replace", wrap=True)
    else:
        if not self.dtype.is_floating_point:
            value = bool(value) if self.dtype == torch.bool else int(value)
        combine(self, dim, spread, None, "replace", value=value, wrap=True)
    return self


def put_(
    self: torch.Tensor, index: torch.Tensor, source: torch.Tensor, accumulate: bool = False
) -> torch.Tensor:
    """Write, or add, the elements of `source` at positions of the flattened self."""
    if index.dtype not in INDEX_DTYPES:
        raise ArgumentError(f"put_(): Expected a long tensor for index, but got {index.dtype}")
    if source.dtype != self.dtype:
        raise ArgumentError(
            f"put_(): self and source expected to have the same dtype, but got {source.dtype}"
        )
    if index.numel() != source.numel():
        raise ArgumentError("put_(): Expected source and index to have the same number of elements")
    if not self.numel() and index.numel():
        raise DimensionError("put_(): Expected self to be a non-empty tensor for a non-empty index")
    kind: Kind = "add" if accumulate else "replace"
    work = working_copy(self, kind)
    combine(work.view(-1), 0, index.reshape(-1), source.reshape(-1), kind, wrap=True)
    return self.copy_(work)


def take(self: torch.Tensor, index: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """Elements of the flattened self at `index`, of any shape."""
    if index.dtype not in INDEX_DTYPES:
        raise ArgumentError(f"take(): Expected a long tensor for index, but got {index.dtype}")
    if not self.numel() and index.numel():
        raise DimensionError("take(): tried to take from an empty tensor")
    if self.dtype not in TRITON_DTYPES:
        raise NotServed("take", f"dtype {self.dtype} is not served")
    if out is not None and out.dtype != self.dtype:
        raise ArgumentError(f"take(): self and out expected to have the same dtype, but got {out.dtype}")
    found = torch.empty(index.shape, dtype=self.dtype, device=self.device)
    block = TAKE.on(self)["block"]
    launch(
        take_kernel,
        cdiv(found.numel(), block),
        found,
        self.contiguous(),
        index.contiguous(),
        found.numel(),
        self.numel(),
        BLOCK=block,
        debug=True,
        sanitize_overflow=False,
    )
    return delivered(found, out)


# ---- record ---------------------------------------------------------------------------------------

POSITIONS = torch.tensor([[0, 2, 1, 1], [3, 0, 2, 0]])
NUMERIC = (*FLOATING, torch.int64, torch.int32)


@sparingly
def _reductions(dtype: torch.dtype) -> Iterable[Sample]:
    x, source = tensor((4, 5), dtype), tensor((2, 4), dtype, -2, 3, seed=1)
    for reduce in ("sum", "prod", "mean", "amax", "amin"):
        yield Sample((x, 0, POSITIONS, source, reduce))
        yield Sample((x.t().contiguous().t(), 0, POSITIONS, source, reduce), {"include_self": False})


@sparingly
def _additions(dtype: torch.dtype) -> Iterable[Sample]:
    for reduce in ("add", "multiply"):
        yield Sample((tensor((4, 5), dtype), 0, POSITIONS, tensor((2, 4), dtype, seed=1)), {"reduce": reduce})


@sparingly
def _numbers(dtype: torch.dtype) -> Iterable[Sample]:
    for reduce in ("add", "multiply"):
        yield Sample((tensor((4, 5), dtype), 0, POSITIONS, 2), {"reduce": reduce})


@sparingly
def _copies(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, dim in (((4, 5), 0), ((5, 4), 1), ((4,), 0)):
        size = list(shape)
        size[dim] = 3
        yield Sample((tensor(shape, dtype), dim, torch.tensor([3, 0, 1]), tensor(size, dtype, seed=1)))


@sparingly
def _slices(dtype: torch.dtype) -> Iterable[Sample]:
    for reduce in ("prod", "mean", "amax", "amin"):
        source = tensor((3, 5), dtype, -2, 3, seed=1)
        yield Sample((tensor((4, 5), dtype), 0, torch.tensor([3, 0, 3]), source, reduce))
        yield Sample(
            (tensor((4, 5), dtype), 0, torch.tensor([3, 0, 3]), source, reduce), {"include_self": False}
        )


@sparingly
def _fills(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 5), dtype), 1, torch.tensor([3, -5]), 1))
    yield Sample((tensor((5, 4), dtype).t(), 0, torch.tensor(3), 1))


@sparingly
def _tensor_fills(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 5), dtype), 1, torch.tensor([3, -5]), tensor((), dtype, seed=1)))


@sparingly
def _puts(dtype: torch.dtype) -> Iterable[Sample]:
    index = torch.tensor([[3, -1], [0, 7]])
    for accumulate in (False, True):
        yield Sample((tensor((4, 5), dtype), index, tensor((4,), dtype, -2, 3, seed=1), accumulate))


@sparingly
def _takes(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 5), dtype).t(), torch.tensor([[3, -1], [0, 7]])))
    yield Sample((tensor((4,), dtype), torch.tensor([], dtype=torch.int64)))


def _large(dtype: torch.dtype) -> Sample:
    x = tensor((4096, 256), dtype)
    return Sample((x, 1, tensor((4096, 256), torch.int64, 0, 256), x, "amax"))


for _name, _overloads, _dtypes, _benchmarks in (
    (
        "scatter_reduce",
        (
            Overload("scatter_reduce.two", scatter_reduce, _reductions),
            Overload("scatter.reduce", scatter_src_reduce, _additions),
            Overload("scatter.value_reduce", scatter_value_reduce, _numbers),
        ),
        NUMERIC,
        (Benchmark("scatter_reduce.two", _large),),
    ),
    ("index_copy", (Overload("index_copy", index_copy, _copies),), ALL, ()),
    ("index_reduce", (Overload("index_reduce", index_reduce, _slices),), NUMERIC, ()),
    (
        "index_fill",
        (
            Overload("index_fill_.int_Scalar", index_fill_, _fills, takes_out=False),
            Overload("index_fill_.int_Tensor", index_fill_, _tensor_fills, takes_out=False),
        ),
        ALL,
        (),
    ),
    ("put", (Overload("put_", put_, _puts, takes_out=False),), NUMERIC, ()),
):
    register(
        Operator(
            name=_name,
            overloads=_overloads,
            kernels=(combine_kernel,),
            dtypes=_dtypes,
            tiles=TILES,
            benchmarks=_benchmarks,
            tolerance=4.0,
        )
    )
register(
    Operator(
        name="take",
        overloads=(Overload("take", take, _takes),),
        kernels=(take_kernel,),
        dtypes=ALL,
        tiles=TAKE,
    )
)
