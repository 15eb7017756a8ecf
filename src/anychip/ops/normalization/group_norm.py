"""Group normalisation and its backward operator: a group of channels of one image is a row of contiguous
elements, normalised by its own mean and deviation. Wu and He, arXiv:1803.08494."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..kernels.moments import variance_beside
from ..kernels.numbers import double
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, compute_dtype, scalar_bits, signature
from ..memory.copy import zero_
from ..reduce.sums import SUM
from ..reduction import wide_accumulator
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(simt={"elements": 1024, "row": 1024}, simd={"elements": 2048, "row": 256})
"""How many elements of a group are taken at once: `elements` over its channels and pixels, where a channel
has weights of its own, and those of a `row`, all of them one after the other, for mean and variance."""

PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["eps"])
def group_norm_kernel(
    out,
    mean_out,
    rstd_out,
    source,
    weight,
    bias,
    groups,
    channels,
    pixels,
    eps: tl.int64,
    COMPUTE: tl.constexpr,
    WIDE: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """One group of one image: `channels` rows of `pixels` elements, one after the other. What rounding takes
    off the mean is known if totals are kept in a type that is WIDE; else it is the mean of centred values."""
    row = tl.program_id(0).to(tl.int64)
    first_channel = (row % groups) * channels
    length = channels * pixels
    start = row * length
    source += start
    out += start
    lane = tl.arange(0, BLOCK)
    lane_c = tl.arange(0, BLOCK_C)
    lane_s = tl.arange(0, BLOCK_S)
    offset = lane_c[:, None] * pixels + lane_s[None, :]
    count = tl.zeros((), COMPUTE) + length
    wide_total = tl.zeros((BLOCK,), WIDE)
    for block in range(0, length, BLOCK):
        value = tl.load(source + block + lane, mask=lane < length - block, other=0)
        wide_total += value.to(COMPUTE).to(WIDE)
    wide_mean = tl.sum(wide_total, 0) / length
    mean = wide_mean.to(COMPUTE)
    total = tl.zeros((BLOCK,), COMPUTE)
    squares = tl.zeros((BLOCK,), COMPUTE)
    for block in range(0, length, BLOCK):
        mask = lane < length - block
        value = tl.load(source + block + lane, mask=mask, other=0).to(COMPUTE)
        centred = tl.where(mask, value - mean, 0.0)
        if WIDE == COMPUTE:
            total += centred
        squares += centred * centred
    if WIDE == COMPUTE:
        beside = tl.sum(total, 0) / count
    else:
        beside = (wide_mean - mean.to(WIDE)).to(COMPUTE)
    variance = variance_beside(tl.sum(squares, 0) / count, beside)
    small = double(eps).to(COMPUTE)
    rstd = 1.0 / tl.sqrt(variance + small)
    for c in range(0, channels, BLOCK_C):
        inside = lane_c < channels - c
        factor = tl.zeros((BLOCK_C,), COMPUTE) + rstd
        if weight is not None:
            factor *= tl.load(weight + first_channel + c + lane_c, mask=inside, other=0).to(COMPUTE)
        addend = -beside * factor
        if bias is not None:
            addend += tl.load(bias + first_channel + c + lane_c, mask=inside, other=0).to(COMPUTE)
        for s in range(0, pixels, BLOCK_S):
            mask = inside[:, None] & (lane_s < pixels - s)[None, :]
            at = c * pixels + s + offset
            centred = tl.load(source + at, mask=mask, other=0).to(COMPUTE) - mean
            value = centred * factor[:, None] + addend[:, None]
            tl.store(out + at, value.to(out.dtype.element_ty), mask=mask)
    tl.store(mean_out + row, (mean + beside).to(mean_out.dtype.element_ty))
    tl.store(rstd_out + row, rstd.to(rstd_out.dtype.element_ty))


@triton.jit
def group_norm_gradient_kernel(
    out,
    sum_g,
    sum_gx,
    gradient,
    source,
    mean,
    rstd,
    weight,
    groups,
    channels,
    pixels,
    COMPUTE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_S: tl.constexpr,
):
    """One group of one image: for each channel the sums of dy and of dy xhat; then the input's gradient
    rstd (dy w - mean(dy w) - xhat mean(dy w xhat)), unless `out` is None."""
    row = tl.program_id(0).to(tl.int64)
    first_channel = (row % groups) * channels
    start = row * channels * pixels
    source += start
    gradient += start
    lane_c = tl.arange(0, BLOCK_C)
    lane_s = tl.arange(0, BLOCK_S)
    offset = lane_c[:, None] * pixels + lane_s[None, :]
    centre = tl.load(mean + row).to(COMPUTE)
    scale = tl.load(rstd + row).to(COMPUTE)
    count = tl.zeros((), COMPUTE) + channels * pixels
    group_g = tl.zeros((), COMPUTE)
    group_gx = tl.zeros((), COMPUTE)
    for c in range(0, channels, BLOCK_C):
        inside = lane_c < channels - c
        total_g = tl.zeros((BLOCK_C, BLOCK_S), COMPUTE)
        total_gx = tl.zeros((BLOCK_C, BLOCK_S), COMPUTE)
        for s in range(0, pixels, BLOCK_S):
            mask = inside[:, None] & (lane_s < pixels - s)[None, :]
            at = c * pixels + s + offset
            g = tl.load(gradient + at, mask=mask, other=0).to(COMPUTE)
            x = tl.load(source + at, mask=mask, other=0).to(COMPUTE)
            total_g += g
            total_gx += g * (x - centre)
        of_channel_g = tl.sum(total_g, 1)
        of_channel_gx = tl.sum(total_gx, 1) * scale
        tl.store(sum_g + row * channels + c + lane_c, of_channel_g, mask=inside)
        tl.store(sum_gx + row * channels + c + lane_c, of_channel_gx, mask=inside)
        if weight is not None:
            factor = tl.load(weight + first_channel + c + lane_c, mask=inside, other=0).to(COMPUTE)
            of_channel_g *= factor
            of_channel_gx *= factor
        group_g += tl.sum(of_channel_g, 0)
        group_gx += tl.sum(of_channel_gx, 0)
    if out is not None:
        level = group_g / count
        slope = group_gx / count * scale
        for c in range(0, channels, BLOCK_C):
            inside = lane_c < channels - c
            factor = tl.zeros((BLOCK_C,), COMPUTE) + 1.0
            if weight is not None:
                factor = tl.load(weight + first_channel + c + lane_c, mask=inside, other=0).to(COMPUTE)
            for s in range(0, pixels, BLOCK_S):
                mask = inside[:, None] & (lane_s < pixels - s)[None, :]
                at = c * pixels + s + offset
                g = tl.load(gradient + at, mask=mask, other=0).to(COMPUTE) * factor[:, None]
                x = tl.load(source + at, mask=mask, other=0).to(COMPUTE)
                dx = scale * (g - level - (x - centre) * slope)
                tl.store(out + start + at, dx.to(out.dtype.element_ty), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


def _plan(kernel: Any, rows: int, sizes: tuple[int, ...], label: str, *operands: Any, **more: Any) -> Plan:
    """A launch over `rows` programs; constants of the kernel beyond those that all have are `more`."""
    key = (label, rows, sizes, signature(*operands))
    plan = PLANS.get(key)
    if plan is None:
        source = operands[0]
        budget = TILES.on(source)["elements"]
        block_s = min(power_of_two(sizes[2]), budget)
        constants = {
            "COMPUTE": TRITON_DTYPES[compute_dtype(source.dtype)],
            "BLOCK_C": min(power_of_two(sizes[1]), budget // block_s),
            "BLOCK_S": block_s,
            **more,
        }
        plan = PLANS.remember(key, Plan(kernel, rows, sizes, constants, label=label))
    return plan


def _check(input: torch.Tensor, C: int, group: int, label: str) -> None:
    if input.dtype not in FLOATING:
        raise NotServed(label, f"dtype {input.dtype} is not served")
    if group < 1 or C % group:
        raise ArgumentError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={group}"
        )


def _format(input: torch.Tensor) -> Any:
    if input.ndim == 4 and not input.is_contiguous():
        if input.is_contiguous(memory_format=torch.channels_last):
            return torch.channels_last
    return torch.contiguous_format


def native_group_norm(
    input: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(normalised, mean, reciprocal deviation); the last two have shape [N, group]."""
    label = "native_group_norm"
    _check(input, C, group, label)
    dtype = input.dtype if weight is None else torch.promote_types(input.dtype, weight.dtype)
    source = input.contiguous()
    out = torch.empty_like(source)
    mean = torch.empty((N, group), dtype=dtype, device=input.device)
    rstd = torch.empty((N, group), dtype=dtype, device=input.device)
    weight = None if weight is None else weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    plan = _plan(
        group_norm_kernel,
        N * group,
        (group, C // group, HxW),
        label,
        source,
        weight,
        bias,
        WIDE=TRITON_DTYPES[wide_accumulator(input.dtype, input.device)],
        BLOCK=TILES.on(source)["row"],
    )
    plan.launch(out, mean, rstd, source, weight, bias, numbers=(scalar_bits(eps, True),))
    return out.contiguous(memory_format=_format(input)), mean, rstd


def native_group_norm_backward(
    grad_out: torch.Tensor,
    input: torch.Tensor,
    mean: torch.Tensor,
    rstd: torch.Tensor,
    weight: torch.Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Gradients of input, weight and bias, each None where `output_mask` says it is not wanted."""
    label = "native_group_norm_backward"
    _check(input, C, group, label)
    source, gradient = input.contiguous(), grad_out.contiguous()
    mean, rstd = mean.contiguous(), rstd.contiguous()
    weight = None if weight is None else weight.contiguous()
    compute = compute_dtype(input.dtype)
    sum_g = torch.empty((N, C), dtype=compute, device=input.device)
    sum_gx = torch.empty((N, C), dtype=compute, device=input.device)
    grad_input = torch.empty_like(source) if output_mask[0] else None
    if source.numel():
        plan = _plan(
            group_norm_gradient_kernel,
            N * group,
            (group, C // group, HxW),
            label,
            source,
            weight,
            mean,
            grad_input,
        )
        plan.launch(grad_input, sum_g, sum_gx, gradient, source, mean, rstd, weight)
    else:
        zero_(sum_g)
        zero_(sum_gx)
    dtype = input.dtype if weight is None else weight.dtype
    sums = [
        SUM(x, [0], False, compute=compute, result=dtype) if wanted else None
        for x, wanted in zip((sum_gx, sum_g), output_mask[1:], strict=True)
    ]
    if grad_input is not None:
        grad_input = grad_input.contiguous(memory_format=_format(input))
    return grad_input, sums[0], sums[1]


# ---- record ---------------------------------------------------------------------------------------


def _cases(dtype: torch.dtype) -> Iterable[tuple[torch.Tensor, int]]:
    yield tensor((2, 6, 5, 7), dtype), 3
    yield tensor((3, 70), dtype), 2
    if dtype == torch.float32:
        yield tensor((2, 4, 5), dtype), 4
        yield tensor((2, 6, 3, 4), dtype).contiguous(memory_format=torch.channels_last), 2
        yield tensor((2, 2, 50, 50), dtype), 1


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for x, groups in _cases(dtype):
        n, channels = x.shape[:2]
        pixels = x.numel() // (n * channels)
        weight, bias = tensor((channels,), dtype, seed=1), tensor((channels,), dtype, seed=2)
        yield Sample((x, weight, bias, n, channels, pixels, groups, 1e-5))
    yield Sample((tensor((2, 6, 5), dtype), None, None, 2, 6, 5, 3, 1e-5))


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for x, groups in _cases(dtype):
        n, channels = x.shape[:2]
        pixels = x.numel() // (n * channels)
        rows = x.double().reshape(n, groups, -1)
        mean = rows.mean(2).to(dtype)
        rstd = (rows.var(2, correction=0) + 1e-5).rsqrt().to(dtype)
        weight, gradient = tensor((channels,), dtype, seed=1), tensor(x.shape, dtype, seed=3)
        rest = (n, channels, pixels, groups, [True, True, True])
        yield Sample((gradient, x.contiguous(), mean, rstd, weight, *rest))


def _layer(dtype: torch.dtype) -> Sample:
    weight, bias = tensor((64,), dtype, seed=1), tensor((64,), dtype, seed=2)
    return Sample((tensor((8, 64, 56, 56), dtype), weight, bias, 8, 64, 3136, 32, 1e-5))


register(
    Operator(
        name="group_norm",
        overloads=(
            Overload("native_group_norm", native_group_norm, _samples, takes_out=False),
            Overload("native_group_norm_backward", native_group_norm_backward, _gradients, takes_out=False),
        ),
        kernels=(group_norm_kernel, group_norm_gradient_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("native_group_norm", _layer),),
        tolerance=8.0,
    )
)
