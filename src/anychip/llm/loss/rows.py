"""What losses over rows of logits share: the pass that reads a row once for its logarithm of summed
exponentials, and the sum of the rows' losses. Flows in: logits and losses. Flows out: numbers."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def capped(x, soft_cap, CAPPED: tl.constexpr):
    """soft_cap tanh(x / soft_cap), or x, and the derivative."""
    value = x
    slope = tl.zeros_like(x) + 1.0
    if CAPPED:
        t = libdevice.tanh(x / soft_cap)
        value = soft_cap * t
        slope = 1.0 - t * t
    return value, slope


@triton.jit
def log_sum_exp(
    row,
    length,
    scale,
    soft_cap,
    CAPPED: tl.constexpr,
    BLOCK: tl.constexpr,
    WITH_MEAN: tl.constexpr = False,  # type: ignore[arg-type]
):
    """Of `length` values x = scale f(row[k]) the largest, the logarithm of the summed exp(x - largest), and,
    WITH_MEAN, the mean (else 0), of which no part is larger than the largest value. A value's log-probability
    is (x - largest) - logarithm: their sum alone would be rounded to the largest one's digits."""
    largest = -float("inf")
    total = 0.0
    mean = 0.0
    share = 1.0 / length
    for first in range(0, length, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < length
        x = tl.load(row + lane, mask=mask, other=0.0).to(tl.float32) * scale
        x, _ = capped(x, soft_cap, CAPPED)
        if WITH_MEAN:
            mean += tl.sum(tl.where(mask, x * share, 0.0), 0)
        x = tl.where(mask, x, -float("inf"))
        above = tl.maximum(largest, tl.max(x, 0))
        base = tl.where(above == -float("inf"), 0.0, above)
        total = total * tl.exp(largest - base) + tl.sum(tl.exp(x - base), 0)
        largest = above
    return largest, tl.log(total), mean


@triton.jit
def mean_kernel(out, count_out, losses, target, rows, ignore, MEAN: tl.constexpr, BLOCK: tl.constexpr):
    """The sum of the losses, over the number of rows whose target is not `ignore` if MEAN; `target` None
    counts every row. count_out gets what was divided by."""
    total = tl.zeros((BLOCK,), tl.float32)
    counted = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, rows, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < rows
        total += tl.load(losses + lane, mask=mask, other=0.0)
        keep = mask
        if target is not None:
            keep = mask & (tl.load(target + lane, mask=mask, other=0) != ignore)
        counted += keep.to(tl.float32)
    divisor = 1.0
    if MEAN:
        divisor = tl.sum(counted, 0)
    tl.store(count_out, divisor)
    tl.store(out, (tl.sum(total, 0) / divisor).to(out.dtype.element_ty))
