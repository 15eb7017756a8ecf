"""searchsorted and bucketize: where values belong in sorted sequences, by halving; and repeat_interleave,
which marks where each repeated index begins and takes the latest one at every place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import delivered
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Tiles, cdiv, launch
from ..memory.copy import fill_
from ..reduce.extremes import max_all, min_all
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import sparingly, tensor
from ..scan.running import SUM

TILES = Tiles(simt={"block": 512, "chunk": 1}, simd={"block": 512, "chunk": 256})
"""`chunk`: how many numbers a program repeats."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def search_kernel(
    out,
    sequence,
    sorter,
    values,
    n,
    each,
    length,
    steps,
    row_step,
    RIGHT: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out[i] = how many elements of the sequence of row i // each are below values[i] (or not above it,
    if RIGHT). Comparisons with NaN are false, as in PyTorch."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < n
    row = place // each * row_step
    value = tl.load(values + place, mask=mask, other=0).to(COMPUTE)
    low = tl.zeros((BLOCK,), tl.int64)
    high = low + length
    for _ in range(steps):
        active = mask & (low < high)
        middle = (low + high) // 2
        at = middle
        if sorter is not None:
            at = tl.load(sorter + row + middle, mask=active, other=0)
        element = tl.load(sequence + row + at, mask=active, other=0).to(COMPUTE)
        if RIGHT:
            before = not (element > value)
        else:
            before = not (element >= value)
        low = tl.where(active & before, middle + 1, low)
        high = tl.where(active & (not before), middle, high)
    tl.store(out + place, low.to(out.dtype.element_ty), mask=mask)


@triton.jit
def repeat_kernel(out, repeats, ends, n, CHUNK: tl.constexpr, BLOCK: tl.constexpr):
    """Each of CHUNK indices as often as `repeats` says, up to its place in `ends`."""
    first = tl.program_id(0).to(tl.int64) * CHUNK
    lane = tl.arange(0, BLOCK)
    for index in range(first, tl.minimum(first + CHUNK, n)):
        end = tl.load(ends + index)
        start = end - tl.load(repeats + index).to(tl.int64)
        value = tl.zeros((BLOCK,), out.dtype.element_ty) + index.to(out.dtype.element_ty)
        for at in range(start, end, BLOCK):
            tl.store(out + at + lane, value, mask=lane < end - at)


# ---- forward --------------------------------------------------------------------------------------


def search(
    sequence: torch.Tensor,
    sorter: torch.Tensor | None,
    values: torch.Tensor,
    count: int,
    out: torch.Tensor,
    right: bool,
) -> None:
    """Places of `count` contiguous values in the last dimension of a contiguous `sequence`, one sequence for
    all or one for each row of values."""
    length = sequence.shape[-1] if sequence.ndim else 1
    rows = sequence.numel() // length if length else 1
    compute = torch.promote_types(sequence.dtype, values.dtype)
    if compute not in TRITON_DTYPES or sequence.dtype not in TRITON_DTYPES:
        raise NotServed("searchsorted", f"dtype {compute} is not served")
    block = TILES.on(out)["block"]
    each = max(1, count // rows) if rows > 1 else max(1, count)
    launch(
        search_kernel,
        cdiv(count, block),
        out,
        sequence,
        sorter,
        values,
        count,
        each,
        length,
        length.bit_length() + 1,
        length if rows > 1 else 0,
        RIGHT=right,
        COMPUTE=TRITON_DTYPES[compute],
        BLOCK=block,
    )


def _checked(
    sorted_sequence: torch.Tensor,
    shape: torch.Size,
    right: bool,
    side: str | None,
    sorter: torch.Tensor | None,
    out: Any,
    out_int32: bool,
) -> bool:
    """Whether equal values come before, after PyTorch's checks."""
    if side is not None and side not in ("left", "right"):
        raise ArgumentError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise ArgumentError("torch.searchsorted(): side and right can't be set to opposites")
    if not sorted_sequence.ndim:
        raise ArgumentError("torch.searchsorted(): boundaries tensor should have positive dimension")
    if sorted_sequence.ndim > 1 and sorted_sequence.shape[:-1] != shape[:-1]:
        raise ArgumentError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of "
            f"boundaries tensor and input value tensor must match, but we got {list(sorted_sequence.shape)} "
            f"and {list(shape)}"
        )
    if sorter is not None:
        if sorter.shape != sorted_sequence.shape:
            raise ArgumentError(
                f"torch.searchsorted(): boundary and sorter must have the same size, but got "
                f"{list(sorted_sequence.shape)} and {list(sorter.shape)}"
            )
        if sorter.dtype != torch.int64:
            raise ArgumentError(
                f"torch.searchsorted(): sorter must be a tensor of long dtype, got {sorter.dtype}"
            )
        if sorter.numel() and (int(min_all(sorter)) < 0 or int(max_all(sorter)) >= sorter.shape[-1]):
            raise ArgumentError("torch.searchsorted(): sorter index out of range")
    if out is not None and out.dtype != (torch.int32 if out_int32 else torch.int64):
        raise ArgumentError("torch.searchsorted(): output tensor's dtype is wrong, see out_int32")
    return right or side == "right"


def searchsorted(
    sorted_sequence: torch.Tensor,
    self: torch.Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: torch.Tensor | None = None,
    out: Any = None,
) -> torch.Tensor:
    """Place in `sorted_sequence` [..., n] before which each element of self [..., m] belongs."""
    after = _checked(sorted_sequence, self.shape, right, side, sorter, out, out_int32)
    found = torch.empty(self.shape, dtype=torch.int32 if out_int32 else torch.int64, device=self.device)
    order = None if sorter is None else sorter.contiguous()
    search(sorted_sequence.contiguous(), order, self.contiguous(), found.numel(), found, after)
    return delivered(found, out)


def _number(value: float, sequence: torch.Tensor) -> torch.Tensor:
    """A Python number as a 0-d tensor of PyTorch's choice of type beside `sequence`."""
    if isinstance(value, complex):
        raise NotServed("searchsorted", "a complex value is not served")
    dtype = torch.result_type(sequence, value)
    return fill_(torch.empty((), dtype=dtype, device=sequence.device), value)


def searchsorted_number(
    sorted_sequence: torch.Tensor,
    self: float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: torch.Tensor | None = None,
    out: Any = None,
) -> torch.Tensor:
    """Place in a 1-d `sorted_sequence` before which a number belongs."""
    if sorted_sequence.ndim != 1:
        raise ArgumentError(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1"
        )
    return searchsorted(
        sorted_sequence,
        _number(self, sorted_sequence),
        out_int32=out_int32,
        right=right,
        side=side,
        sorter=sorter,
        out=out,
    )


def bucketize(
    self: torch.Tensor,
    boundaries: torch.Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    out: Any = None,
) -> torch.Tensor:
    """Index of the bucket between 1-d `boundaries` in which each element is."""
    if boundaries.ndim != 1:
        raise ArgumentError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, self, out_int32=out_int32, right=right, out=out)


def bucketize_number(
    self: float, boundaries: torch.Tensor, *, out_int32: bool = False, right: bool = False
) -> torch.Tensor:
    """Index of the bucket between 1-d `boundaries` in which a number is."""
    return bucketize(_number(self, boundaries), boundaries, out_int32=out_int32, right=right)


def repeat_interleave(repeats: torch.Tensor, *, output_size: int | None = None) -> torch.Tensor:
    """Each index of a 1-d `repeats` as often as it says."""
    if repeats.ndim != 1:
        raise ArgumentError("repeat_interleave only accept 1D vector as repeat")
    if repeats.dtype not in (torch.int64, torch.int32):
        raise ArgumentError("repeats has to be Long or Int tensor")
    if not repeats.numel():
        return torch.empty((0,), dtype=repeats.dtype, device=repeats.device)
    if int(min_all(repeats)) < 0:
        raise ArgumentError("repeats can not be negative")
    ends = SUM(repeats, 0, torch.int64, torch.int64)
    total = int(ends[-1].item())
    if output_size is not None and output_size != total:
        raise ArgumentError(f"allocated size {output_size} does not match required size {total}")
    out = torch.empty((total,), dtype=repeats.dtype, device=repeats.device)
    if total:
        n = repeats.numel()
        chunk = TILES.on(repeats)["chunk"]
        block = min(power_of_two(cdiv(total, n)), TILES.on(repeats)["block"])
        launch(repeat_kernel, cdiv(n, chunk), out, repeats.contiguous(), ends, n, CHUNK=chunk, BLOCK=block)
    return out


# ---- record ---------------------------------------------------------------------------------------


def _ordered(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    return tensor(shape, dtype).sort(-1).values


@sparingly
def _searches(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((_ordered((9,), dtype), tensor((4, 7), dtype, seed=1)))
    yield Sample((_ordered((3, 9), dtype), tensor((3, 7), dtype, seed=1)), {"right": True})
    yield Sample((_ordered((0,), dtype), tensor((3,), dtype, seed=1)), {"side": "right"})
    yield Sample((_ordered((300,), dtype), tensor((), dtype, seed=1)), {"out_int32": True})
    x = tensor((9,), dtype)
    yield Sample((x, tensor((7,), dtype, seed=1)), {"sorter": x.argsort(stable=True)})


@sparingly
def _numbers(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((_ordered((9,), dtype), 1))
    yield Sample((_ordered((9,), dtype), 1), {"right": True})


@sparingly
def _buckets(dtype: torch.dtype) -> Iterable[Sample]:
    for sample in (Sample((tensor((4, 7), dtype, seed=1), _ordered((9,), dtype))),):
        yield sample
        yield Sample(sample.arguments, {"right": True, "out_int32": True})


@sparingly
def _number_buckets(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((1, _ordered((9,), dtype)))


@sparingly
def _repeats(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((9,), dtype, 0, 4),))
    yield Sample((tensor((3,), dtype, 0, 1),))
    yield Sample((tensor((0,), dtype),))


def _many(dtype: torch.dtype) -> Sample:
    return Sample((_ordered((1024,), dtype), tensor((1024, 1024), dtype, seed=1)))


def _eightfold(dtype: torch.dtype) -> Sample:
    return Sample((torch.full((1 << 16,), 8, dtype=dtype),))


for _name, _overloads, _kernels, _dtypes, _benchmarks in (
    (
        "searchsorted",
        (
            Overload("searchsorted.Tensor", searchsorted, _searches),
            Overload("searchsorted.Scalar", searchsorted_number, _numbers),
        ),
        (search_kernel,),
        (*FLOATING, *INTEGRAL),
        (Benchmark("searchsorted.Tensor", _many),),
    ),
    (
        "bucketize",
        (
            Overload("bucketize.Tensor", bucketize, _buckets),
            Overload("bucketize.Scalar", bucketize_number, _number_buckets, takes_out=False),
        ),
        (search_kernel,),
        (*FLOATING, *INTEGRAL),
        (),
    ),
    (
        "repeat_interleave",
        (Overload("repeat_interleave.Tensor", repeat_interleave, _repeats, takes_out=False),),
        (repeat_kernel, *SUM.kernels),
        (torch.int64, torch.int32),
        (Benchmark("repeat_interleave.Tensor", _eightfold),),
    ),
):
    register(
        Operator(
            name=_name,
            overloads=_overloads,
            kernels=_kernels,
            dtypes=_dtypes,
            differentiable=False,
            tiles=TILES,
            benchmarks=_benchmarks,
        )
    )
