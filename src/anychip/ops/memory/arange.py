"""Evenly spaced numbers: arange, in all its forms, through the one that PyTorch ends in."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, ArgumentValueError
from ..kernels.numbers import double
from ..launching import TRITON_DTYPES, Tiles, cdiv, launch, scalar_bits
from ..reduction import wide_accumulator
from ..registry import FLOATING, INTEGRAL, Operator, Overload, Sample, register

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["start", "step"])
def arange_kernel(
    out,
    n,
    stride,
    start: tl.int64,
    step: tl.int64,
    FLOAT: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """out[i] = start + i * step for 0 <= i < n."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    index = first + lane
    if FLOAT:
        value = double(start).to(COMPUTE) + index.to(COMPUTE) * double(step).to(COMPUTE)
    else:
        value = start.to(tl.int64) + index * step.to(tl.int64)
    tl.store(out + index * stride, value.to(out.dtype.element_ty), mask=lane < n - first)


# ---- forward --------------------------------------------------------------------------------------


def arange_out(start: float, end: float, step: float = 1, *, out: torch.Tensor) -> torch.Tensor:
    """[start, start + step, ...) below `end`, written to `out`, which is resized to the count."""
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ArgumentError(f"unsupported range: {start} -> {end}")
    if step != 0 and int(step) == 0 and not out.dtype.is_floating_point:
        raise ArgumentValueError(f"step must be nonzero, and {step} is zero in {out.dtype}")
    if step == 0 or (end - start) * step < 0:
        raise ArgumentError(
            f"upper bound and lower bound inconsistent with step sign ({start}, {end}, {step})"
        )
    count = math.ceil((end - start) / step)
    if out.numel() != count:
        out.resize_((count,))
    target = out if out.ndim == 1 else out.view(-1)
    floating = out.dtype.is_floating_point
    compute = wide_accumulator(out.dtype, out.device)
    block = TILES.on(out)["block"]
    stride = target.stride(0) if count else 1
    launch(
        arange_kernel,
        cdiv(count, block),
        target,
        count,
        stride,
        scalar_bits(start, floating),
        scalar_bits(step, floating),
        FLOAT=floating,
        COMPUTE=TRITON_DTYPES[compute],
        BLOCK=block,
    )
    return out


# ---- record ---------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for start, end, step in ((0, 7, 1), (2, 3000, 3), (9, -1, -2), (5, 5, 1)):
        if dtype == torch.uint8 or (dtype == torch.int8 and end > 100):
            start, end, step = 0, 9, 2
        if dtype in (torch.float16, torch.bfloat16) and end > 100:
            end = 100
        yield Sample((start, end, step), {"out": torch.empty((0,), dtype=dtype)})
    if dtype.is_floating_point:  # a number that is the difference of larger ones
        yield Sample((2.1, -2.9, -1.0), {"out": torch.empty((0,), dtype=dtype)})


register(
    Operator(
        name="arange",
        overloads=(Overload("arange.start_out", arange_out, _samples, takes_out=False),),
        kernels=(arange_kernel,),
        dtypes=(*FLOATING, *INTEGRAL),
        differentiable=False,
        tiles=TILES,
    )
)
