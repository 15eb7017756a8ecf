"""Single elements by computed position: gather along a dimension, and scatter back, by replacing or
by adding up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..launch import Tiles, cdiv, launch, scalar_bits
from ..pointwise import store_as
from ..registry import ALL, FLOATING, Operator, Overload, Sample, register
from ..samples import tensor
from .combine import Kind, combine, combine_kernel, scatter_checked, working_copy

TILES = Tiles(simt={"block": 512, "in_turn": 0}, simd={"block": 1024, "in_turn": 1})
"""`in_turn`: elements are scattered one after the other by the program that owns their column, rather
than all at once with atomic additions."""
GATHER, REPLACE, ADD = 0, 1, 2

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["bits"])
def elements_kernel(
    indexed, other, index, table, n, size, stride, bits: tl.int64,
    RANK: tl.constexpr, KIND: tl.constexpr, FLOAT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """For each element of a contiguous `index`: gather it from `indexed` into a contiguous `other`, or
    scatter `other` (a number when None) to it. `table` holds, for each dimension, the index's size,
    `indexed`'s stride (0 along the indexed dimension) and `other`'s stride."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    inside = lane < n - first
    rest = first + lane
    there = tl.zeros((BLOCK,), tl.int64)
    here = tl.zeros((BLOCK,), tl.int64)
    for k in tl.static_range(RANK):
        row = table + (RANK - 1 - k) * 3
        length = tl.load(row)
        coordinate = rest % length
        rest = rest // length
        there += coordinate * tl.load(row + 1)
        here += coordinate * tl.load(row + 2)
    position = tl.load(index + first + lane, mask=inside, other=0).to(tl.int64)
    known = (position >= 0) & (position < size)
    tl.device_assert(known, "index out of range")
    mask = inside & known
    at = indexed + there + position * stride
    if KIND == 0:
        tl.store(other + here, tl.load(at, mask=mask), mask=mask)
    else:
        if other is not None:
            value = tl.load(other + here, mask=mask)
        elif FLOAT:
            value = tl.zeros((BLOCK,), tl.float64) + bits.to(tl.int64).to(tl.float64, bitcast=True)
        else:
            value = tl.zeros((BLOCK,), tl.int64) + bits.to(tl.int64)
        if KIND == 2:
            tl.atomic_add(at, value.to(indexed.dtype.element_ty), mask=mask, sem="relaxed")
        else:
            store_as(at, value, mask)


# ---- forward --------------------------------------------------------------------------------------


def _at_least_1d(x: torch.Tensor) -> torch.Tensor:
    """A 0-d tensor as one of one element: PyTorch lets them stand for each other here."""
    return x if x.ndim else x.view(1)


def _run(
    kind: int,
    indexed: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    other: torch.Tensor | None,
    value: float = 0,
) -> None:
    if index.dtype not in (torch.int64, torch.int32):
        raise NotServed("gather and scatter", f"an index of dtype {index.dtype} is not served")
    indexed, index = _at_least_1d(indexed), _at_least_1d(index)
    other = None if other is None else _at_least_1d(other)
    dim = dim % indexed.ndim
    if index.ndim != indexed.ndim:
        raise ArgumentError(
            "Index tensor must have the same number of dimensions as input tensor "
            f"({index.ndim}, {indexed.ndim})"
        )
    if any(index.shape[d] > indexed.shape[d] for d in range(index.ndim) if d != dim):
        raise ArgumentError(
            f"Size does not match at a dimension: index {list(index.shape)}, tensor "
            f"{list(indexed.shape)}, dim {dim}"
        )
    listed = [
        [
            index.shape[d],
            0 if d == dim else indexed.stride(d),
            0 if other is None else other.stride(d),
        ]
        for d in range(index.ndim)
    ]
    table = torch.tensor(listed, dtype=torch.int64).to(indexed.device)
    count = index.numel()
    block = TILES.on(indexed.device)["block"]
    floating = indexed.dtype.is_floating_point
    size, stride = indexed.shape[dim], indexed.stride(dim)
    launch(
        elements_kernel, cdiv(count, block), indexed, other, index.contiguous(), table, count, size, stride,
        scalar_bits(value, floating), label=("gather", "scatter", "scatter_add")[kind],
        RANK=index.ndim, KIND=kind, FLOAT=floating, BLOCK=block, debug=True, sanitize_overflow=False,
    )  # fmt: skip


def gather(
    self: torch.Tensor, dim: int, index: torch.Tensor, *, sparse_grad: bool = False, out: Any = None
) -> torch.Tensor:
    """out[i][j] = self[index[i][j]][j] for dim 0, and so on."""
    if out is not None and out.dtype != self.dtype:
        raise ArgumentError(f"Expected out tensor to have dtype {self.dtype}, but got {out.dtype} instead")
    result = torch.empty(index.shape, dtype=self.dtype, device=self.device)
    if index.numel():
        _run(GATHER, self, dim, index, result)
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)


def _scattered(
    kind: int,
    self: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    source: torch.Tensor | None,
    value: float,
    out: Any,
) -> torch.Tensor:
    name = "scatter_add" if kind == ADD else "scatter"
    along = scatter_checked(name, self, dim, index, source)
    combined: Kind = "add" if kind == ADD else "replace"
    work = working_copy(self, combined)
    if TILES.on(self.device)["in_turn"]:
        combine(work, along, index, source, combined, value=value)
    else:
        _run(kind, work, dim, index, source, value)
    if out is None:
        return work if work.dtype == self.dtype else work.to(self.dtype)
    if out.shape != self.shape:
        out.resize_(self.shape)
    return out.copy_(work)


def scatter_src(
    self: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor, *, out: Any = None
) -> torch.Tensor:
    """self with `src` written at the positions of `index` along `dim`."""
    return _scattered(REPLACE, self, dim, index, src, 0, out)


def scatter_value(
    self: torch.Tensor, dim: int, index: torch.Tensor, value: float, *, out: Any = None
) -> torch.Tensor:
    """self with a number written at the positions of `index` along `dim`."""
    return _scattered(REPLACE, self, dim, index, None, value, out)


def scatter_add(
    self: torch.Tensor, dim: int, index: torch.Tensor, src: torch.Tensor, *, out: Any = None
) -> torch.Tensor:
    """self with `src` added at the positions of `index` along `dim`."""
    return _scattered(ADD, self, dim, index, src, 0, out)


# ---- record ---------------------------------------------------------------------------------------

ROWS = torch.tensor([[0, 2, 1, 1], [3, 0, 2, 0]])


def _gathers(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 5), dtype), 0, ROWS))
    yield Sample((tensor((5, 3), dtype).t(), -1, ROWS[:, :3] % 3))
    yield Sample((tensor((7,), dtype), 0, torch.tensor([6, 0, 6])))


def _distinct(dtype: torch.dtype) -> Iterable[Sample]:
    order = torch.tensor([[2, 0, 1], [0, 2, 1]])
    yield Sample((tensor((2, 4), dtype), 1, order, tensor((2, 3), dtype, seed=1)))


def _numbers(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 5), dtype), 0, ROWS, 1))


def _sums(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 5), dtype), 0, ROWS, tensor((2, 4), dtype, seed=1)))


register(
    Operator(
        name="gather",
        domain="indexing",
        overloads=(Overload("gather", gather, _gathers),),
        kernels=(elements_kernel,),
        dtypes=ALL,
        tiles=TILES,
    )
)
register(
    Operator(
        name="scatter",
        domain="indexing",
        overloads=(
            Overload("scatter.src", scatter_src, _distinct),
            Overload("scatter.value", scatter_value, _numbers),
            Overload("scatter_add", scatter_add, _sums),
        ),
        kernels=(elements_kernel, combine_kernel),
        dtypes=(*FLOATING, torch.int64, torch.int32),
        tiles=TILES,
    )
)
