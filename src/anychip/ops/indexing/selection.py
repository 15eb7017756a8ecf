"""What a mask selects: nonzero, masked_select and masked_scatter. The mask is counted in chunks, the
counts are scanned, and each chunk's program writes from its own place on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import delivered
from ..distinct import distinct
from ..errors import ArgumentError, NotServed
from ..iteration import broadcast_shape
from ..launching import TRITON_DTYPES, Tiles, cdiv, launch
from ..memory.copy import fill_
from ..registry import ALL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, tensor
from ..scan.running import SUM

TILES = Tiles(simt={"block": 1024, "chunk": 1024}, simd={"block": 1024, "chunk": 1 << 15})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def count_selected_kernel(counts, mask, n, CHUNK: tl.constexpr, BLOCK: tl.constexpr):
    """counts[c] = how many elements of chunk c are not zero."""
    start = tl.program_id(0).to(tl.int64) * CHUNK
    lane = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.int32)
    for block in range(start, tl.minimum(start + CHUNK, n), BLOCK):
        total += (tl.load(mask + block + lane, mask=block + lane < n, other=0) != 0).to(tl.int32)
    tl.store(counts + tl.program_id(0), tl.sum(total, 0).to(tl.int64))


@triton.jit
def places_kernel(out, mask, counts, ends, n, limit, CHUNK: tl.constexpr, BLOCK: tl.constexpr):
    """out[j] = place of the j-th element of `mask` that is not zero, for j < limit."""
    program = tl.program_id(0)
    start = program.to(tl.int64) * CHUNK
    lane = tl.arange(0, BLOCK)
    before = tl.load(ends + program) - tl.load(counts + program)
    for block in range(start, tl.minimum(start + CHUNK, n), BLOCK):
        chosen = (tl.load(mask + block + lane, mask=block + lane < n, other=0) != 0).to(tl.int32)
        rank = before + tl.cumsum(chosen, 0) - chosen
        tl.store(out + rank, block + lane.to(tl.int64), mask=(chosen != 0) & (rank < limit))
        before += tl.sum(chosen, 0)


@triton.jit
def masked_scatter_kernel(out, mask, source, counts, ends, n, CHUNK: tl.constexpr, BLOCK: tl.constexpr):
    """The j-th element of `out` whose mask is set becomes source[j]."""
    program = tl.program_id(0)
    start = program.to(tl.int64) * CHUNK
    lane = tl.arange(0, BLOCK)
    before = tl.load(ends + program) - tl.load(counts + program)
    for block in range(start, tl.minimum(start + CHUNK, n), BLOCK):
        chosen = (tl.load(mask + block + lane, mask=block + lane < n, other=0) != 0).to(tl.int32)
        rank = before + tl.cumsum(chosen, 0) - chosen
        value = tl.load(source + rank, mask=chosen != 0)
        tl.store(out + block + lane, value, mask=chosen != 0)
        before += tl.sum(chosen, 0)


@triton.jit
def coordinates_kernel(out, places, table, n, RANK: tl.constexpr, BLOCK: tl.constexpr):
    """out[j, d] = coordinate d of a place in a contiguous tensor whose sizes are in `table`."""
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    rest = tl.load(places + lane, mask=mask, other=0)
    for k in tl.static_range(RANK):
        size = tl.load(table + RANK - 1 - k)
        tl.store(out + lane * RANK + RANK - 1 - k, rest % size, mask=mask)
        rest = rest // size


@triton.jit
def pick_kernel(out, source, places, n, BLOCK: tl.constexpr):
    """out[j] = source[places[j]]."""
    distinct(out, source)
    distinct(out, places)
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    place = tl.load(places + lane, mask=mask, other=0)
    tl.store(out + lane, tl.load(source + place, mask=mask), mask=mask)


# ---- forward --------------------------------------------------------------------------------------


def _counted(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Counts of the chunks of a contiguous mask, their running sums, and their total."""
    if mask.dtype not in TRITON_DTYPES:
        raise NotServed("nonzero", f"dtype {mask.dtype} is not served")
    sizes = TILES.on(mask)
    chunks = cdiv(mask.numel(), sizes["chunk"])
    counts = torch.empty((chunks,), dtype=torch.int64, device=mask.device)
    if not chunks:
        return counts, counts, 0
    constants: dict[str, Any] = {"CHUNK": sizes["chunk"], "BLOCK": sizes["block"]}
    launch(count_selected_kernel, chunks, counts, mask, mask.numel(), **constants)
    ends = SUM(counts, 0, torch.int64, torch.int64)
    return counts, ends, int(ends[-1].item())


def selected(mask: torch.Tensor, limit: int | None = None) -> torch.Tensor:
    """Places, in order, of the elements of a contiguous `mask` that are not zero; at most `limit`."""
    counts, ends, total = _counted(mask)
    total = total if limit is None else min(total, limit)
    out = torch.empty((total,), dtype=torch.int64, device=mask.device)
    if total:
        sizes = TILES.on(mask)
        constants: dict[str, Any] = {"CHUNK": sizes["chunk"], "BLOCK": sizes["block"]}
        launch(places_kernel, counts.numel(), out, mask, counts, ends, mask.numel(), total, **constants)
    return out


def picked(source: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Elements of a contiguous `source` at linear `places` (contiguous), which must be inside."""
    out = torch.empty(places.shape, dtype=source.dtype, device=source.device)
    block = TILES.on(source)["block"]
    launch(pick_kernel, cdiv(places.numel(), block), out, source, places, places.numel(), BLOCK=block)
    return out


def _coordinates(shape: torch.Size, places: torch.Tensor, out: torch.Tensor) -> None:
    """Coordinates of linear places into the first rows of a contiguous `out` [rows, rank]."""
    if shape and places.numel():
        block = TILES.on(places)["block"]
        table = torch.tensor(list(shape), dtype=torch.int64).to(places.device)
        launch(
            coordinates_kernel,
            cdiv(places.numel(), block),
            out,
            places,
            table,
            places.numel(),
            RANK=len(shape),
            BLOCK=block,
        )


def nonzero(self: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """Coordinates [count, rank] of the elements that are not zero."""
    if out is not None and out.dtype != torch.int64:
        raise ArgumentError(f"Expected object of scalar type Long as out, but got {out.dtype}")
    places = selected(self.contiguous())
    found = torch.empty((places.numel(), self.ndim), dtype=torch.int64, device=self.device)
    _coordinates(self.shape, places, found)
    return delivered(found, out)


def nonzero_static(self: torch.Tensor, *, size: int, fill_value: int = -1, out: Any = None) -> torch.Tensor:
    """The first `size` rows of nonzero, with rows of `fill_value` where there are fewer."""
    if size < 0:
        raise ArgumentError("nonzero_static: 'size' must be an non-negative integer")
    places = selected(self.contiguous(), size)
    found = torch.empty((size, self.ndim), dtype=torch.int64, device=self.device)
    _coordinates(self.shape, places, found)
    fill_(found[places.numel() :], fill_value)
    return delivered(found, out)


def masked_select(self: torch.Tensor, mask: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """Elements of self whose mask (broadcast together with it) is set, in order."""
    if mask.dtype != torch.bool:
        raise ArgumentError("masked_select: expected BoolTensor for mask")
    if out is not None and out.dtype != self.dtype:
        raise ArgumentError("masked_select(): self and result must have the same scalar type")
    shape = broadcast_shape(self.shape, mask.shape)
    source = self.expand(shape).contiguous()
    if source.dtype not in TRITON_DTYPES:
        raise NotServed("masked_select", f"dtype {source.dtype} is not served")
    return delivered(picked(source, selected(mask.expand(shape).contiguous())), out)


def masked_scatter_(self: torch.Tensor, mask: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Write the elements of `source`, in order, where the mask (broadcast to self) is set."""
    if self.dtype != source.dtype:
        raise ArgumentError(
            f"masked_scatter: expected self and source to have same dtypes but got {self.dtype} and "
            f"{source.dtype}"
        )
    if mask.dtype != torch.bool:
        raise ArgumentError(
            f"masked_scatter_ only supports boolean masks, but got mask with dtype {mask.dtype}"
        )
    chosen = mask.expand(self.shape).contiguous()
    counts, ends, total = _counted(chosen)
    if total > source.numel():
        raise ArgumentError("Number of elements of source < number of ones in mask")
    if total:
        target = self if self.is_contiguous() else self.contiguous()
        sizes = TILES.on(self)
        launch(
            masked_scatter_kernel,
            counts.numel(),
            target,
            chosen,
            source.contiguous(),
            counts,
            ends,
            chosen.numel(),
            CHUNK=sizes["chunk"],
            BLOCK=sizes["block"],
        )
        if target is not self:
            self.copy_(target)
    return self


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _masks(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((40,), (3, 4, 5), (), (0, 3)):
        x = tensor(shape, dtype)
        yield Sample((torch.where(tensor(shape, torch.bool, seed=1), x, torch.zeros_like(x)),))
    yield Sample((tensor((6, 4), dtype).t(),))


@sparingly
def _static(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in _masks(dtype):
        for size in (2, 50):
            yield Sample(sample.arguments, {"size": size})


@sparingly
def _selections(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 4), dtype), tensor((4,), torch.bool)))
    yield Sample((tensor((5,), dtype), tensor((3, 5), torch.bool)))
    yield Sample((tensor((6, 4), dtype).t(), tensor((4, 6), torch.bool)))
    yield Sample((tensor((), dtype), torch.tensor(True)))
    if dtype == torch.float32:
        yield Sample((tensor((70000,), dtype), tensor((70000,), torch.bool)))


@sparingly
def _scatters(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 4), dtype), tensor((4,), torch.bool), tensor((12,), dtype, seed=1)))
    yield Sample((tensor((6, 4), dtype).t(), tensor((4, 6), torch.bool), tensor((24,), dtype, seed=1)))


def _half(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), tensor((4096, 1024), torch.bool)))


def _sparse(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype) * tensor((4096, 1024), torch.bool),))


register(
    Operator(
        name="nonzero",
        overloads=(
            Overload("nonzero", nonzero, _masks),
            Overload("nonzero_static", nonzero_static, _static),
        ),
        kernels=(count_selected_kernel, places_kernel, coordinates_kernel),
        dtypes=ALL,
        differentiable=False,
        tiles=TILES,
        benchmarks=(Benchmark("nonzero", _sparse),),
    )
)
register(
    Operator(
        name="masked_select",
        overloads=(Overload("masked_select", masked_select, _selections),),
        kernels=(count_selected_kernel, places_kernel, pick_kernel),
        dtypes=ALL,
        tiles=TILES,
        benchmarks=(Benchmark("masked_select", _half),),
    )
)
register(
    Operator(
        name="masked_scatter",
        overloads=(Overload("masked_scatter_", masked_scatter_, _scatters, takes_out=False),),
        kernels=(count_selected_kernel, masked_scatter_kernel),
        dtypes=ALL,
        tiles=TILES,
    )
)
