"""Fake quantisation on a grid that follows the data: _fused_moving_avg_obs_fq_helper. A kernel moves the
running extremes toward those of a batch and makes scale and zero point of them, for the whole tensor or for
each channel; the grid is then used as by the other operators of fake quantisation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..kernels.numbers import double
from ..launching import Tiles, cdiv, launch, scalar_bits
from ..memory.copy import copy_, fill_
from ..reduce.extremes import amax, amin
from ..registry import Operator, Overload, Sample, register
from ..samples import tensor
from .fake_quantize import fake_quantize_per_channel, fake_quantize_tensor_qparams

TILES = Tiles(simt={"block": 256}, simd={"block": 256})
SMALLEST_SCALE = tl.constexpr(6.1e-5)
"""Scales below this would make numbers without full precision of what they divide."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["rate"])
def follow_kernel(running_low, running_high, lowest, highest, count, rate: tl.int64, BLOCK: tl.constexpr):
    """Running extremes of `count` channels move by `rate` toward lowest and highest; an infinite one becomes
    these."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < count
    share = double(rate).to(tl.float32)
    bottom = tl.load(running_low + lane, mask=mask, other=0)
    top = tl.load(running_high + lane, mask=mask, other=0)
    seen_low = tl.load(lowest + lane, mask=mask, other=0).to(tl.float32)
    seen_high = tl.load(highest + lane, mask=mask, other=0).to(tl.float32)
    first_low = tl.abs(bottom) == float("inf")
    first_high = tl.abs(top) == float("inf")
    bottom = tl.where(first_low, seen_low, bottom + share * (seen_low - tl.where(first_low, 0.0, bottom)))
    top = tl.where(first_high, seen_high, top + share * (seen_high - tl.where(first_high, 0.0, top)))
    tl.store(running_low + lane, bottom, mask=mask)
    tl.store(running_high + lane, top, mask=mask)


@triton.jit(do_not_specialize=["low", "high"])
def grid_kernel(
    scales,
    zero_points,
    running_low,
    running_high,
    count,
    low,
    high,
    SYMMETRIC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Scale and zero point of the grid low..high that holds the running extremes, and zero."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < count
    bottom = tl.load(running_low + lane, mask=mask, other=0)
    top = tl.load(running_high + lane, mask=mask, other=0)
    steps = (high - low).to(tl.float32)
    wide = (high - low).to(tl.float64)
    x = bottom
    y = top
    if SYMMETRIC:
        half = ((high - low) // 2).to(tl.float64)
        largest = tl.maximum(tl.abs(x.to(tl.float64) / (half + 1.0)), tl.abs(y.to(tl.float64) / half))
        both = (x < 0) & (y > 0)
        x = tl.where(both, (-largest * (half + 1.0)).to(tl.float32), x)
        y = tl.where(both, (largest * half).to(tl.float32), y)
    x = tl.minimum(x, 0.0)
    y = tl.maximum(y, 0.0)
    scale = (y.to(tl.float64) - x.to(tl.float64)) / wide
    narrow = scale.to(tl.float32)
    none = (narrow == 0) | (1.0 / tl.where(narrow == 0, 1.0, narrow) == float("inf"))
    scale = tl.where(none, 0.1, scale)
    small = scale < SMALLEST_SCALE
    stretched = (SMALLEST_SCALE / scale).to(tl.float32)
    limit = steps * SMALLEST_SCALE
    moved_x = tl.where(x == 0, x, tl.where(y == 0, -limit, x * stretched))
    moved_y = tl.where(x == 0, limit, tl.where(y == 0, y, y * stretched))
    x = tl.where(small, moved_x, x)
    y = tl.where(small, moved_y, y)
    scale = tl.where(small, SMALLEST_SCALE, scale)
    below = low.to(tl.float64)
    above = high.to(tl.float64)
    of_x = x.to(tl.float64) / scale
    of_y = y.to(tl.float64) / scale
    error_x = tl.abs(below) - tl.abs(of_x)
    error_y = tl.abs(above) - tl.abs(of_y)
    zero = tl.where(error_x < error_y, below - of_x, above - of_y)
    if SYMMETRIC:
        zero = tl.where((x < 0) & (y > 0), (below + above) * 0.5, zero)
    zero = tl.where(zero < below, below, tl.where(zero > above, above, libdevice.rint(zero)))
    tl.store(scales + lane, scale.to(scales.dtype.element_ty), mask=mask)
    tl.store(zero_points + lane, zero.to(zero_points.dtype.element_ty), mask=mask)


# ---- forward --------------------------------------------------------------------------------------


def moving_average_fake_quantize(
    self: torch.Tensor,
    observer_on: torch.Tensor,
    fake_quant_on: torch.Tensor,
    running_min: torch.Tensor,
    running_max: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor,
    averaging_const: float,
    quant_min: int,
    quant_max: int,
    ch_axis: int,
    per_row_fake_quant: bool = False,
    symmetric_quant: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(self on the grid, which elements lie inside of it). The running extremes follow self where the
    observer is on; scale and zero point are made of them where there is quantisation."""
    name = "_fused_moving_avg_obs_fq_helper"
    if ch_axis >= self.ndim:
        raise ArgumentError("Error in fused_moving_avg_obs_fake_quant_cpu: ch_axis must be < self.dim()")
    if per_row_fake_quant and ch_axis:
        raise ArgumentError(
            "Per-channel FakeQuant in fused_moving_avg_obs_fake_quant is only supported on axis == 0"
        )
    if self.dtype != torch.float32 or running_min.dtype != torch.float32:
        raise NotServed(name, f"dtype {self.dtype} is not served")
    count = self.shape[0] if per_row_fake_quant else 1
    block = min(power_of_two(count), TILES.on(self)["block"])
    for x, value in ((running_min, float("inf")), (running_max, float("-inf"))):
        if per_row_fake_quant and x.numel() == 0:
            fill_(x.resize_(count), value)
            scale.resize_(count)
            zero_point.resize_(count)
    if observer_on.item() == 1:
        others = list(range(1, self.ndim)) if per_row_fake_quant else ()
        launch(
            follow_kernel,
            cdiv(count, block),
            running_min,
            running_max,
            amin(self, others),
            amax(self, others),
            count,
            scalar_bits(averaging_const, True),
            BLOCK=block,
        )
    if fake_quant_on.item() != 1:
        kept = copy_(torch.empty_like(self), self)
        return kept, fill_(torch.empty_like(self, dtype=torch.bool), True)
    launch(
        grid_kernel,
        cdiv(count, block),
        scale,
        zero_point,
        running_min,
        running_max,
        count,
        quant_min,
        quant_max,
        SYMMETRIC=symmetric_quant,
        BLOCK=block,
    )
    if per_row_fake_quant:
        return fake_quantize_per_channel(self, scale, zero_point, 0, quant_min, quant_max)
    return fake_quantize_tensor_qparams(self, scale, zero_point, fake_quant_on, quant_min, quant_max)


# ---- record ---------------------------------------------------------------------------------------


def _batches(dtype: torch.dtype) -> Iterable[Sample]:
    on = torch.ones(1, dtype=torch.int64)
    for rows, symmetric in ((False, False), (False, True), (True, False), (True, True)):
        count = 5 if rows else 1
        for observer in (on, on * 0):
            running = torch.full((count,), -0.5), torch.full((count,), 1.5)
            scale, zero = torch.full((count,), 0.03), torch.full((count,), 3, dtype=torch.int32)
            x = tensor((5, 33), torch.float32)
            yield Sample((x, observer, on, *running, scale, zero, 0.25, 0, 127, 0, rows, symmetric))
    new = torch.full((1,), float("inf")), torch.full((1,), float("-inf"))
    scale, zero = torch.ones(1), torch.zeros(1, dtype=torch.int32)
    yield Sample((tensor((4, 4), torch.float32, 0.5, 2.0), on, on * 0, *new, scale, zero, 0.1, -128, 127, 0))


def _native(*arguments: Any) -> Any:
    """PyTorch's own, which takes single precision alone."""
    given = (x.float() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in arguments)
    return torch.ops.aten._fused_moving_avg_obs_fq_helper(*given)


register(
    Operator(
        name="moving_average_fake_quantize",
        overloads=(
            Overload(
                "_fused_moving_avg_obs_fq_helper",
                moving_average_fake_quantize,
                _batches,
                takes_out=False,
                reference=_native,
            ),
        ),
        kernels=(follow_kernel, grid_kernel),
        dtypes=(torch.float32,),
        differentiable=False,
        tiles=TILES,
    )
)
