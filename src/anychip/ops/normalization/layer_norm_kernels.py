"""The kernels of layer normalisation over rows, whose gradients llm's layer norm takes, too."""

from __future__ import annotations

import triton
import triton.language as tl

from ..kernels.moments import centred_sums, moments
from ..kernels.numbers import double


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
        beside, variance = moments(centred, centred * centred, count, 0)
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
        beside, variance = moments(total, squares, count, 0)
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
