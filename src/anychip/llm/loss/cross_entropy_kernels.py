"""The kernels of cross entropy over rows of logits, and of its gradient."""

from __future__ import annotations

import triton
import triton.language as tl

from .rows import capped, log_sum_exp


@triton.jit
def cross_entropy_kernel(
    losses,
    sums,
    logits,
    target,
    classes,
    stride,
    ignore,
    smoothing,
    z_weight,
    soft_cap,
    CAPPED: tl.constexpr,
    SMOOTHED: tl.constexpr,
    PENALIZED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One row: (1 - s) (L - x_t) + s (L - mean x) + z L^2, L = log sum exp x; both parts of L are kept.
    Terms of weight zero are left out, since they may be infinite."""
    row = tl.program_id(0).to(tl.int64)
    start = logits + row * stride
    label = tl.load(target + row)
    largest, rest, mean = log_sum_exp(start, classes, 1.0, soft_cap, CAPPED, BLOCK, SMOOTHED)
    wanted = label != ignore
    hit = tl.load(start + label, mask=wanted, other=0.0).to(tl.float32)
    hit, _ = capped(hit, soft_cap, CAPPED)
    loss = (largest - hit) + rest
    if SMOOTHED:
        loss = (1.0 - smoothing) * loss + smoothing * ((largest - mean) + rest)
    if PENALIZED:
        loss += z_weight * (largest + rest) * (largest + rest)
    tl.store(losses + row, tl.where(wanted, loss, 0.0).to(losses.dtype.element_ty))
    tl.store(sums + 2 * row, largest)
    tl.store(sums + 2 * row + 1, rest)


@triton.jit
def cross_entropy_backward_kernel(
    dlogits,
    logits,
    target,
    sums,
    gradient,
    gradient_stride,
    count,
    classes,
    stride,
    ignore,
    smoothing,
    z_weight,
    soft_cap,
    CAPPED: tl.constexpr,
    SMOOTHED: tl.constexpr,
    PENALIZED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One block of one row: (p (1 + 2 z L) - (1 - s) [k = t] - s / classes) times the loss's gradient.
    `gradient` None stands for 1, and dlogits may be logits."""
    row = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < classes
    label = tl.load(target + row)
    largest = tl.load(sums + 2 * row)
    rest = tl.load(sums + 2 * row + 1)
    factor = 1.0
    if gradient is not None:
        factor = tl.load(gradient + row * gradient_stride).to(tl.float32) / tl.load(count)
    x = tl.load(logits + row * stride + lane, mask=mask, other=0.0).to(tl.float32)
    x, slope = capped(x, soft_cap, CAPPED)
    d = tl.exp((x - largest) - rest)
    if PENALIZED:
        d *= 1.0 + 2.0 * z_weight * (largest + rest)
    if SMOOTHED:
        d -= smoothing / classes
    d = tl.where(lane == label, d - (1.0 - smoothing), d)
    d = tl.where(label != ignore, d * slope * factor, 0.0)
    tl.store(dlogits + row * classes + lane, d.to(dlogits.dtype.element_ty), mask=mask)


@triton.jit
def scaled_kernel(out, value, gradient, count, length, BLOCK: tl.constexpr):
    """out = value gradient / count, with both of them scalars in memory."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < length
    factor = tl.load(gradient).to(tl.float32) / tl.load(count)
    x = tl.load(value + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + at, (x * factor).to(out.dtype.element_ty), mask=mask)


@triton.jit
def add_bias_kernel(values, bias, columns, BLOCK: tl.constexpr):
    """values[row, k] += bias[k] for one block of one row."""
    row = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < columns
    at = values + row * columns + lane
    x = tl.load(at, mask=mask, other=0.0) + tl.load(bias + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(at, x, mask=mask)


@triton.jit
def column_sum_kernel(out, values, rows, columns, BLOCK: tl.constexpr):
    """out[k] += sum over rows of values[row, k]."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < columns
    total = tl.load(out + lane, mask=mask, other=0.0)
    for row in range(rows):
        total += tl.load(values + row.to(tl.int64) * columns + lane, mask=mask, other=0.0)
    tl.store(out + lane, total, mask=mask)
