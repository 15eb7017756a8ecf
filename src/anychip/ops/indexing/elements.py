"""Single elements by computed position: gather along a dimension, and scatter back, by replacing or
by adding up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..distinct import distinct
from ..errors import ArgumentError, NotServed
from ..iteration import coalesce, power_of_two
from ..kernels.numbers import double
from ..launching import Plan, Plans, Tiles, cdiv, launch, scalar_bits, signature
from ..pointwise_kernels import store_as
from ..registry import ALL, FLOATING, Operator, Overload, Sample, register
from ..samples import tensor
from .combine import Kind, combine, combine_kernel, scatter_checked, working_copy

PLANS: Plans[Plan] = Plans()
TILES = Tiles(simt={"block": 512, "in_turn": 0}, simd={"block": 1024, "in_turn": 1})
"""`in_turn`: elements are scattered one after the other by the program that owns their column, rather
than all at once with atomic additions."""
REPLACE, ADD = 1, 2

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["bits"])
def elements_kernel(
    indexed,
    other,
    index,
    table,
    n,
    size,
    stride,
    bits: tl.int64,
    RANK: tl.constexpr,
    KIND: tl.constexpr,
    FLOAT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """For each element of a contiguous `index`: scatter `other` (a number when None) to it in `indexed`.
    `table` holds, for each dimension, the index's size,
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
    if other is not None:
        value = tl.load(other + here, mask=mask)
    elif FLOAT:
        value = tl.zeros((BLOCK,), tl.float64) + double(bits)
    else:
        value = tl.zeros((BLOCK,), tl.int64) + bits.to(tl.int64)
    if KIND == 2:
        tl.atomic_add(at, value.to(indexed.dtype.element_ty), mask=mask, sem="relaxed")
    else:
        store_as(at, value, mask)


@triton.jit
def gather_kernel(
    out,
    source,
    index,
    table,
    rows,
    columns,
    size,
    step,
    row_step,
    column_step,
    OUTER: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """out[m, n] = source[m, n, index[m, n]] for a tile of the two innermost dimensions of contiguous `out`
    and `index`; `table` holds size and stride of source of each of the OUTER further dimensions."""
    distinct(out, source)
    distinct(out, index)
    tiles_n = tl.cdiv(columns, BLOCK_N)
    tiles_m = tl.cdiv(rows, BLOCK_M)
    program = tl.program_id(0)
    n = (program % tiles_n) * BLOCK_N + tl.arange(0, BLOCK_N)
    rest = program // tiles_n
    m = (rest % tiles_m) * BLOCK_M + tl.arange(0, BLOCK_M)
    rest = (rest // tiles_m).to(tl.int64)
    start = rest * rows * columns
    for k in tl.static_range(OUTER):
        line = table + (OUTER - 1 - k) * 2
        extent = tl.load(line)
        source += rest % extent * tl.load(line + 1)
        rest = rest // extent
    inside = (m < rows)[:, None] & (n < columns)[None, :]
    place = start + (m.to(tl.int64) * columns)[:, None] + n[None, :]
    position = tl.load(index + place, mask=inside, other=0).to(tl.int64)
    known = (position >= 0) & (position < size)
    tl.device_assert(known, "index out of range")
    row = m.to(tl.int64) * row_step
    column = n.to(tl.int64) * column_step
    value = tl.load(source + (row[:, None] + column[None, :] + position * step), mask=inside & known)
    tl.store(out + place, value, mask=inside)


# ---- forward --------------------------------------------------------------------------------------


def _at_least_1d(x: torch.Tensor) -> torch.Tensor:
    """A 0-d tensor as one of one element: PyTorch lets them stand for each other here."""
    return x if x.ndim else x.view(1)


def _checked(indexed: torch.Tensor, dim: int, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Both of at least one dimension, and the dimension as a non-negative number, after PyTorch's checks."""
    if index.dtype not in (torch.int64, torch.int32):
        raise NotServed("gather and scatter", f"an index of dtype {index.dtype} is not served")
    indexed, index = _at_least_1d(indexed), _at_least_1d(index)
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
    return indexed, index, dim


def _gather_plan(source: torch.Tensor, dim: int, index: torch.Tensor) -> Plan:
    source, index, dim = _checked(source, dim, index)
    order = torch.empty(index.shape, device="meta").stride()
    read = tuple(0 if d == dim else step for d, step in enumerate(source.stride()))
    space = coalesce(index.shape, [order, read], reorder=False)
    sizes, steps = (1, *space.sizes)[-max(2, len(space.sizes)) :], (0, *space.strides[1])
    steps = steps[-len(sizes) :]
    outer = len(sizes) - 2
    budget = TILES.on(source)["block"]
    block_n = min(power_of_two(sizes[-1]), budget)
    block_m = min(power_of_two(sizes[-2]), budget // block_n)
    table = None
    if outer:
        listed = [[sizes[d], steps[d]] for d in range(outer)]
        table = torch.tensor(listed, dtype=torch.int64).to(source.device)
    numbers = (*sizes[-2:], source.shape[dim], source.stride(dim), steps[-2], steps[-1])
    constants = {
        "OUTER": outer,
        "BLOCK_M": block_m,
        "BLOCK_N": block_n,
        "debug": True,
        "sanitize_overflow": False,
    }
    programs = math.prod(sizes[:-2]) * cdiv(sizes[-2], block_m) * cdiv(sizes[-1], block_n)
    return Plan(gather_kernel, programs, numbers, constants, result=table)


def _run(
    kind: int,
    indexed: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    other: torch.Tensor | None,
    value: float = 0,
) -> None:
    indexed, index, dim = _checked(indexed, dim, index)
    other = None if other is None else _at_least_1d(other)
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
    block = TILES.on(indexed)["block"]
    floating = indexed.dtype.is_floating_point
    size, stride = indexed.shape[dim], indexed.stride(dim)
    launch(
        elements_kernel,
        cdiv(count, block),
        indexed,
        other,
        index.contiguous(),
        table,
        count,
        size,
        stride,
        scalar_bits(value, floating),
        label={REPLACE: "scatter", ADD: "scatter_add"}[kind],
        RANK=index.ndim,
        KIND=kind,
        FLOAT=floating,
        BLOCK=block,
        debug=True,
        sanitize_overflow=False,
    )


def gather(
    self: torch.Tensor, dim: int, index: torch.Tensor, *, sparse_grad: bool = False, out: Any = None
) -> torch.Tensor:
    """out[i][j] = self[index[i][j]][j] for dim 0, and so on."""
    if out is not None and out.dtype != self.dtype:
        raise ArgumentError(f"Expected out tensor to have dtype {self.dtype}, but got {out.dtype} instead")
    result = torch.empty(index.shape, dtype=self.dtype, device=self.device)
    if index.numel():
        key = (signature(self, index), dim)
        plan = PLANS.get(key)
        if plan is None:
            plan = PLANS.remember(key, _gather_plan(self, dim, index))
        plan.launch(result, self, index.contiguous(), plan.result)
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
    if TILES.on(self)["in_turn"]:
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
        overloads=(Overload("gather", gather, _gathers),),
        kernels=(gather_kernel,),
        dtypes=ALL,
        tiles=TILES,
    )
)
register(
    Operator(
        name="scatter",
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
