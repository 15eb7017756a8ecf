"""Fractional maximum pooling, where windows begin at places drawn at random (Graham, arXiv:1412.6071), its
backward operator, and max_unpool2d and max_unpool3d, which put values back at the places of maxima."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..launching import TRITON_DTYPES, Tiles, cdiv, compute_dtype, launch
from ..memory.copy import COPY, copy_, zero_
from ..registry import FLOATING, Operator, Overload, Sample, Samples, register
from ..samples import tensor

TILES = Tiles(simt={"block": 128}, simd={"block": 256})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def fractional_start(o, sample, size, count, kernel):
    """Where window o begins: the last at the end, the others in steps of alpha from a random start."""
    alpha = (tl.zeros((), sample.dtype) + (size - kernel)) / (
        tl.zeros((), sample.dtype) + tl.maximum(count - 1, 1)
    )
    place = ((o.to(sample.dtype) + sample) * alpha).to(tl.int32) - (sample * alpha).to(tl.int32)
    return tl.where(o == count - 1, size - kernel, place)


@triton.jit
def fractional_kernel(
    out,
    places,
    source,
    samples,
    D,
    H,
    W,
    count_d,
    count_h,
    count_w,
    kernel_d,
    kernel_h,
    kernel_w,
    RANK: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Maxima and their places of a block of windows of one plane."""
    count = count_d * count_h * count_w
    tiles = tl.cdiv(count, BLOCK)
    plane = (tl.program_id(0) // tiles).to(tl.int64)
    o = (tl.program_id(0) % tiles) * BLOCK + tl.arange(0, BLOCK)
    inside = o < count
    source += plane * D * H * W
    samples += plane * RANK
    start_d = tl.zeros((BLOCK,), tl.int32)
    if RANK == 3:
        sample = tl.load(samples).to(COMPUTE)
        start_d = fractional_start(o // (count_h * count_w), sample, D, count_d, kernel_d)
        first_h = tl.load(samples + 1).to(COMPUTE)
        first_w = tl.load(samples + 2).to(COMPUTE)
    else:
        first_h = tl.load(samples + 1).to(COMPUTE)
        first_w = tl.load(samples).to(COMPUTE)
    start_h = fractional_start(o // count_w % count_h, first_h, H, count_h, kernel_h)
    start_w = fractional_start(o % count_w, first_w, W, count_w, kernel_w)
    best = tl.full((BLOCK,), float("-inf"), COMPUTE)
    place = (start_d * H + start_h) * W + start_w
    for k_d in range(kernel_d):
        for k_h in range(kernel_h):
            for k_w in range(kernel_w):
                at = ((start_d + k_d) * H + start_h + k_h) * W + start_w + k_w
                value = tl.load(source + at, mask=inside, other=0).to(COMPUTE)
                better = (value > best) | (value != value)
                best = tl.where(better, value, best)
                place = tl.where(better, at, place)
    tl.store(out + plane * count + o, best.to(out.dtype.element_ty), mask=inside)
    tl.store(places + plane * count + o, place.to(tl.int64), mask=inside)


@triton.jit
def spread_kernel(
    out, values, places, count, size, ADD: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):
    """out[plane, places[plane, o]] = values[plane, o], or += if ADD."""
    tiles = tl.cdiv(count, BLOCK)
    plane = (tl.program_id(0) // tiles).to(tl.int64)
    o = (tl.program_id(0) % tiles) * BLOCK + tl.arange(0, BLOCK)
    inside = o < count
    place = tl.load(places + plane * count + o, mask=inside, other=0).to(tl.int64)
    known = (place >= 0) & (place < size)
    tl.device_assert(known, "found an invalid max index")
    value = tl.load(values + plane * count + o, mask=inside, other=0)
    at = out + plane * size + place
    if ADD:
        tl.atomic_add(at, value.to(COMPUTE), mask=inside & known, sem="relaxed")
    else:
        tl.store(at, value, mask=inside & known)


# ---- operators ------------------------------------------------------------------------------------


def _spread(
    values: torch.Tensor, places: torch.Tensor, shape: Sequence[int], rank: int, add: bool
) -> torch.Tensor:
    """Zeros of `shape` with the values put, or added, at their places in each plane."""
    dtype = compute_dtype(values.dtype) if add else values.dtype
    out = zero_(torch.empty(tuple(shape), dtype=dtype, device=values.device))
    count, size = math.prod(values.shape[-rank:]), math.prod(shape[-rank:])
    block = TILES.on(values)["block"]
    launch(
        spread_kernel,
        math.prod(values.shape[:-rank]) * cdiv(count, block),
        out,
        values.contiguous(),
        places.contiguous(),
        count,
        size,
        ADD=add,
        COMPUTE=TRITON_DTYPES[dtype],
        BLOCK=block,
        debug=True,
        sanitize_overflow=False,
    )
    if out.dtype == values.dtype:
        return out
    return COPY(out, out=torch.empty(out.shape, dtype=values.dtype, device=values.device))


def _deliver(result: torch.Tensor, out: torch.Tensor | None) -> torch.Tensor:
    if out is None:
        return result
    if out.shape != result.shape:
        out.resize_(result.shape)
    return copy_(out, result)


def fractional(rank: int) -> Any:
    """fractional_max_pool2d or fractional_max_pool3d."""
    name = f"fractional_max_pool{rank}d"

    def pool(
        self: torch.Tensor,
        kernel_size: Sequence[int],
        output_size: Sequence[int],
        random_samples: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.dtype not in FLOATING:
            raise NotServed(name, f"dtype {self.dtype} is not served")
        if len(kernel_size) != rank or len(output_size) != rank:
            raise ArgumentError(f"{name}: kernel_size and output_size must have {rank} numbers")
        if self.ndim not in (rank + 1, rank + 2) or 0 in self.shape[-rank - 1 :]:
            raise ArgumentError(
                f"{name}: Expected non-empty images, but got input of sizes {list(self.shape)}"
            )
        sizes = self.shape[-rank:]
        if any(c + k - 1 > n for c, k, n in zip(output_size, kernel_size, sizes, strict=True)):
            raise ArgumentError(
                f"{name}: pool size {list(kernel_size)} too large relative to input size {list(sizes)}"
            )
        planes = math.prod(self.shape[:-rank])
        if random_samples.numel() != planes * rank:
            raise ArgumentError(
                f"{name}: expected random samples for {planes} planes, but got {list(random_samples.shape)}"
            )
        shape = (*self.shape[:-rank], *output_size)
        out = torch.empty(shape, dtype=self.dtype, device=self.device)
        places = torch.empty(shape, dtype=torch.int64, device=self.device)
        ones = (1,) * (3 - rank)
        block = TILES.on(self)["block"]
        launch(
            fractional_kernel,
            planes * cdiv(math.prod(output_size), block),
            out,
            places,
            self.contiguous(),
            random_samples.contiguous(),
            *ones,
            *sizes,
            *ones,
            *output_size,
            *ones,
            *kernel_size,
            RANK=rank,
            COMPUTE=TRITON_DTYPES[compute_dtype(self.dtype)],
            BLOCK=block,
        )
        return out, places

    return pool


def fractional_backward(rank: int) -> Any:
    """The backward operator of `fractional`."""
    name = f"fractional_max_pool{rank}d_backward"

    def pool_backward(
        grad_output: torch.Tensor,
        self: torch.Tensor,
        kernel_size: Sequence[int],
        output_size: Sequence[int],
        indices: torch.Tensor,
        *,
        out: Any = None,
    ) -> torch.Tensor:
        if grad_output.dtype not in FLOATING:
            raise NotServed(name, f"dtype {grad_output.dtype} is not served")
        wanted = (*self.shape[:-rank], *output_size)
        if tuple(grad_output.shape) != wanted:
            raise ArgumentError(f"{name}: gradOutput sizes unexpected: {list(grad_output.shape)}")
        return _deliver(_spread(grad_output, indices, self.shape, rank, True), out)

    return pool_backward


def unpool(rank: int) -> Any:
    """max_unpool2d or max_unpool3d."""
    name = f"max_unpool{rank}d"

    def max_unpool(
        self: torch.Tensor,
        indices: torch.Tensor,
        output_size: Sequence[int],
        stride: Sequence[int] = (1,),
        padding: Sequence[int] = (0,),
        *,
        out: Any = None,
    ) -> torch.Tensor:
        if self.dtype not in FLOATING:
            raise NotServed(name, f"dtype {self.dtype} is not served")
        if indices.dtype != torch.int64:
            raise ArgumentError(f"elements in indices should be type int64 but got: {indices.dtype}")
        if len(output_size) != rank:
            raise ArgumentError(
                f"There should be exactly {rank} elements in output_size, but got {output_size}"
            )
        if self.ndim not in (rank + 1, rank + 2) or 0 in self.shape[-rank - 1 :]:
            raise ArgumentError(
                f"Input to {name} should be a {rank + 1}d or {rank + 2}d Tensor with non-zero sizes, but got "
                f"{list(self.shape)}"
            )
        if self.shape != indices.shape:
            raise ArgumentError(
                f"Expected shape of indices to be same as that of the input tensor ({list(self.shape)}) but "
                f"got indices tensor with shape: {list(indices.shape)}"
            )
        if any(s <= 0 for s in stride):
            raise ArgumentError("strides should be greater than zero, but got stride: " + str(list(stride)))
        return _deliver(_spread(self, indices, (*self.shape[:-rank], *output_size), rank, False), out)

    return max_unpool


# ---- record ---------------------------------------------------------------------------------------

SHAPES = {2: (2, 3, 7, 9), 3: (1, 2, 5, 6, 7)}
KERNELS = {2: [2, 3], 3: [2, 1, 3]}
COUNTS = {2: [3, 4], 3: [2, 3, 4]}


def _samples(rank: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        shape = SHAPES[rank]
        starts = tensor((*shape[:2], rank), dtype, 0.05, 0.95, seed=1)
        yield Sample((tensor(shape, dtype), KERNELS[rank], COUNTS[rank], starts))

    return draw


def _gradients(rank: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        shape = SHAPES[rank]
        count = math.prod(shape[-rank:])
        counts = (*shape[:2], *COUNTS[rank])
        places = torch.arange(math.prod(counts)).view(counts) * 5 % count
        yield Sample((tensor(counts, dtype), tensor(shape, dtype), KERNELS[rank], COUNTS[rank], places))

    return draw


def _unpooled(rank: int) -> Samples:
    def draw(dtype: torch.dtype) -> Iterable[Sample]:
        counts = (*SHAPES[rank][:2], *COUNTS[rank])
        window = math.prod(COUNTS[rank])
        places = (torch.arange(window) * 2 + 1).expand(*SHAPES[rank][:2], window).reshape(counts)
        rest = ([2] * rank, [0] * rank) if rank == 3 else ()
        yield Sample((tensor(counts, dtype), places, SHAPES[rank][-rank:], *rest))

    return draw


register(
    Operator(
        name="fractional_max_pool",
        overloads=tuple(
            overload
            for rank in (2, 3)
            for overload in (
                Overload(f"fractional_max_pool{rank}d", fractional(rank), _samples(rank), takes_out=False),
                Overload(f"fractional_max_pool{rank}d_backward", fractional_backward(rank), _gradients(rank)),
            )
        ),
        kernels=(fractional_kernel, spread_kernel),
        dtypes=(torch.float32, torch.float64),
        tiles=TILES,
    )
)
register(
    Operator(
        name="max_unpool",
        overloads=tuple(Overload(f"max_unpool{rank}d", unpool(rank), _unpooled(rank)) for rank in (2, 3)),
        kernels=(spread_kernel,),
        dtypes=(torch.float32, torch.float64),
        tiles=TILES,
    )
)
