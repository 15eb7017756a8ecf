"""flip, roll, narrow_copy and stack: elements move to other places, nothing is computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import delivered, normal_dim
from ..distinct import distinct
from ..errors import ArgumentError, DimensionError, NotServed
from ..iteration import Space, coalesce, power_of_two, second_innermost
from ..launching import TRITON_DTYPES, Plan, Plans, cdiv, signature
from ..pointwise import TILES
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..reduction import normal_dims
from ..registry import ALL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, tensor
from .copy import COPY

PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def reversed_kernel(
    out,
    source,
    table,
    start,
    rows,
    columns,
    along_rows,
    along_columns,
    MIRRORED: tl.constexpr,
    OUTER: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Copies elements to places that run backwards from `start`, an offset in `out`. `along_rows` and
    `along_columns` are the strides of out (negative where it is reversed) and of source; MIRRORED: those of
    columns are -1 and 1. `table` holds size, stride of out and stride of source of each of the OUTER further
    dimensions."""
    distinct(out, source)
    out_row, source_row = along_rows
    out_column, source_column = along_columns
    tiles_n = tl.cdiv(columns, BLOCK_N)
    tiles = tl.cdiv(rows, BLOCK_M) * tiles_n
    program = tl.program_id(0)
    rest = (program // tiles).to(tl.int64)
    tile = program % tiles
    row = (tile // tiles_n).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    column = (tile % tiles_n).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    out += start
    for k in tl.static_range(OUTER):
        line = table + (OUTER - 1 - k) * 3
        size = tl.load(line)
        index = rest % size
        rest = rest // size
        out += index * tl.load(line + 1)
        source += index * tl.load(line + 2)
    mask = (row < rows)[:, None] & (column < columns)[None, :]
    if MIRRORED:
        value = tl.load(source + row[:, None] * source_row + column[None, :], mask=mask)
        tl.store(out + row[:, None] * out_row - column[None, :], value, mask=mask)
    else:
        value = tl.load(source + row[:, None] * source_row + column[None, :] * source_column, mask=mask)
        tl.store(out + row[:, None] * out_row + column[None, :] * out_column, value, mask=mask)


# ---- forward --------------------------------------------------------------------------------------


def _reversed_plan(out: torch.Tensor, source: torch.Tensor, dims: frozenset[int]) -> Plan:
    """A copy that writes `dims` backwards: from their ends on, with negative strides."""
    written = tuple(-s if d in dims else s for d, s in enumerate(out.stride()))
    start = sum((out.shape[d] - 1) * out.stride(d) for d in dims)
    space = second_innermost(coalesce(out.shape, [source.stride(), written]))
    space = Space(space.sizes, space.strides[::-1])
    sizes = (1,) * (2 - len(space.sizes)) + space.sizes
    strides = [(0,) * (2 - len(s)) + s for s in space.strides]
    rows, columns = sizes[-2], sizes[-1]
    budget = TILES.on(out)
    mirrored = strides[0][-1] == -1 and strides[1][-1] == 1
    if not mirrored and any(abs(s[-2]) == 1 and abs(s[-1]) > 1 for s in strides):
        block_m, block_n = (min(power_of_two(size), budget["square"]) for size in (rows, columns))
    else:
        block_n = min(power_of_two(columns), budget["tile"])
        block_m = min(power_of_two(rows), budget["tile"] // block_n)
    outer = len(sizes) - 2
    table = None
    programs = math.prod(sizes[:-2]) * cdiv(rows, block_m) * cdiv(columns, block_n)
    if outer:
        listed = [[sizes[d], *(s[d] for s in strides)] for d in range(outer)]
        table = torch.tensor(listed, dtype=torch.int64).to(out.device)
    along = [tuple(s[axis] for s in strides) for axis in (-2, -1)]
    constants = {"MIRRORED": mirrored, "OUTER": outer, "BLOCK_M": block_m, "BLOCK_N": block_n}
    numbers = (table, start, rows, columns, *along)
    return Plan(reversed_kernel, programs, numbers, constants, label="flip")


def flip(self: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """self with the order of elements along `dims` reversed."""
    chosen = frozenset(normal_dims(dims, self.ndim)) if len(dims) else frozenset()
    if self.dtype not in TRITON_DTYPES:
        raise NotServed("flip", f"dtype {self.dtype} is not served")
    out = torch.empty_like(self)
    chosen = frozenset(d for d in chosen if self.shape[d] > 1)
    if not self.numel():
        return out
    if not chosen:
        return COPY(self, out=out)
    key = (signature(self), out.stride(), chosen)
    plan = PLANS.get(key)
    if plan is None:
        plan = PLANS.remember(key, _reversed_plan(out, self, chosen))
    plan.launch(out, self)
    return out


def _rolled(source: torch.Tensor, out: torch.Tensor, turns: list[tuple[int, int]]) -> None:
    """Copy, dimension by dimension, the two parts that a shift exchanges."""
    if not turns:
        COPY(source, out=out)
        return
    (dim, shift), *rest = turns
    size = source.shape[dim]
    for start, length, to in ((0, size - shift, shift), (size - shift, shift, 0)):
        if length:
            _rolled(source.narrow(dim, start, length), out.narrow(dim, to, length), rest)


def roll(self: torch.Tensor, shifts: Sequence[int], dims: Sequence[int] = ()) -> torch.Tensor:
    """Elements moved by `shifts` along `dims` (none: along the flattened tensor), the last ones to the
    front."""
    if not shifts:
        raise ArgumentError("`shifts` required")
    out = torch.empty(self.shape, dtype=self.dtype, device=self.device)
    if not dims:
        if len(shifts) != 1:
            raise ArgumentError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims: 0")
        if self.numel():
            _rolled(self.reshape(-1), out.view(-1), [(0, shifts[0] % self.numel())])
        return out
    if len(shifts) != len(dims):
        raise ArgumentError(f"shifts and dimensions must align. shifts: {len(shifts)}, dims: {len(dims)}")
    if not self.ndim:
        raise DimensionError(f"Dimension specified as {dims[0]} but tensor has no dimensions")
    turns: dict[int, int] = {}
    for shift, dim in zip(shifts, dims, strict=True):
        place = normal_dim(dim, self.ndim)
        turns[place] = turns.get(place, 0) + shift
    if self.numel():
        _rolled(self, out, [(d, shift % self.shape[d]) for d, shift in turns.items()])
    return out


def narrow_copy(self: torch.Tensor, dim: int, start: int, length: int, *, out: Any = None) -> torch.Tensor:
    """A copy of `length` elements along `dim`, from `start` on."""
    if not self.ndim:
        raise ArgumentError("narrow() cannot be applied to a 0-dim tensor.")
    if dim >= self.ndim:
        raise ArgumentError(f"narrow(): dimension {dim} is out of range for {self.ndim} dimensions")
    place = normal_dim(dim, self.ndim)
    size = self.shape[place]
    if length < 0:
        raise ArgumentError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise DimensionError(
            f"start out of range (expected to be in range of [{-size}, {size}], got {start})"
        )
    start = start + size if start < 0 else start
    if start + length > size:
        raise ArgumentError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    part = self.narrow(place, start, length)
    return delivered(COPY(part, out=torch.empty(part.shape, dtype=self.dtype, device=self.device)), out)


def stack(tensors: Sequence[torch.Tensor], dim: int = 0, *, out: Any = None) -> torch.Tensor:
    """Tensors of one shape along a new dimension."""
    if not len(tensors):
        raise ArgumentError("stack expects a non-empty TensorList")
    shape = tensors[0].shape
    for k, x in enumerate(tensors):
        if x.shape != shape:
            raise ArgumentError(
                f"stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(x.shape)} at entry {k}"
            )
    place = normal_dim(dim, len(shape) + 1)
    dtype = tensors[0].dtype
    for x in tensors[1:]:
        dtype = torch.promote_types(dtype, x.dtype)
    wanted = (*shape[:place], len(tensors), *shape[place:])
    if out is None:
        out = torch.empty(wanted, dtype=dtype, device=tensors[0].device)
    elif out.shape != wanted:
        out.resize_(wanted)
    for k, x in enumerate(tensors):
        COPY(x, out=out.select(place, k))
    return out


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _flips(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, dims in (((40,), [0]), ((3, 4, 5), [0, -1]), ((3, 4, 5), [1]), ((0, 3), [1]), ((3, 4), [])):
        yield Sample((tensor(shape, dtype), dims))
    yield Sample((tensor((70, 40), dtype).t()[::2], [0, 1]))


@sparingly
def _rolls(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, shifts, dims in (
        ((40,), [3], []),
        ((3, 4), [-5], []),
        ((3, 4, 5), [1, -2], [0, 2]),
        ((0, 3), [1], [1]),
        ((), [2], []),
    ):
        yield Sample((tensor(shape, dtype), shifts, dims))
    yield Sample((tensor((6, 4), dtype).t(), [1, 2, 3], [0, 1, 0]))


@sparingly
def _parts(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 6), dtype), 1, 2, 3))
    yield Sample((tensor((5, 6), dtype).t(), 0, -2, 2))


@sparingly
def _stacks(dtype: torch.dtype) -> Iterable[Sample]:
    a, b = tensor((2, 3), dtype), tensor((2, 3), dtype, seed=1)
    for dim in (0, 1, -1):
        yield Sample(([a, b, a], dim))
    yield Sample(([tensor((3, 2), dtype).t(), b], 0))


def _square(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), [1]))


for _name, _overload, _benchmarks in (
    ("flip", Overload("flip", flip, _flips, takes_out=False), (Benchmark("flip", _square),)),
    ("roll", Overload("roll", roll, _rolls, takes_out=False), ()),
    ("narrow_copy", Overload("narrow_copy", narrow_copy, _parts), ()),
    ("stack", Overload("_stack", stack, _stacks), ()),
):
    register(
        Operator(
            name=_name,
            overloads=(_overload,),
            kernels=(flat_kernel, tiled_kernel, *((reversed_kernel,) if _name == "flip" else ())),
            dtypes=ALL,
            tiles=TILES,
            benchmarks=_benchmarks,
        )
    )
