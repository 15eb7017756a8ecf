"""segment_reduce: sums, means, products and extremes of consecutive runs of elements along a dimension,
given by their lengths or offsets, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import normal_dim
from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..kernels.numbers import double
from ..launching import TRITON_DTYPES, Tiles, cdiv, compute_dtype, launch, scalar_bits
from ..memory.copy import fill_
from ..registry import Operator, Overload, Sample, register
from ..samples import tensor
from ..scan.running import SUM
from .extremes import larger, smaller

TILES = Tiles(simt={"columns": 128}, simd={"columns": 256})
IDENTITIES = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf}

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["initial"])
def segments_kernel(
    out,
    data,
    starts,
    ends,
    segments,
    run,
    length,
    inner,
    initial: tl.int64,
    KIND: tl.constexpr,
    GIVEN: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One segment of data [outer, length, inner], BLOCK columns: out[outer, segment, inner]. Starts and
    ends of the segments have `run` numbers for each outer index."""
    blocks = tl.cdiv(inner, BLOCK)
    program = tl.program_id(0)
    lane = (program % blocks) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < inner
    pair = (program // blocks).to(tl.int64)
    outer = pair // segments
    segment = pair % segments
    start = tl.load(starts + outer * run + segment).to(tl.int64)
    end = tl.load(ends + outer * run + segment).to(tl.int64)
    total = tl.zeros((BLOCK,), COMPUTE) + double(initial).to(COMPUTE)
    for k in range(start, end):
        value = tl.load(data + (outer * length + k) * inner + lane, mask=mask, other=0).to(COMPUTE)
        if KIND == "prod":
            total = total * value
        elif KIND == "max":
            total = larger(total, value)
        elif KIND == "min":
            total = smaller(total, value)
        else:
            total += value
    if KIND == "mean":
        total = tl.where(end > start, total / tl.maximum(end - start, 1).to(COMPUTE), total)
        if not GIVEN:
            total = tl.where(end > start, total, float("nan"))
    tl.store(out + pair * inner + lane, total.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["initial"])
def segments_backward_kernel(
    out,
    gradient,
    output,
    data,
    starts,
    ends,
    segments,
    run,
    length,
    inner,
    initial: tl.int64,
    KIND: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradient of one segment's elements. An extreme's is shared by all that are equal to it; a product's
    is the product of the others, which zeros and NaN are counted for."""
    blocks = tl.cdiv(inner, BLOCK)
    program = tl.program_id(0)
    lane = (program % blocks) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < inner
    pair = (program // blocks).to(tl.int64)
    outer = pair // segments
    segment = pair % segments
    start = tl.load(starts + outer * run + segment).to(tl.int64)
    end = tl.load(ends + outer * run + segment).to(tl.int64)
    dy = tl.load(gradient + pair * inner + lane, mask=mask, other=0).to(COMPUTE)
    y = tl.load(output + pair * inner + lane, mask=mask, other=0).to(COMPUTE)
    product = tl.zeros((BLOCK,), COMPUTE) + double(initial).to(COMPUTE)
    zeros = tl.zeros((BLOCK,), tl.int32)
    missing = tl.zeros((BLOCK,), tl.int32)
    same = tl.zeros((BLOCK,), tl.int32)
    if (KIND == "max") | (KIND == "min") | (KIND == "prod"):
        for k in range(start, end):
            value = tl.load(data + (outer * length + k) * inner + lane, mask=mask, other=0).to(COMPUTE)
            absent = value != value
            same += ((value == y) | absent).to(tl.int32)
            zeros += (value == 0).to(tl.int32)
            missing += absent.to(tl.int32)
            product = tl.where((value == 0) | absent, product, product * value)
    for k in range(start, end):
        at = (outer * length + k) * inner + lane
        value = tl.load(data + at, mask=mask, other=0).to(COMPUTE)
        absent = value != value
        if (KIND == "max") | (KIND == "min"):
            dx = tl.where((value == y) | absent, dy / tl.maximum(same, 1).to(COMPUTE), 0.0)
        elif KIND == "prod":
            others = tl.where(zeros - (value == 0).to(tl.int32) > 0, 0.0, product)
            others = tl.where(missing - absent.to(tl.int32) > 0, float("nan"), others)
            ordinary = (value != 0) & (value == value)
            dx = dy * tl.where(ordinary, y / tl.where(ordinary, value, 1.0), others)
        elif KIND == "mean":
            dx = dy / (end - start).to(COMPUTE)
        else:
            dx = dy
        tl.store(out + at, dx.to(out.dtype.element_ty), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


def _bounds(
    data: torch.Tensor, lengths: torch.Tensor | None, offsets: torch.Tensor | None, axis: int, unsafe: bool
) -> tuple[torch.Tensor, torch.Tensor, int, int]:
    """Starts and ends of the segments, their number, and how many numbers each outer index has."""
    given = offsets if offsets is not None else lengths
    if given is None:
        raise ArgumentError("segment_reduce(): Either lengths or offsets must be defined.")
    if given.dtype not in (torch.int32, torch.int64):
        raise ArgumentError(f"segment_reduce(): lengths and offsets must be integers, got {given.dtype}")
    if given.ndim != axis + 1 or given.shape[:-1] != data.shape[:axis]:
        raise ArgumentError(
            f"segment_reduce(): Expected the shape of lengths or offsets {list(given.shape)} to be that of "
            f"data {list(data.shape)} before axis {axis}, and one dimension"
        )
    dense = given.contiguous()
    if offsets is not None:
        flat = dense.view(-1)
        return flat, flat[1:], given.shape[-1] - 1, given.shape[-1]
    ends = SUM(dense, -1, torch.int64, torch.int64)
    before = _shifted(ends)
    if not unsafe and ends.numel():
        for last in ends[..., -1].reshape(-1).tolist():
            if last != data.shape[axis]:
                raise ArgumentError(
                    f"segment_reduce(): Expected all rows of lengths along axis to sum to "
                    f"data.size({axis}) = {data.shape[axis]}, got {last}"
                )
    return before.view(-1), ends.view(-1), given.shape[-1], given.shape[-1]


def _shifted(ends: torch.Tensor) -> torch.Tensor:
    """Starts of segments from their ends."""
    starts = torch.empty_like(ends)
    if ends.shape[-1]:
        fill_(starts[..., :1], 0)
        starts[..., 1:].copy_(ends[..., :-1])
    return starts


def _checked(name: str, data: torch.Tensor, reduce: str, axis: int) -> int:
    if reduce not in IDENTITIES:
        raise ArgumentError(f"{name}: unsupported reduction given! {reduce}")
    if not data.dtype.is_floating_point or data.dtype not in TRITON_DTYPES:
        raise NotServed(name, f"dtype {data.dtype} is not served")
    return normal_dim(axis, data.ndim)


def segment_reduce(
    data: torch.Tensor,
    reduce: str,
    *,
    lengths: torch.Tensor | None = None,
    indices: Any = None,
    offsets: torch.Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> torch.Tensor:
    """Reduction of each segment of `data` along `axis`; `initial` begins each, and is an empty one's."""
    place = _checked("segment_reduce", data, reduce, axis)
    if indices is not None:
        raise NotServed("segment_reduce", "indices are not served")
    starts, ends, segments, run = _bounds(data, lengths, offsets, place, unsafe)
    out = torch.empty(
        (*data.shape[:place], segments, *data.shape[place + 1 :]), dtype=data.dtype, device=data.device
    )
    if not out.numel():
        return out
    inner = math.prod(data.shape[place + 1 :])
    block = min(power_of_two(inner), TILES.on(data)["columns"])
    begin = IDENTITIES[reduce] if initial is None else float(initial)
    launch(
        segments_kernel,
        out.numel() // inner * cdiv(inner, block),
        out,
        data.contiguous(),
        starts,
        ends,
        segments,
        run,
        data.shape[place],
        inner,
        scalar_bits(begin, True),
        label=reduce,
        KIND=reduce,
        GIVEN=initial is not None,
        COMPUTE=TRITON_DTYPES[compute_dtype(data.dtype)],
        BLOCK=block,
    )
    return out


def segment_reduce_backward(
    grad: torch.Tensor,
    output: torch.Tensor,
    data: torch.Tensor,
    reduce: str,
    *,
    lengths: torch.Tensor | None = None,
    offsets: torch.Tensor | None = None,
    axis: int = 0,
    initial: float | None = None,
) -> torch.Tensor:
    """Gradient of `data`."""
    place = _checked("_segment_reduce_backward", data, reduce, axis)
    starts, ends, segments, run = _bounds(data, lengths, offsets, place, True)
    out = fill_(torch.empty(data.shape, dtype=data.dtype, device=data.device), 0)
    if not grad.numel() or not out.numel():
        return out
    inner = math.prod(data.shape[place + 1 :])
    block = min(power_of_two(inner), TILES.on(data)["columns"])
    begin = 1.0 if initial is None else float(initial)
    launch(
        segments_backward_kernel,
        grad.numel() // inner * cdiv(inner, block),
        out,
        grad.contiguous(),
        output.contiguous(),
        data.contiguous(),
        starts,
        ends,
        segments,
        run,
        data.shape[place],
        inner,
        scalar_bits(begin, True),
        label=reduce,
        KIND=reduce,
        COMPUTE=TRITON_DTYPES[compute_dtype(data.dtype)],
        BLOCK=block,
    )
    return out


# ---- record ---------------------------------------------------------------------------------------

LENGTHS = torch.tensor([2, 0, 3, 1])
OFFSETS = torch.tensor([0, 2, 2, 5, 6])


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for reduce in IDENTITIES:
        yield Sample((tensor((6, 3), dtype), reduce), {"lengths": LENGTHS, "initial": 1})
        yield Sample((tensor((6,), dtype), reduce), {"offsets": OFFSETS})
    both = {"lengths": LENGTHS.expand(2, 4), "axis": 1}
    yield Sample((tensor((2, 6, 3), dtype), "max"), both)


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    data = tensor((6, 3), dtype)
    data[2, 0] = 0
    for reduce in IDENTITIES:
        keywords = {"lengths": LENGTHS, "axis": 0, "initial": 1}
        output = torch.segment_reduce(data.double(), reduce, **keywords, unsafe=False).to(dtype)
        yield Sample((tensor((4, 3), dtype, 0.5, 2, seed=1), output, data, reduce), keywords)


register(
    Operator(
        name="segment_reduce",
        overloads=(
            Overload("segment_reduce", segment_reduce, _samples, takes_out=False),
            Overload("_segment_reduce_backward", segment_reduce_backward, _gradients, takes_out=False),
        ),
        kernels=(segments_kernel, segments_backward_kernel),
        dtypes=(torch.float32, torch.float64),
        tiles=TILES,
        tolerance=2.0,
    )
)
