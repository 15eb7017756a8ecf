"""The kernels of batch normalisation. A channel is `outer` runs of `inner` elements, so that one kernel
serves [n, c, ...] in rows of pixels and channels-last layouts, where neighbouring channels are one tile."""

from __future__ import annotations

import triton
import triton.language as tl

from ..kernels.moments import centred_sums, moments
from ..kernels.numbers import double


@triton.jit(do_not_specialize=["momentum", "eps"])
def batch_statistics_kernel(
    mean_out,
    scale_out,
    running_mean,
    running_var,
    source,
    channels,
    outer,
    inner,
    stride_c,
    stride_outer,
    stride_inner,
    momentum: tl.int64,
    eps: tl.int64,
    VARIANCE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """Mean, and 1 / sqrt(variance + eps) (the variance itself if VARIANCE), of a block of channels; the
    running statistics, where there are some, move towards them by `momentum`."""
    channel = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = channel < channels
    lane = tl.arange(0, BLOCK_S)
    source += (channel.to(tl.int64) * stride_c)[:, None] + (lane.to(tl.int64) * stride_inner)[None, :]
    count = tl.zeros((), COMPUTE) + outer * inner
    total = tl.zeros((BLOCK_C, BLOCK_S), COMPUTE)
    for n in range(outer):
        row = source + n.to(tl.int64) * stride_outer
        for first in range(0, inner, BLOCK_S):
            mask = inside[:, None] & (lane < inner - first)[None, :]
            total += tl.load(row + first.to(tl.int64) * stride_inner, mask=mask, other=0).to(COMPUTE)
    mean = tl.sum(total, 1) / count
    total = tl.zeros((BLOCK_C, BLOCK_S), COMPUTE)
    squares = tl.zeros((BLOCK_C, BLOCK_S), COMPUTE)
    for n in range(outer):
        row = source + n.to(tl.int64) * stride_outer
        for first in range(0, inner, BLOCK_S):
            mask = inside[:, None] & (lane < inner - first)[None, :]
            value = tl.load(row + first.to(tl.int64) * stride_inner, mask=mask, other=0).to(COMPUTE)
            total, squares = centred_sums(value, mean[:, None], mask, total, squares)
    beside, variance = moments(total, squares, count, 1)
    mean += beside
    share = double(momentum).to(COMPUTE)
    small = double(eps).to(COMPUTE)
    if running_mean is not None:
        old = tl.load(running_mean + channel, mask=inside, other=0).to(COMPUTE)
        new = share * mean + (1 - share) * old
        tl.store(running_mean + channel, new.to(running_mean.dtype.element_ty), mask=inside)
    if running_var is not None:
        old = tl.load(running_var + channel, mask=inside, other=0).to(COMPUTE)
        new = share * (variance * (count / (count - 1))) + (1 - share) * old
        tl.store(running_var + channel, new.to(running_var.dtype.element_ty), mask=inside)
    tl.store(mean_out + channel, mean.to(mean_out.dtype.element_ty), mask=inside)
    if VARIANCE:
        scale = variance
    else:
        scale = 1.0 / tl.sqrt(variance + small)
    tl.store(scale_out + channel, scale.to(scale_out.dtype.element_ty), mask=inside)


@triton.jit
def channel_tile(
    channels, outer, inner, stride_c, stride_outer, stride_inner, BLOCK_C: tl.constexpr, BLOCK_S: tl.constexpr
):
    """This program's channels, whether they are inside, its elements' offsets, and their mask."""
    tiles_s = tl.cdiv(inner, BLOCK_S)
    tiles_c = tl.cdiv(channels, BLOCK_C)
    program = tl.program_id(0)
    first = (program % tiles_s).to(tl.int64) * BLOCK_S
    rest = program // tiles_s
    channel = (rest % tiles_c) * BLOCK_C + tl.arange(0, BLOCK_C)
    run = (rest // tiles_c).to(tl.int64)
    lane = tl.arange(0, BLOCK_S)
    inside = channel < channels
    mask = inside[:, None] & (lane < inner - first)[None, :]
    at = run * stride_outer + first * stride_inner
    at = at + (channel.to(tl.int64) * stride_c)[:, None] + (lane.to(tl.int64) * stride_inner)[None, :]
    return channel, inside, at, mask


@triton.jit
def reciprocal_deviation(variance, channel, inside, eps, COMPUTE: tl.constexpr):
    """1 / sqrt(variance + eps) of a block of channels."""
    small = double(eps).to(COMPUTE)
    return 1.0 / tl.sqrt(tl.load(variance + channel, mask=inside, other=1).to(COMPUTE) + small)


@triton.jit(do_not_specialize=["eps"])
def batch_norm_kernel(
    out,
    source,
    mean,
    scale,
    weight,
    bias,
    channels,
    outer,
    inner,
    stride_c,
    stride_outer,
    stride_inner,
    eps: tl.int64,
    VARIANCE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """(source - mean) / deviation * weight + bias, over one tile; `scale` is the variance if VARIANCE,
    else the reciprocal deviation."""
    channel, inside, at, mask = channel_tile(
        channels, outer, inner, stride_c, stride_outer, stride_inner, BLOCK_C, BLOCK_S
    )
    if VARIANCE:
        factor = reciprocal_deviation(scale, channel, inside, eps, COMPUTE)
    else:
        factor = tl.load(scale + channel, mask=inside, other=0).to(COMPUTE)
    if weight is not None:
        factor *= tl.load(weight + channel, mask=inside, other=0).to(COMPUTE)
    centre = tl.load(mean + channel, mask=inside, other=0).to(COMPUTE)
    value = (tl.load(source + at, mask=mask, other=0).to(COMPUTE) - centre[:, None]) * factor[:, None]
    if bias is not None:
        value += tl.load(bias + channel, mask=inside, other=0).to(COMPUTE)[:, None]
    tl.store(out + at, value.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["eps"])
def batch_norm_sums_kernel(
    sum_g,
    sum_gx,
    gradient,
    source,
    mean,
    scale,
    channels,
    outer,
    inner,
    stride_c,
    stride_outer,
    stride_inner,
    eps: tl.int64,
    VARIANCE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """Sums of the gradient, and of its product with the normalised source, of a block of channels."""
    channel = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    inside = channel < channels
    lane = tl.arange(0, BLOCK_S)
    start = (channel.to(tl.int64) * stride_c)[:, None] + (lane.to(tl.int64) * stride_inner)[None, :]
    centre = tl.load(mean + channel, mask=inside, other=0).to(COMPUTE)
    if VARIANCE:
        factor = reciprocal_deviation(scale, channel, inside, eps, COMPUTE)
    else:
        factor = tl.load(scale + channel, mask=inside, other=0).to(COMPUTE)
    total_g = tl.zeros((BLOCK_C, BLOCK_S), COMPUTE)
    total_gx = tl.zeros((BLOCK_C, BLOCK_S), COMPUTE)
    for n in range(outer):
        for first in range(0, inner, BLOCK_S):
            mask = inside[:, None] & (lane < inner - first)[None, :]
            at = start + (n.to(tl.int64) * stride_outer + first.to(tl.int64) * stride_inner)
            g = tl.load(gradient + at, mask=mask, other=0).to(COMPUTE)
            x = tl.load(source + at, mask=mask, other=0).to(COMPUTE)
            total_g += g
            total_gx += g * (x - centre[:, None])
    tl.store(sum_g + channel, tl.sum(total_g, 1), mask=inside)
    tl.store(sum_gx + channel, tl.sum(total_gx, 1) * factor, mask=inside)


@triton.jit(do_not_specialize=["eps"])
def batch_norm_input_gradient_kernel(
    out,
    gradient,
    source,
    mean,
    scale,
    weight,
    sum_g,
    sum_gx,
    channels,
    outer,
    inner,
    stride_c,
    stride_outer,
    stride_inner,
    eps: tl.int64,
    TRAIN: tl.constexpr,
    VARIANCE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """(g - mean(g) - xhat mean(g xhat)) weight / deviation over one tile; without the means if not TRAIN."""
    channel, inside, at, mask = channel_tile(
        channels, outer, inner, stride_c, stride_outer, stride_inner, BLOCK_C, BLOCK_S
    )
    if VARIANCE:
        deviation = reciprocal_deviation(scale, channel, inside, eps, COMPUTE)
    else:
        deviation = tl.load(scale + channel, mask=inside, other=0).to(COMPUTE)
    factor = deviation
    if weight is not None:
        factor *= tl.load(weight + channel, mask=inside, other=0).to(COMPUTE)
    g = tl.load(gradient + at, mask=mask, other=0).to(COMPUTE)
    if TRAIN:
        count = tl.zeros((), COMPUTE) + outer * inner
        centre = tl.load(mean + channel, mask=inside, other=0).to(COMPUTE)
        slope = tl.load(sum_gx + channel, mask=inside, other=0) / count * deviation
        level = tl.load(sum_g + channel, mask=inside, other=0) / count
        x = tl.load(source + at, mask=mask, other=0).to(COMPUTE)
        g = g - level[:, None] - (x - centre[:, None]) * slope[:, None]
    tl.store(out + at, (g * factor[:, None]).to(out.dtype.element_ty), mask=mask)
