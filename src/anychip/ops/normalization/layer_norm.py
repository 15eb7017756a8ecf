"""Layer normalisation over the trailing dimensions, with mean and reciprocal deviation kept for the
backward pass. Ba, Kiros and Hinton, "Layer Normalization", arXiv:1607.06450."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError, NotServed
from ..iteration import power_of_two
from ..kernels.moments import centred_sums, moments
from ..kernels.numbers import double
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, launch, scalar_bits, signature
from ..reduce.sums import SUM
from ..registry import FLOATING, Benchmark, Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(
    simt={"block": 8192, "rows": 32, "columns": 64, "groups": 128},
    simd={"block": 8192, "rows": 1, "columns": 1024, "groups": 8},
)
PLANS: Plans[Plan] = Plans()

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["eps"])
def layer_norm_kernel(
    out,
    mean_out,
    rstd_out,
    source,
    weight,
    bias,
    length,
    eps: tl.int64,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """One row: (x - mean) / sqrt(variance + eps) * weight + bias, the variance from centred values. Their
    mean is what rounding took off the mean: it is added to it, and taken off the centred values."""
    row = tl.program_id(0).to(tl.int64)
    source += row * length
    out += row * length
    lane = tl.arange(0, BLOCK)
    count = tl.zeros((), COMPUTE) + length
    small = double(eps).to(COMPUTE)
    if WHOLE:
        mask = lane < length
        value = tl.load(source + lane, mask=mask, other=0.0).to(COMPUTE)
        mean = tl.sum(value, 0) / count
        centred = tl.where(mask, value - mean, 0.0)
        beside, variance = moments(centred, centred * centred, count, 0)  # pyright: ignore[reportArgumentType] (literals are constants)
        rstd = 1.0 / tl.sqrt(variance + small)
        result = centred * rstd - beside * rstd
        if weight is not None:
            result *= tl.load(weight + lane, mask=mask, other=0.0).to(COMPUTE)
        if bias is not None:
            result += tl.load(bias + lane, mask=mask, other=0.0).to(COMPUTE)
        tl.store(out + lane, result.to(out.dtype.element_ty), mask=mask)
    else:
        total = tl.zeros((BLOCK,), COMPUTE)
        for block in range(0, length, BLOCK):
            total += tl.load(source + block + lane, mask=lane < length - block, other=0.0).to(COMPUTE)
        mean = tl.sum(total, 0) / count
        total = tl.zeros((BLOCK,), COMPUTE)
        squares = tl.zeros((BLOCK,), COMPUTE)
        for block in range(0, length, BLOCK):
            mask = lane < length - block
            value = tl.load(source + block + lane, mask=mask, other=0.0).to(COMPUTE)
            total, squares = centred_sums(value, mean, mask, total, squares)
        beside, variance = moments(total, squares, count, 0)  # pyright: ignore[reportArgumentType] (literals are constants)
        rstd = 1.0 / tl.sqrt(variance + small)
        for block in range(0, length, BLOCK):
            mask = lane < length - block
            value = tl.load(source + block + lane, mask=mask, other=0.0).to(COMPUTE)
            result = (value - mean) * rstd - beside * rstd
            if weight is not None:
                result *= tl.load(weight + block + lane, mask=mask, other=0.0).to(COMPUTE)
            if bias is not None:
                result += tl.load(bias + block + lane, mask=mask, other=0.0).to(COMPUTE)
            tl.store(out + block + lane, result.to(out.dtype.element_ty), mask=mask)
    tl.store(mean_out + row, mean + beside)
    tl.store(rstd_out + row, rstd)


@triton.jit
def layer_norm_input_gradient_kernel(
    out, gradient, source, mean, rstd, weight, length, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):
    """One row of dx = rstd (g - mean(g) - xhat mean(g xhat)), where g = dy weight."""
    row = tl.program_id(0).to(tl.int64)
    source += row * length
    gradient += row * length
    out += row * length
    centre = tl.load(mean + row).to(COMPUTE)
    scale = tl.load(rstd + row).to(COMPUTE)
    lane = tl.arange(0, BLOCK)
    count = tl.zeros((), COMPUTE) + length
    sum_g = tl.zeros((BLOCK,), COMPUTE)
    sum_gx = tl.zeros((BLOCK,), COMPUTE)
    for block in range(0, length, BLOCK):
        mask = lane < length - block
        g = tl.load(gradient + block + lane, mask=mask, other=0.0).to(COMPUTE)
        if weight is not None:
            g *= tl.load(weight + block + lane, mask=mask, other=0.0).to(COMPUTE)
        normal = (tl.load(source + block + lane, mask=mask, other=0.0).to(COMPUTE) - centre) * scale
        sum_g += g
        sum_gx += g * normal
    mean_g = tl.sum(sum_g, 0) / count
    mean_gx = tl.sum(sum_gx, 0) / count
    for block in range(0, length, BLOCK):
        mask = lane < length - block
        g = tl.load(gradient + block + lane, mask=mask, other=0.0).to(COMPUTE)
        if weight is not None:
            g *= tl.load(weight + block + lane, mask=mask, other=0.0).to(COMPUTE)
        normal = (tl.load(source + block + lane, mask=mask, other=0.0).to(COMPUTE) - centre) * scale
        dx = scale * (g - mean_g - normal * mean_gx)
        tl.store(out + block + lane, dx.to(out.dtype.element_ty), mask=mask)


@triton.jit
def layer_norm_weight_gradient_kernel(
    weight_out,
    bias_out,
    gradient,
    source,
    mean,
    rstd,
    rows,
    length,
    rows_per_group,
    COMPUTE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Partial sums of dy xhat and dy over one group of rows, for one block of columns."""
    group = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    inside = columns < length
    lane = tl.arange(0, ROWS)
    first = group * rows_per_group
    last = tl.minimum(first + rows_per_group, rows)
    sum_gx = tl.zeros((ROWS, COLUMNS), COMPUTE)
    sum_g = tl.zeros((ROWS, COLUMNS), COMPUTE)
    for block in range(first, last, ROWS):
        row = block + lane
        mask = (row < last)[:, None] & inside[None, :]
        at = row[:, None] * length + columns[None, :]
        centre = tl.load(mean + row, mask=row < last, other=0.0).to(COMPUTE)
        scale = tl.load(rstd + row, mask=row < last, other=0.0).to(COMPUTE)
        g = tl.load(gradient + at, mask=mask, other=0.0).to(COMPUTE)
        value = tl.load(source + at, mask=mask, other=0.0).to(COMPUTE)
        sum_gx += g * (value - centre[:, None]) * scale[:, None]
        sum_g += g
    tl.store(weight_out + group * length + columns, tl.sum(sum_gx, 0), mask=inside)
    tl.store(bias_out + group * length + columns, tl.sum(sum_g, 0), mask=inside)


@triton.jit
def layer_norm_backward_kernel(
    out,
    weight_out,
    bias_out,
    added,
    gradient,
    source,
    mean,
    rstd,
    weight,
    rows,
    length,
    rows_per_group,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """dx = rstd (g - mean(g) - xhat mean(g xhat)), where g = dy weight, of a group of rows that fit a block,
    plus what is `added`; and the group's sums of dy xhat and dy. `added` and `bias_out` may be None."""
    group = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < length
    first = group * rows_per_group
    last = tl.minimum(first + rows_per_group, rows)
    count = tl.zeros((), COMPUTE) + length
    factor = tl.load(weight + columns, mask=inside, other=0.0).to(COMPUTE)
    sum_gx = tl.zeros((BLOCK,), COMPUTE)
    sum_g = tl.zeros((BLOCK,), COMPUTE)
    for row in range(first, last):
        at = row * length + columns
        dy = tl.load(gradient + at, mask=inside, other=0.0).to(COMPUTE)
        value = tl.load(source + at, mask=inside, other=0.0).to(COMPUTE)
        scale = tl.load(rstd + row).to(COMPUTE)
        normal = (value - tl.load(mean + row).to(COMPUTE)) * scale
        g = dy * factor
        mean_g = tl.sum(g, 0) / count
        mean_gx = tl.sum(g * normal, 0) / count
        sum_gx += dy * normal
        sum_g += dy
        dx = scale * (g - mean_g - normal * mean_gx)
        if added is not None:
            dx += tl.load(added + at, mask=inside, other=0.0).to(COMPUTE)
        tl.store(out + at, dx.to(out.dtype.element_ty), mask=inside)
    tl.store(weight_out + group * length + columns, sum_gx, mask=inside)
    if bias_out is not None:
        tl.store(bias_out + group * length + columns, sum_g, mask=inside)


# ---- forward, backward ----------------------------------------------------------------------------


def _split(self: torch.Tensor, normalized_shape: Sequence[int]) -> tuple[int, int, tuple[int, ...]]:
    """Rows, row length, and the shape of mean and reciprocal deviation."""
    trailing = len(normalized_shape)
    if trailing == 0 or list(self.shape[self.ndim - trailing :]) != list(normalized_shape):
        raise ArgumentError(
            f"Given normalized_shape={list(normalized_shape)}, expected input with shape "
            f"[*, {', '.join(map(str, normalized_shape))}], but got input of size {list(self.shape)}"
        )
    leading = self.shape[: self.ndim - trailing]
    return math.prod(leading), math.prod(normalized_shape), (*leading, *([1] * trailing))


def native_layer_norm(
    input: torch.Tensor,
    normalized_shape: Sequence[int],
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(normalised, mean, reciprocal deviation); the statistics have the input's dtype, or single precision
    where that of weight and bias is another."""
    if input.dtype not in FLOATING:
        raise NotServed("native_layer_norm", f"dtype {input.dtype} is not served")
    source = input.contiguous()
    kinds = tuple(None if x is None else (x.dtype, x.shape) for x in (weight, bias))
    key = (signature(source), tuple(normalized_shape), kinds)
    plan = PLANS.get(key)
    if plan is None:
        rows, length, statistics = _split(input, normalized_shape)
        block = min(power_of_two(length), TILES.on(input)["block"])
        compute = compute_dtype(input.dtype)
        constants = {"COMPUTE": TRITON_DTYPES[compute], "BLOCK": block, "WHOLE": block >= length}
        for name, x in (("weight", weight), ("bias", bias)):
            if x is not None and tuple(x.shape) != tuple(normalized_shape):
                raise ArgumentError(
                    f"layer_norm: expected {name} to be of the shape {list(normalized_shape)} that is "
                    f"normalised, but got {list(x.shape)}"
                )
        mixed = any(x is not None and x.dtype != input.dtype for x in (weight, bias))
        kept = compute if mixed else input.dtype
        plan = PLANS.remember(
            key, Plan(layer_norm_kernel, rows, (length,), constants, result=(statistics, kept))
        )
    statistics, kept = plan.result
    out = torch.empty(input.shape, dtype=input.dtype, device=input.device)
    mean = torch.empty(statistics, dtype=kept, device=input.device)
    rstd = torch.empty(statistics, dtype=kept, device=input.device)
    plan.launch(
        out,
        mean,
        rstd,
        source,
        None if weight is None else weight.contiguous(),
        None if bias is None else bias.contiguous(),
        numbers=(scalar_bits(eps, True),),
    )
    return out, mean, rstd


def native_layer_norm_backward(
    grad_out: torch.Tensor,
    input: torch.Tensor,
    normalized_shape: Sequence[int],
    mean: torch.Tensor,
    rstd: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Gradients of input, weight and bias, each None where `output_mask` says it is not wanted."""
    rows, length, _ = _split(input, normalized_shape)
    gradient, source = grad_out.contiguous(), input.contiguous()
    mean, rstd = mean.contiguous(), rstd.contiguous()
    compute = compute_dtype(input.dtype)
    tiles = TILES.on(input)
    grad_input = grad_weight = grad_bias = None
    if output_mask[0]:
        grad_input = torch.empty(input.shape, dtype=input.dtype, device=input.device)
    block = min(power_of_two(length), tiles["block"])
    types: dict[str, Any] = {"COMPUTE": TRITON_DTYPES[compute]}
    weight = None if weight is None else weight.contiguous()
    wants_sums = (weight is not None and output_mask[1]) or (bias is not None and output_mask[2])
    groups = max(1, min(tiles["groups"], cdiv(rows, tiles["rows"])))
    partial = torch.empty(
        (2, groups, length) if wants_sums else (2, 0, 0), dtype=compute, device=input.device
    )
    if wants_sums and weight is not None and output_mask[0] and length <= block:
        launch(
            layer_norm_backward_kernel,
            groups,
            grad_input,
            partial[0],
            partial[1],
            None,
            gradient,
            source,
            mean,
            rstd,
            weight,
            rows,
            length,
            cdiv(rows, groups),
            BLOCK=block,
            **types,
        )
    else:
        if output_mask[0]:
            launch(
                layer_norm_input_gradient_kernel,
                rows,
                grad_input,
                gradient,
                source,
                mean,
                rstd,
                weight,
                length,
                BLOCK=block,
                **types,
            )
        if wants_sums:
            launch(
                layer_norm_weight_gradient_kernel,
                (cdiv(length, tiles["columns"]), groups),
                partial[0],
                partial[1],
                gradient,
                source,
                mean,
                rstd,
                rows,
                length,
                cdiv(rows, groups),
                ROWS=tiles["rows"],
                COLUMNS=tiles["columns"],
                **types,
            )
    like = weight if weight is not None else bias
    if wants_sums and like is not None:
        sums = SUM(partial, [1], False, compute=compute, result=like.dtype)
        shape = tuple(normalized_shape)
        grad_weight = sums[0].view(shape) if output_mask[1] and weight is not None else None
        grad_bias = sums[1].view(shape) if output_mask[2] and bias is not None else None
    return grad_input, grad_weight, grad_bias


# ---- record ---------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape, normal in (
        ((3, 7), (7,)),
        ((2, 3, 20), (20,)),
        ((2, 3, 4), (3, 4)),
        ((0, 4), (4,)),
        ((5, 384), (384,)),
    ):
        weight, bias = tensor(normal, dtype, seed=1), tensor(normal, dtype, seed=2)
        yield Sample((tensor(shape, dtype), normal, weight, bias, 1e-5))
    yield Sample((tensor((3, 9), dtype), (9,), None, None, 1e-5))
    yield Sample((tensor((7, 3), dtype).t(), (7,), tensor((7,), dtype), None, 1e-12))
    yield Sample((tensor((2, 9000), dtype), (9000,), None, None, 1e-5))


def _backward_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for rows, length in ((3, 7), (40, 20), (5, 9000)):
        x, gradient = tensor((rows, length), dtype), tensor((rows, length), dtype, seed=1)
        weight, bias = tensor((length,), dtype, seed=2), tensor((length,), dtype, seed=3)
        wide = x.double()
        mean = wide.mean(1, keepdim=True)
        rstd = (wide.var(1, keepdim=True, correction=0) + 1e-5).rsqrt()
        statistics = (mean.to(compute_dtype(dtype)), rstd.to(compute_dtype(dtype)))
        yield Sample((gradient, x, (length,), *statistics, weight, bias, [True, True, True]))


def _wide(dtype: torch.dtype) -> Sample:
    weight, bias = tensor((1024,), dtype, seed=1), tensor((1024,), dtype, seed=2)
    return Sample((tensor((4096, 1024), dtype), (1024,), weight, bias, 1e-5))


def _first(result: Any) -> Any:
    return result[0]


register(
    Operator(
        name="layer_norm",
        overloads=(
            Overload("native_layer_norm", native_layer_norm, _samples, takes_out=False, compared=_first),
            Overload(
                "native_layer_norm_backward", native_layer_norm_backward, _backward_samples, takes_out=False
            ),
        ),
        kernels=(
            layer_norm_kernel,
            layer_norm_input_gradient_kernel,
            layer_norm_weight_gradient_kernel,
            layer_norm_backward_kernel,
        ),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(Benchmark("native_layer_norm", _wide),),
        tolerance=4.0,
    )
)
