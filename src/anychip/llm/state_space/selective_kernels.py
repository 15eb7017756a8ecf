"""The kernels of selective state spaces, over chunks and one token at a time."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def softplus(x):
    """log(1 + exp(x)), without overflow. What rounding takes off the sum is given back to its logarithm,
    whose slope is 1 / sum: small results have all their digits."""
    e = tl.exp(-tl.abs(x))
    more = 1.0 + e
    return tl.maximum(x, 0.0) + (tl.log(more) + (e - (more - 1.0)) / more)


@triton.jit
def step_size(dt, bias, head, SOFTPLUS: tl.constexpr):
    """dt of one head with its bias, made positive with SOFTPLUS."""
    size = tl.load(dt).to(tl.float32)
    if bias is not None:
        size += tl.load(bias + head).to(tl.float32)
    if SOFTPLUS:
        size = softplus(size)
    return size


@triton.jit
def discretize_kernel(
    scaled, decay, x, dt, rate, bias, heads, width, SOFTPLUS: tl.constexpr, BLOCK: tl.constexpr
):
    """scaled = dt x and decay = dt rate of one head of one token."""
    row = tl.program_id(0).to(tl.int64)
    head = row % heads
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    size = step_size(dt + row, bias, head, SOFTPLUS)
    value = tl.load(x + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(scaled + row * width + lane, value * size, mask=mask)
    tl.store(decay + row, size * tl.load(rate + head).to(tl.float32))


@triton.jit
def discretize_backward_kernel(
    dx,
    ddt,
    each_rate,
    each_bias,
    dscaled,
    ddecay,
    x,
    dt,
    rate,
    bias,
    heads,
    width,
    SOFTPLUS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Of one head of one token; the shares of rate and bias are still to be summed over tokens."""
    row = tl.program_id(0).to(tl.int64)
    head = row % heads
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    size = step_size(dt + row, bias, head, SOFTPLUS)
    value = tl.load(x + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    d = tl.load(dscaled + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    g = tl.load(ddecay + row).to(tl.float32)
    dsize = tl.sum(d * value, 0) + g * tl.load(rate + head).to(tl.float32)
    if SOFTPLUS:
        dsize *= 1.0 - tl.exp(-size)
    tl.store(dx + row * width + lane, (d * size).to(dx.dtype.element_ty), mask=mask)
    tl.store(ddt + row, dsize.to(ddt.dtype.element_ty))
    tl.store(each_rate + row, g * size)
    tl.store(each_bias + row, dsize)


@triton.jit
def skip_kernel(out, scanned, x, skip, heads, width, BLOCK: tl.constexpr):
    """out = scanned + skip x of one head of one token."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    value = tl.load(scanned + row * width + lane, mask=mask, other=0.0)
    if skip is not None:
        factor = tl.load(skip + row % heads).to(tl.float32)
        value += factor * tl.load(x + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + row * width + lane, value.to(out.dtype.element_ty), mask=mask)


@triton.jit
def skip_backward_kernel(dscanned, dx, each_skip, dout, x, skip, heads, width, BLOCK: tl.constexpr):
    """dscanned = dout, dx = skip dout, and x . dout, to be summed over tokens; skip None is 0."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    d = tl.load(dout + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    factor = 0.0
    if skip is not None:
        factor = tl.load(skip + row % heads).to(tl.float32)
    value = tl.load(x + row * width + lane, mask=mask, other=0.0).to(tl.float32)
    tl.store(dscanned + row * width + lane, d, mask=mask)
    tl.store(dx + row * width + lane, (d * factor).to(dx.dtype.element_ty), mask=mask)
    tl.store(each_skip + row, tl.sum(d * value, 0))


@triton.jit
def selective_update_kernel(
    out,
    state,
    x,
    dt,
    rate,
    into,
    outof,
    skip,
    gate,
    bias,
    heads,
    sharing,
    width,
    size,
    SOFTPLUS: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """One step of some channels of one head: s = exp(dt rate) s + dt x B; out = (s C + skip x) silu(gate)."""
    sequence = tl.program_id(2).to(tl.int64)
    head = tl.program_id(1)
    row = sequence * heads + head
    group = sequence * (heads // sharing) + head // sharing
    w = tl.program_id(0) * BLOCK_W + tl.arange(0, BLOCK_W)
    n = tl.arange(0, BLOCK_N)
    in_w, in_n = w < width, n < size
    inside = in_w[:, None] & in_n[None, :]
    at_state = (row * width + w[:, None]) * size + n[None, :]
    step = step_size(dt + row, bias, head, SOFTPLUS)
    value = tl.load(x + row * width + w, mask=in_w, other=0.0).to(tl.float32)
    b = tl.load(into + group * size + n, mask=in_n, other=0.0).to(tl.float32)
    c = tl.load(outof + group * size + n, mask=in_n, other=0.0).to(tl.float32)
    s = tl.load(state + at_state, mask=inside, other=0.0).to(tl.float32)
    s = s * tl.exp(step * tl.load(rate + head).to(tl.float32)) + (step * value)[:, None] * b[None, :]
    tl.store(state + at_state, s.to(state.dtype.element_ty), mask=inside)
    result = tl.sum(s * c[None, :], 1)
    if skip is not None:
        result += tl.load(skip + head).to(tl.float32) * value
    if gate is not None:
        z = tl.load(gate + row * width + w, mask=in_w, other=0.0).to(tl.float32)
        result *= z / (1.0 + tl.exp(-z))
    tl.store(out + row * width + w, result.to(out.dtype.element_ty), mask=in_w)
