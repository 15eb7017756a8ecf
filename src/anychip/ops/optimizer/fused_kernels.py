"""The kernels of fused optimisers: one step over one tensor."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..kernels.numbers import double


@triton.jit
def rate(pointer, bits):
    """The learning rate, from a tensor or a number."""
    if pointer is None:
        value = double(bits)
    else:
        value = tl.load(pointer).to(tl.float64)
    return value


@triton.jit
def unscaled(gradient, at, mask, scale, MAXIMIZE, COMPUTE):
    """The gradient without the loss' scale (also written back), with its sign turned to maximise."""
    value = tl.load(gradient + at, mask=mask, other=0.0).to(COMPUTE)
    if scale is not None:
        value = value / tl.load(scale).to(COMPUTE)
        tl.store(gradient + at, value.to(gradient.dtype.element_ty), mask=mask)
    if MAXIMIZE:
        value = -value
    return value


@triton.jit(do_not_specialize=["lr", "beta1", "beta2", "decay", "epsilon"])
def adam_kernel(
    parameter,
    gradient,
    mean,
    square,
    largest,
    step,
    rates,
    scale,
    skip,
    n,
    lr: tl.int64,
    beta1: tl.int64,
    beta2: tl.int64,
    decay: tl.int64,
    epsilon: tl.int64,
    DECOUPLED: tl.constexpr,
    MAXIMIZE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Adam with decay in the gradient, or DECOUPLED from it; `largest` is AMSGrad's maximum."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    at = start + tl.arange(0, BLOCK)
    mask = at < n
    if skip is not None:
        mask = mask & (tl.load(skip) != 1.0)
    count = tl.load(step).to(tl.float64)
    first, second = double(beta1), double(beta2)
    speed = rate(rates, lr)
    size = (speed / (1.0 - libdevice.pow(first, count))).to(COMPUTE)
    root = tl.sqrt((1.0 - libdevice.pow(second, count)).to(COMPUTE))
    x = tl.load(parameter + at, mask=mask, other=0.0).to(COMPUTE)
    g = unscaled(gradient, at, mask, scale, MAXIMIZE, COMPUTE)
    if DECOUPLED:
        x = x - x * (speed * double(decay)).to(COMPUTE)
    else:
        g = g + x * double(decay).to(COMPUTE)
    m = tl.load(mean + at, mask=mask, other=0.0).to(COMPUTE)
    m = m + (g - m) * (1.0 - first).to(COMPUTE)
    v = tl.load(square + at, mask=mask, other=0.0).to(COMPUTE)
    v = v * second.to(COMPUTE) + g * g * (1.0 - second).to(COMPUTE)
    tl.store(mean + at, m.to(mean.dtype.element_ty), mask=mask)
    tl.store(square + at, v.to(square.dtype.element_ty), mask=mask)
    if largest is not None:
        v = tl.maximum(v, tl.load(largest + at, mask=mask, other=0.0).to(COMPUTE))
        tl.store(largest + at, v.to(largest.dtype.element_ty), mask=mask)
    x = x - size * m / (tl.sqrt(v) / root + double(epsilon).to(COMPUTE))
    tl.store(parameter + at, x.to(parameter.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["lr", "momentum", "decay", "dampening"])
def sgd_kernel(
    parameter,
    gradient,
    buffer,
    rates,
    scale,
    skip,
    n,
    lr: tl.int64,
    momentum: tl.int64,
    decay: tl.int64,
    dampening: tl.int64,
    NESTEROV: tl.constexpr,
    FIRST: tl.constexpr,
    MAXIMIZE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradient descent, with momentum if there is a buffer (which the FIRST step fills)."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    at = start + tl.arange(0, BLOCK)
    mask = at < n
    if skip is not None:
        mask = mask & (tl.load(skip) != 1.0)
    x = tl.load(parameter + at, mask=mask, other=0.0).to(COMPUTE)
    g = unscaled(gradient, at, mask, scale, MAXIMIZE, COMPUTE)
    g = g + x * double(decay).to(COMPUTE)
    if buffer is not None:
        if FIRST:
            moved = g
        else:
            moved = tl.load(buffer + at, mask=mask, other=0.0).to(COMPUTE) * double(momentum).to(COMPUTE)
            moved += g * (1.0 - double(dampening)).to(COMPUTE)
        tl.store(buffer + at, moved.to(buffer.dtype.element_ty), mask=mask)
        if NESTEROV:
            g = g + moved * double(momentum).to(COMPUTE)
        else:
            g = moved
    x = x - g * rate(rates, lr).to(COMPUTE)
    tl.store(parameter + at, x.to(parameter.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["lr", "lr_decay", "decay", "epsilon"])
def adagrad_kernel(
    parameter,
    gradient,
    total,
    step,
    rates,
    scale,
    skip,
    n,
    lr: tl.int64,
    lr_decay: tl.int64,
    decay: tl.int64,
    epsilon: tl.int64,
    MAXIMIZE: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Steps divided by the root of the sum of all squared gradients."""
    start = tl.program_id(0).to(tl.int64) * BLOCK
    at = start + tl.arange(0, BLOCK)
    mask = at < n
    if skip is not None:
        mask = mask & (tl.load(skip) != 1.0)
    count = tl.load(step).to(tl.float64)
    size = (rate(rates, lr) / (1.0 + (count - 1.0) * double(lr_decay))).to(COMPUTE)
    x = tl.load(parameter + at, mask=mask, other=0.0).to(COMPUTE)
    g = unscaled(gradient, at, mask, scale, MAXIMIZE, COMPUTE)
    g = g + x * double(decay).to(COMPUTE)
    v = tl.load(total + at, mask=mask, other=0.0).to(COMPUTE) + g * g
    tl.store(total + at, v.to(total.dtype.element_ty), mask=mask)
    x = x - size * g / (tl.sqrt(v) + double(epsilon).to(COMPUTE))
    tl.store(parameter + at, x.to(parameter.dtype.element_ty), mask=mask)
