"""Reductions from three scalar functions: what is taken of each element, how two are combined, and
what is made of the total. One kernel serves any dimensions, strides and dtypes; a long reduction into
few results is split in two stages so that all threads have work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl

from .errors import ArgumentError, DimensionError, NotServed
from .iteration import Space, coalesce, power_of_two
from .kernels.numbers import double
from .launching import (
    TRITON_DTYPES,
    Plan,
    Plans,
    Tiles,
    cdiv,
    compute_dtype,
    has_vectors,
    scalar_bits,
    signature,
)
from .pointwise_kernels import store_as

TILES = Tiles(
    simt={"elements": 2048, "several": 512, "rows": 32, "columns": 512, "split": 1 << 15, "long": 2048},
    simd={"elements": 4096, "several": 4096, "rows": 1024, "columns": 1024, "split": 1 << 17, "long": 256},
)
"""`elements` of a row that is taken whole, `several` those of a block of whole rows; `long`, those of a row
that takes several blocks: few enough for a vector machine to keep their totals in registers. Of results that
lie next to each other, a program makes `rows`, from `columns` elements at a time."""

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
def reduce_kernel(MAP: Any, COMBINE: Any, FINISH: Any) -> Any:
    """The kernel for three scalar functions: Triton takes a reduction's function by name only, so each
    triple has a kernel of its own."""

    @triton.jit(do_not_specialize=["parameter", "count"])
    def reduce_kernel(
        out,
        source,
        table,
        kept,
        outer_length,
        length,
        kept_stride,
        outer_stride,
        stride,
        out_stride,
        splits,
        together,
        stretch,
        parameter: tl.int64,
        count: tl.int64,
        IDENTITY: tl.constexpr,
        OUTER: tl.constexpr,
        COMPUTE: tl.constexpr,
        FLOAT: tl.constexpr,
        BLOCK_K: tl.constexpr,
        BLOCK_R: tl.constexpr,
        FIRST: tl.constexpr,
        LAST: tl.constexpr,
        WHOLE: tl.constexpr,
        PARTS: tl.constexpr,
    ):
        """out[k] = FINISH(COMBINE over r of MAP(source[k, r])). A program covers BLOCK_K kept elements and
        one of `splits` shares of the reduced ones, which are `outer_length` runs of `length`; `table` holds
        size, source stride and out stride of each of the OUTER further kept dimensions. WHOLE: one
        block has all reduced elements. PARTS: each `stretch` elements of a run, or `together` shorter runs,
        have a total of their own, so that rounding errors do not grow with every element."""
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
        if FLOAT:
            number = double(parameter).to(COMPUTE)
        else:
            number = parameter.to(tl.int64).to(COMPUTE)
        lane_k = tl.arange(0, BLOCK_K)
        lane_r = tl.arange(0, BLOCK_R)
        inside = lane_k < kept - first
        at_k = lane_k.to(tl.int64) * kept_stride
        at_r = lane_r.to(tl.int64) * stride
        if WHOLE:
            mask = inside[:, None] & (lane_r < length)[None, :]
            value = tl.load(source + at_k[:, None] + at_r[None, :], mask=mask, other=0)
            if FIRST:
                value = MAP(value.to(COMPUTE), number)
            total = tl.where(mask, value.to(COMPUTE), tl.full((BLOCK_K, BLOCK_R), IDENTITY, COMPUTE))
        else:
            total = tl.full((BLOCK_K, BLOCK_R), IDENTITY, COMPUTE)
            per_share = tl.cdiv(tl.cdiv(length, BLOCK_R), splits) * BLOCK_R
            start = share.to(tl.int64) * per_share
            stop = tl.minimum(start + per_share, length)
            if PARTS:
                for far in range(0, outer_length, together):
                    for near in range(start, stop, stretch):
                        part = tl.full((BLOCK_K, BLOCK_R), IDENTITY, COMPUTE)
                        for run in range(far, tl.minimum(far + together, outer_length)):
                            for block in range(near, tl.minimum(near + stretch, stop), BLOCK_R):
                                mask = inside[:, None] & (lane_r < stop - block)[None, :]
                                at = source + run.to(tl.int64) * outer_stride + block * stride
                                value = tl.load(at + at_k[:, None] + at_r[None, :], mask=mask, other=0)
                                if FIRST:
                                    value = MAP(value.to(COMPUTE), number)
                                part = tl.where(mask, COMBINE(part, value.to(COMPUTE)), part)
                        total = COMBINE(total, part)
            else:
                for _ in range(outer_length):
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


@dataclass(frozen=True, slots=True, eq=False)
class Reduction:
    """`combine` with its `identity`, `map` before and `finish` after, as `@triton.jit` functions."""

    name: str
    combine: Any
    identity: float | int
    map: Any = itself
    finish: Any = total_itself
    tiles: Tiles = TILES
    exact: bool = False
    """Whether `combine` never rounds, so that the order does not matter."""
    _stages: Plans[Stages] = field(default_factory=Plans)

    @property
    def kernel(self) -> Any:
        """The kernel that runs it."""
        return reduce_kernel(self.map, self.combine, self.finish)

    def rounds_in(self, compute: torch.dtype) -> bool:
        """Whether totals of this type are rounded."""
        return compute.is_floating_point and not self.exact

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
        start = self.identity if identity is None else identity
        key = (
            signature(source),
            None if dims is None else tuple(dims),
            keepdim,
            compute,
            result,
            start,
            None if out is None else (out.shape, out.stride(), out.dtype),
            parameter,
        )
        stages = self._stages.get(key)
        if stages is None:
            reduced = normal_dims(dims, source.ndim)
            shape = reduced_shape(source.shape, reduced, keepdim)
            if out is None:
                out = torch.empty(shape, dtype=result, device=source.device)
            elif tuple(out.shape) != shape:
                out.resize_(shape)
                return self(
                    source,
                    dims,
                    keepdim,
                    compute=compute,
                    result=result,
                    parameter=parameter,
                    identity=identity,
                    out=out,
                )
            stages = self._plan(source, sorted(reduced), keepdim, out, compute, parameter, start)
            self._stages.remember(key, stages)
        elif out is None:
            out = torch.empty(stages.shape, dtype=result, device=source.device)
        if stages.order is not None:
            source = source.permute(stages.order).contiguous()
        if stages.second is None:
            stages.first.launch(out, source, numbers=stages.numbers)
        else:
            partial = torch.empty(stages.partial, dtype=compute, device=source.device)
            stages.first.launch(partial, source, numbers=stages.numbers)
            stages.second.launch(out, partial, numbers=stages.numbers)
        return out

    def _plan(
        self,
        source: torch.Tensor,
        reduced: Sequence[int],
        keepdim: bool,
        out: torch.Tensor,
        compute: torch.dtype,
        parameter: float,
        identity: float | int,
    ) -> Stages:
        """The launches for these shapes and strides."""
        kept = [d for d in range(source.ndim) if d not in reduced]
        count = math.prod(source.shape[d] for d in reduced)
        out_strides = [out.stride(d) for d in kept] if keepdim else list(out.stride())
        sizes = [source.shape[d] for d in kept]
        inner = _runs(source.shape, source.stride(), reduced)
        order = None
        kept_strides = [source.stride(d) for d in kept]
        if len(inner.sizes) > 2:
            order = (*kept, *reduced)
            kept_strides = [math.prod(sizes[k + 1 :]) * count for k in range(len(sizes))]
            inner = Space((count,), ((1,),))
        layout = _ReducedSource(sizes, kept_strides, inner, source.device, compute, identity)
        numbers = (scalar_bits(parameter, compute.is_floating_point), count)
        programs, block_r = layout.programs(self.tiles)
        length = math.prod(inner.sizes)
        budget = self.tiles.on(source)
        blocks = cdiv(inner.sizes[-1], block_r)
        splits = cdiv(blocks, STRETCH * STRETCH) if self.rounds_in(compute) else 1
        if programs < FEW_PROGRAMS and length >= budget["split"]:
            splits = max(splits, 2 * FEW_PROGRAMS // max(programs, 1))
        splits = min(splits, blocks)
        if splits <= 1:
            plan = layout.plan(self, out_strides, 1, first=True, last=True)
            return Stages(plan, None, numbers, tuple(out.shape), (), order)
        partial = (*sizes, splits)
        partial_strides = [math.prod(partial[k + 1 :]) for k in range(len(sizes))]
        first = layout.plan(self, partial_strides, splits, first=True, last=False)
        shares = Space((splits,), ((1,),))
        second = _ReducedSource(sizes, partial_strides, shares, source.device, compute, identity)
        last = second.plan(self, out_strides, 1, first=False, last=True)
        return Stages(first, last, numbers, tuple(out.shape), partial, order)


FEW_PROGRAMS = 8
"""With fewer programs than this a long reduction is split, so that every thread has work."""

STRETCH = 64
"""Blocks, at least, that are reduced to a total of their own before these totals are. Where totals round, a
program has at most its square of them."""

FEW_BLOCKS = 32
"""With no more blocks than this for each of the lanes that share a result (up to 16), one total rounds
little."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The launches of a reduction: one, or partial results and then their reduction."""

    first: Plan
    second: Plan | None
    numbers: tuple[int, ...]
    shape: tuple[int, ...]
    partial: tuple[int, ...]
    order: tuple[int, ...] | None
    """Permutation into a contiguous copy, where the reduced dimensions do not merge into two runs."""


@dataclass(frozen=True, slots=True)
class _ReducedSource:
    """Kept sizes and strides of a source, its reduced runs, and how they are computed."""

    sizes: Sequence[int]
    strides: Sequence[int]
    inner: Space
    device: torch.device
    compute: torch.dtype
    identity: float | int

    def _blocks(self, tiles: Tiles, space: Space) -> tuple[int, int]:
        budget = tiles.on(self.device)
        columns = self.inner.strides[0][-1] != 1 and space.strides[1][-1] == 1 and space.sizes[-1] > 1
        length = max(1, self.inner.sizes[-1])
        if columns:
            block_k = self._shared(space, min(power_of_two(space.sizes[-1]), budget["rows"]))
            return block_k, min(power_of_two(length), max(1, budget["columns"] // block_k))
        whole = length <= budget["elements"]
        block_r = power_of_two(length) if whole else budget["long"]
        most = budget["several"] if whole else budget["elements"] // 4
        return self._shared(space, min(power_of_two(space.sizes[-1]), max(1, most // block_r))), block_r

    def _shared(self, space: Space, block_k: int) -> int:
        """`block_k`, or as much less as gives every thread of a CPU a program."""
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        outer = math.prod(space.sizes[:-1])
        while block_k > 1 and outer * cdiv(space.sizes[-1], block_k) < threads:
            block_k //= 2
        return block_k

    def programs(self, tiles: Tiles) -> tuple[int, int]:
        """Programs of a launch without splitting, and how many reduced elements are taken at once."""
        space = coalesce(self.sizes, [tuple(self.strides), tuple(self.strides)])
        block_k, block_r = self._blocks(tiles, space)
        return math.prod(space.sizes[:-1]) * cdiv(space.sizes[-1], block_k), block_r

    def plan(
        self, reduction: Reduction, out_strides: Sequence[int], splits: int, *, first: bool, last: bool
    ) -> Plan:
        """One launch that writes with `out_strides`."""
        space = coalesce(self.sizes, [tuple(out_strides), tuple(self.strides)])
        block_k, block_r = self._blocks(reduction.tiles, space)
        outer = len(space.sizes) - 1
        table = None
        if outer:
            listed = [[space.sizes[d], space.strides[1][d], space.strides[0][d]] for d in range(outer)]
            table = torch.tensor(listed, dtype=torch.int64).to(self.device)
        runs, run_stride = 1, 0
        if len(self.inner.sizes) == 2:
            runs, run_stride = self.inner.sizes[0], self.inner.strides[0][0]
        programs = math.prod(space.sizes[:-1]) * cdiv(space.sizes[-1], block_k) * splits
        blocks = cdiv(cdiv(self.inner.sizes[-1], block_r), splits)
        rounds = reduction.rounds_in(self.compute)
        stretch = max(STRETCH, power_of_two(math.isqrt(runs * blocks)))
        sizes = (
            table,
            space.sizes[-1],
            runs,
            self.inner.sizes[-1],
            space.strides[1][-1],
            run_stride,
            self.inner.strides[0][-1],
            space.strides[0][-1],
            splits,
            max(1, stretch // max(1, blocks)),
            stretch * block_r,
        )
        constants = {
            "IDENTITY": self.identity,
            "OUTER": outer,
            "COMPUTE": TRITON_DTYPES[self.compute],
            "FLOAT": self.compute.is_floating_point,
            "BLOCK_K": block_k,
            "BLOCK_R": block_r,
            "FIRST": first,
            "LAST": last,
            "WHOLE": runs == 1 and splits == 1 and self.inner.sizes[-1] <= block_r,
            "PARTS": rounds and runs * blocks > FEW_BLOCKS * min(block_r, 16),
        }
        return Plan(reduction.kernel, programs, sizes, constants, label=reduction.name)


def _runs(shape: Sequence[int], strides: Sequence[int], reduced: Sequence[int]) -> Space:
    """The reduced dimensions, merged; nothing to reduce is one run of length zero."""
    sizes = [shape[d] for d in reduced]
    if 0 in sizes:
        return Space((0,), ((1,),))
    return coalesce(sizes, [tuple(strides[d] for d in reduced)])


MOST_DIMENSIONS = 64


def normal_dims(dims: Sequence[int] | int | None, rank: int) -> list[int]:
    """Dimensions as non-negative numbers; None or none at all means every one. PyTorch keeps them as the
    bits of a word, so it takes no tensor of more."""
    if rank > MOST_DIMENSIONS:
        raise ArgumentError(f"only tensors with up to {MOST_DIMENSIONS} dims are supported, but got {rank}")
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return list(range(rank))
    listed = [dims] if isinstance(dims, int) else list(dims)
    normal = []
    for d in listed:
        limit = max(rank, 1)
        if not -limit <= d < limit:
            raise DimensionError(
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


def wide_accumulator(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The type of totals of `dtype` that grow over a whole row, every one of them a result: double for single
    precision on a CPU, as PyTorch has it there, and `accumulator` on chips where double is slow."""
    if dtype == torch.float32 and has_vectors(device):
        return torch.float64
    return accumulator(dtype)


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type in which values of `dtype` are summed: at least single precision, or 64-bit integers."""
    if dtype.is_floating_point:
        return compute_dtype(dtype)
    return torch.int64
