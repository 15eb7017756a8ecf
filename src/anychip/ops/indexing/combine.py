"""Elements combined into a tensor at computed positions along a dimension: written, added, multiplied,
or the extreme of both. One program owns a column of the destination and goes along it in order, so
that the result does not depend on threads, and of several writes to one place the last counts."""

from __future__ import annotations

import math
from typing import Literal

import torch
import triton
import triton.language as tl

from ..axis import normal_dim
from ..errors import ArgumentError, DimensionError, NotServed
from ..iteration import coalesce, power_of_two
from ..kernels.numbers import double
from ..launching import COMPUTE_DTYPES, TRITON_DTYPES, Plan, Plans, Tiles, cdiv, scalar_bits, signature
from ..pointwise_kernels import store_as
from ..reduce.extremes import larger, smaller

TILES = Tiles(simt={"columns": 128, "strided": 32}, simd={"columns": 256, "strided": 1})
"""Columns of a program where they are next to each other in memory, and where they are not."""
PLANS: Plans[Plan] = Plans()
Kind = Literal["replace", "add", "multiply", "largest", "smallest"]
INDEX_DTYPES = (torch.int64, torch.int32)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["bits"])
def combine_kernel(
    out,
    source,
    index,
    table,
    columns,
    length,
    size,
    out_lane,
    out_step,
    source_lane,
    source_step,
    index_lane,
    index_step,
    bits: tl.int64,
    OUTER: tl.constexpr,
    KIND: tl.constexpr,
    FLOAT: tl.constexpr,
    WRAP: tl.constexpr,
    SKIP: tl.constexpr,
    SHARED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """For i in order: out[c, index[c, i]] combined with source[c, i] (a number if None), BLOCK columns c.
    `table` holds size and strides of out, source and index of each of the OUTER further dimensions. A
    negative position counts from the end if WRAP, is left out if SKIP; one is for all columns if SHARED."""
    blocks = tl.cdiv(columns, BLOCK)
    program = tl.program_id(0)
    rest = (program // blocks).to(tl.int64)
    lane = (program % blocks).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    for k in tl.static_range(OUTER):
        row = table + (OUTER - 1 - k) * 4
        extent = tl.load(row)
        coordinate = rest % extent
        rest = rest // extent
        out += coordinate * tl.load(row + 1)
        if source is not None:
            source += coordinate * tl.load(row + 2)
        index += coordinate * tl.load(row + 3)
    inside = lane < columns
    TYPE: tl.constexpr = out.dtype.element_ty
    for i in range(length):
        step = i.to(tl.int64)
        if SHARED:
            position = tl.load(index + step * index_step).to(tl.int64)
        else:
            at_index = index + lane * index_lane + step * index_step
            position = tl.load(at_index, mask=inside, other=0).to(tl.int64)
        if WRAP:
            position = tl.where(position < 0, position + size, position)
        known = (position >= 0) & (position < size)
        if not SKIP:
            tl.device_assert(known | (not inside), "index out of range")
        mask = inside & known
        if source is not None:
            value = tl.load(source + lane * source_lane + step * source_step, mask=mask)
        elif FLOAT:
            value = tl.zeros((BLOCK,), tl.float64) + double(bits)
        else:
            value = tl.zeros((BLOCK,), tl.int64) + bits.to(tl.int64)
        at = out + lane * out_lane + position * out_step
        if KIND == "replace":
            store_as(at, value, mask)
        else:
            value = value.to(TYPE)
            current = tl.load(at, mask=mask)
            if KIND == "add":
                value = current + value
            elif KIND == "multiply":
                value = current * value
            elif KIND == "largest":
                value = larger(current, value)
            else:
                value = smaller(current, value)
            tl.store(at, value, mask=mask)
        tl.debug_barrier()


# ---- forward --------------------------------------------------------------------------------------


def combine(
    out: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    source: torch.Tensor | None,
    kind: Kind,
    *,
    value: float = 0,
    wrap: bool = False,
    skip: bool = False,
) -> None:
    """Combine `source` (or a number) into `out`, in place, at positions `index` along `dim`.

    All have one rank, 0-d stands for one element; `index` may be expanded, and may be smaller than both
    others in every dimension but `dim`, where it may have any size. Any strides are served.
    """
    if not index.numel():
        return
    key = (signature(out, index, source), dim, kind, wrap, skip)
    plan = PLANS.get(key)
    if plan is None:
        plan = PLANS.remember(key, _plan(out, dim, index, source, kind, wrap, skip))
    plan.launch(out, source, index, plan.result, numbers=(scalar_bits(value, out.dtype.is_floating_point),))


def _plan(
    out: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    source: torch.Tensor | None,
    kind: Kind,
    wrap: bool,
    skip: bool,
) -> Plan:
    if index.dtype not in INDEX_DTYPES:
        raise NotServed("scatter", f"an index of dtype {index.dtype} is not served")
    if out.dtype not in TRITON_DTYPES:
        raise NotServed("scatter", f"dtype {out.dtype} is not served")
    if not out.ndim:
        out = out.view(1)
    index = index.view(1) if not index.ndim else index
    source = source.view(1) if source is not None and not source.ndim else source
    if index.ndim != out.ndim:
        raise ArgumentError(
            f"Index tensor must have the same number of dimensions as self tensor ({index.ndim}, {out.ndim})"
        )
    lanes = [d for d in range(out.ndim) if d != dim]
    read = (0,) * out.ndim if source is None else source.stride()
    space = coalesce(
        [index.shape[d] for d in lanes],
        [tuple(strides[d] for d in lanes) for strides in (out.stride(), read, index.stride())],
    )
    columns = space.sizes[-1]
    dense = space.strides[0][-1] == 1 and space.strides[2][-1] in (0, 1)
    block = min(power_of_two(columns), TILES.on(out)["columns" if dense else "strided"])
    outer = len(space.sizes) - 1
    table = None
    if outer:
        listed = [[space.sizes[d], *(strides[d] for strides in space.strides)] for d in range(outer)]
        table = torch.tensor(listed, dtype=torch.int64).to(out.device)
    sizes = (
        columns,
        index.shape[dim],
        out.shape[dim],
        space.strides[0][-1],
        out.stride(dim),
        space.strides[1][-1],
        read[dim],
        space.strides[2][-1],
        index.stride(dim),
    )
    constants = {
        "OUTER": outer,
        "KIND": kind,
        "FLOAT": out.dtype.is_floating_point,
        "WRAP": wrap,
        "SKIP": skip,
        "SHARED": space.strides[2][-1] == 0,
        "BLOCK": block,
        "debug": True,
        "sanitize_overflow": False,
    }
    programs = math.prod(space.sizes[:-1]) * cdiv(columns, block)
    return Plan(combine_kernel, programs, sizes, constants, label=kind, result=table)


def working_copy(self: torch.Tensor, kind: Kind) -> torch.Tensor:
    """A contiguous copy of self in the type in which `kind` combines."""
    dtype = self.dtype if kind == "replace" else COMPUTE_DTYPES.get(self.dtype, self.dtype)
    if dtype == torch.int8 and self.dtype == torch.bool:
        dtype = torch.int32
    return torch.empty(self.shape, dtype=dtype, device=self.device).copy_(self)


def scatter_checked(
    name: str, self: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor | None
) -> int:
    """The normal dimension, after PyTorch's checks of shapes and types."""
    dim = normal_dim(dim, self.ndim)
    if index.numel() and index.dtype not in INDEX_DTYPES:
        raise ArgumentError(f"{name}(): Expected dtype int32/int64 for index")
    if source is not None and source.dtype != self.dtype:
        raise ArgumentError(f"{name}(): Expected self.dtype to be equal to src.dtype")
    if not index.numel():
        return dim
    shapes = [x.shape or (1,) for x in (self, index, *(() if source is None else (source,)))]
    if any(len(shape) != len(shapes[0]) for shape in shapes):
        raise ArgumentError(f"Index tensor must have the same number of dimensions as self tensor ({name})")
    for d, size in enumerate(shapes[1]):
        if (d != dim and size > shapes[0][d]) or (source is not None and size > shapes[2][d]):
            raise ArgumentError(
                f"Expected index {list(index.shape)} to be no larger than self {list(self.shape)} apart from "
                f"dimension {dim}" + ("" if source is None else f" and than src {list(source.shape)}")
            )
    return dim


def along_checked(
    name: str, self: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor
) -> tuple[int, torch.Tensor]:
    """The normal dimension, and a 1-d `index` expanded to the shape of `source`."""
    dim = normal_dim(dim, self.ndim)
    if index.ndim > 1:
        raise DimensionError(f"{name}(): Index should have dimension 1 or 0 (got {index.ndim})")
    if index.dtype not in INDEX_DTYPES:
        raise ArgumentError(f"{name}(): Expected LongTensor for index")
    if source.dtype != self.dtype:
        raise ArgumentError(
            f"{name}(): self and source expected to have the same dtype, but got (self) {self.dtype} and "
            f"(source) {source.dtype}"
        )
    shape, wanted = list(source.shape or (1,)), list(self.shape or (1,))
    if len(shape) != len(wanted) or shape[:dim] + shape[dim + 1 :] != wanted[:dim] + wanted[dim + 1 :]:
        raise ArgumentError(
            f"{name}(): Source/destination tensor must have same slice shapes. Destination slice shape: "
            f"{wanted} at dimension {dim} and source slice shape: {shape} at dimension {dim}."
        )
    if index.numel() != shape[dim]:
        raise DimensionError(
            f"{name}(): Number of indices ({index.numel()}) should be equal to "
            f"source.size(dim) ({shape[dim]})"
        )
    return dim, index.reshape([-1 if d == dim else 1 for d in range(len(shape))]).expand(shape)
