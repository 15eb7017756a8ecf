"""Reductions from three scalar functions: what is taken of each element, how two are combined, and
what is made of the total. One kernel serves any dimensions, strides and dtypes; a long reduction into
few results is split in two stages so that all threads have work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl

from .errors import ArgumentError, NotServed
from .iteration import coalesce, power_of_two
from .launch import TRITON_DTYPES, Tiles, cdiv, compute_dtype, launch, scalar_bits
from .pointwise import store_as

TILES = Tiles(
    simt={"elements": 2048, "rows": 32, "split": 1 << 15},
    simd={"elements": 4096, "rows": 256, "split": 1 << 17},
)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def itself(value, parameter):
    """The element as it is."""
    return value


@triton.jit
def total_itself(total, parameter, count):
    """The total as it is."""
    return total


@cache
def reduce_kernel(MAP: Any, COMBINE: Any, FINISH: Any) -> Any:  # noqa: N803 (constants of the kernel)
    """The kernel for three scalar functions: Triton takes a reduction's function by name only, so each
    triple has a kernel of its own."""

    @triton.jit(do_not_specialize=["parameter", "count"])
    def reduce_kernel(
        out, source, table, kept, outer_length, length, kept_stride, outer_stride, stride, out_stride,
        splits, parameter: tl.int64, count: tl.int64,
        IDENTITY: tl.constexpr, OUTER: tl.constexpr, COMPUTE: tl.constexpr, FLOAT: tl.constexpr,
        BLOCK_K: tl.constexpr, BLOCK_R: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr,
    ):  # fmt: skip
        """out[k] = FINISH(COMBINE over r of MAP(source[k, r])). A program covers BLOCK_K kept elements and
        one of `splits` shares of the reduced ones, which are `outer_length` runs of `length`; `table` holds
        size, source stride and out stride of each of the OUTER further kept dimensions."""
        tiles = tl.cdiv(kept, BLOCK_K)
        program = tl.program_id(0)
        share = program % splits
        rest = (program // splits).to(tl.int64)
        first = (rest % tiles) * BLOCK_K
        rest = rest // tiles
        source += first * kept_stride
        out += first * out_stride + share
        for d in tl.static_range(OUTER):
            row = table + (OUTER - 1 - d) * 3
            size = tl.load(row)
            index = rest % size
            rest = rest // size
            source += index * tl.load(row + 1)
            out += index * tl.load(row + 2)
        wide = parameter.to(tl.int64)
        if FLOAT:
            number = wide.to(tl.float64, bitcast=True).to(COMPUTE)
        else:
            number = wide.to(COMPUTE)
        lane_k = tl.arange(0, BLOCK_K)
        lane_r = tl.arange(0, BLOCK_R)
        inside = lane_k < kept - first
        at_k = lane_k.to(tl.int64) * kept_stride
        total = tl.full((BLOCK_K, BLOCK_R), IDENTITY, COMPUTE)
        per_share = tl.cdiv(tl.cdiv(length, BLOCK_R), splits) * BLOCK_R
        start = share.to(tl.int64) * per_share
        stop = tl.minimum(start + per_share, length)
        at_r = lane_r.to(tl.int64) * stride
        for _ in range(0, outer_length):
            for block in range(start, stop, BLOCK_R):
                mask = inside[:, None] & (lane_r < stop - block)[None, :]
                at = source + block * stride + at_k[:, None] + at_r[None, :]
                value = tl.load(at, mask=mask, other=0)
                if FIRST:
                    value = MAP(value.to(COMPUTE), number)
                total = tl.where(mask, COMBINE(total, value.to(COMPUTE)), total)
            source += outer_stride
        result = tl.reduce(total, 1, COMBINE)
        if LAST:
            result = FINISH(result, number, count.to(tl.int64))
        store_as(out + lane_k.to(tl.int64) * out_stride, result, inside)

    return reduce_kernel


# ---- forward --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reduction:
    """`combine` with its `identity`, `map` before and `finish` after, as `@triton.jit` functions."""

    name: str
    combine: Any
    identity: float | int
    map: Any = itself
    finish: Any = total_itself
    tiles: Tiles = TILES

    @property
    def kernel(self) -> Any:
        """The kernel that runs it."""
        return reduce_kernel(self.map, self.combine, self.finish)

    def __call__(
        self,
        source: torch.Tensor,
        dims: Sequence[int] | None,
        keepdim: bool,
        *,
        compute: torch.dtype,
        result: torch.dtype,
        parameter: float = 0,
        identity: float | int | None = None,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Reduce `source` over `dims` (None or empty: all) in type `compute` into type `result`.

        `parameter` is handed to map and finish. With `out`, write there (resized if needed).
        """
        if source.dtype not in TRITON_DTYPES or result not in TRITON_DTYPES:
            raise NotServed(self.name, f"dtype {source.dtype} into {result} is not served")
        reduced = normal_dims(dims, source.ndim)
        shape = reduced_shape(source.shape, reduced, keepdim)
        if out is None:
            out = torch.empty(shape, dtype=result, device=source.device)
        elif tuple(out.shape) != shape:
            out.resize_(shape)
        kept = [d for d in range(source.ndim) if d not in reduced]
        out_strides = out.stride() if not keepdim else tuple(out.stride(d) for d in kept)
        if not kept:
            out_strides = ()
        count = math.prod(source.shape[d] for d in reduced)
        start = self.identity if identity is None else identity
        self._run(source, kept, sorted(reduced), out, out_strides, compute, parameter, count, start)
        return out

    def _run(
        self,
        source: torch.Tensor,
        kept: Sequence[int],
        reduced: Sequence[int],
        out: torch.Tensor,
        out_strides: Sequence[int],
        compute: torch.dtype,
        parameter: float,
        count: int,
        identity: float | int,
    ) -> None:
        stride = source.stride()
        inner = coalesce([source.shape[d] for d in reduced], [tuple(stride[d] for d in reduced)])
        if count == 0:
            inner = coalesce([0], [(1,)])
        if len(inner.sizes) > 2:
            order = [*kept, *reduced]
            source = source.permute(order).contiguous()
            kept, reduced = range(len(kept)), range(len(kept), len(order))
            stride = source.stride()
            inner = coalesce([source.shape[d] for d in reduced], [tuple(stride[d] for d in reduced)])
        runs, run_stride = (inner.sizes[0], inner.strides[0][0]) if len(inner.sizes) == 2 else (1, 0)
        length, element_stride = inner.sizes[-1], inner.strides[0][-1]
        kept_sizes = [source.shape[d] for d in kept]
        if 0 in kept_sizes:
            return
        space = coalesce(kept_sizes, [tuple(out_strides), tuple(stride[d] for d in kept)])
        budget = self.tiles.on(source.device)
        columns = element_stride != 1 and space.strides[1][-1] == 1 and space.sizes[-1] > 1
        if columns:
            block_k = min(power_of_two(space.sizes[-1]), budget["rows"])
            block_r = min(power_of_two(length), max(1, budget["elements"] // block_k // 4))
        else:
            block_r = min(power_of_two(length), budget["elements"])
            block_k = min(power_of_two(space.sizes[-1]), max(1, budget["elements"] // block_r // 4))
        outer = len(space.sizes) - 1
        table = None
        if outer:
            listed = [[space.sizes[d], space.strides[1][d], space.strides[0][d]] for d in range(outer)]
            table = torch.tensor(listed, dtype=torch.int64).to(source.device)
        programs = math.prod(space.sizes[:-1]) * cdiv(space.sizes[-1], block_k)
        splits = 1
        if programs < 8 and runs * length >= budget["split"]:
            splits = min(8 // programs * 2, cdiv(length, block_r))
        tile = {
            "COMPUTE": TRITON_DTYPES[compute], "FLOAT": compute.is_floating_point, "IDENTITY": identity,
            "OUTER": outer, "BLOCK_K": block_k, "BLOCK_R": block_r,
        }  # fmt: skip
        bits = scalar_bits(parameter, compute.is_floating_point)
        if splits == 1:
            launch(
                self.kernel, programs, out, source, table, space.sizes[-1], runs, length,
                space.strides[1][-1], run_stride, element_stride, space.strides[0][-1], 1, bits, count,
                FIRST=True, LAST=True, label=self.name, **tile,
            )  # fmt: skip
            return
        partial = torch.empty((*kept_sizes, splits), dtype=compute, device=source.device)
        partial_space = coalesce(
            kept_sizes, [tuple(partial.stride())[:-1], tuple(stride[d] for d in kept)], reorder=False
        )
        if table is not None or len(partial_space.sizes) > 1:
            listed = [
                [partial_space.sizes[d], partial_space.strides[1][d], partial_space.strides[0][d]]
                for d in range(len(partial_space.sizes) - 1)
            ]
            table = torch.tensor(listed, dtype=torch.int64).to(source.device) if listed else None
        tile["OUTER"] = len(partial_space.sizes) - 1
        programs = math.prod(partial_space.sizes[:-1]) * cdiv(partial_space.sizes[-1], block_k)
        launch(
            self.kernel, programs * splits, partial, source, table, partial_space.sizes[-1], runs, length,
            partial_space.strides[1][-1], run_stride, element_stride, partial_space.strides[0][-1], splits,
            bits, count, FIRST=True, LAST=False, label=self.name, **tile,
        )  # fmt: skip
        second = Reduction(self.name, self.combine, self.identity, itself, self.finish, self.tiles)
        second._run(
            partial, range(len(kept_sizes)), [len(kept_sizes)], out, out_strides, compute, parameter, count, identity
        )  # fmt: skip


def normal_dims(dims: Sequence[int] | int | None, rank: int) -> list[int]:
    """Dimensions as non-negative numbers; None or none at all means every one."""
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return list(range(rank))
    listed = [dims] if isinstance(dims, int) else list(dims)
    normal = []
    for d in listed:
        limit = max(rank, 1)
        if not -limit <= d < limit:
            raise ArgumentError(
                f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {d})"
            )
        if rank:
            normal.append(d % rank)
    if len(set(normal)) != len(normal):
        raise ArgumentError(f"dim {listed} appears multiple times in the list of dims")
    return normal


def reduced_shape(shape: Sequence[int], reduced: Sequence[int], keepdim: bool) -> tuple[int, ...]:
    """The result's shape."""
    if keepdim:
        return tuple(1 if d in reduced else size for d, size in enumerate(shape))
    return tuple(size for d, size in enumerate(shape) if d not in reduced)


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type in which values of `dtype` are summed: at least single precision, or 64-bit integers."""
    if dtype.is_floating_point:
        return compute_dtype(dtype)
    return torch.int64
