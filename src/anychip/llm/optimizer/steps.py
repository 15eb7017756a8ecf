"""Optimiser steps in place, one pass over parameter, gradient and state: AdamW (Loshchilov and Hutter,
2019), Lion (Chen et al., 2023), momentum, and the moving average of weights. Flows in: tensors of one
shape and numbers. Flows out: the same tensors, updated."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"block": 1024}, simd={"block": 2048})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def adamw_kernel(
    parameter,
    gradient,
    first,
    second,
    count,
    rate,
    beta1,
    rest1,
    beta2,
    rest2,
    eps,
    shrink,
    scale1,
    scale2,
    BLOCK: tl.constexpr,
):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p = p (1 - rate decay) - rate (m scale1) /
    (sqrt(v scale2) + eps). What is less than one by little, and its rest, come rounded once each."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    p = tl.load(parameter + at, mask=mask, other=0.0).to(tl.float32)
    g = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
    m = tl.load(first + at, mask=mask, other=0.0).to(tl.float32)
    v = tl.load(second + at, mask=mask, other=0.0).to(tl.float32)
    m = beta1 * m + rest1 * g
    v = beta2 * v + rest2 * g * g
    p = p * shrink - rate * (m * scale1) / (tl.sqrt(v * scale2) + eps)
    tl.store(parameter + at, p.to(parameter.dtype.element_ty), mask=mask)
    tl.store(first + at, m.to(first.dtype.element_ty), mask=mask)
    tl.store(second + at, v.to(second.dtype.element_ty), mask=mask)


@triton.jit
def lion_kernel(
    parameter, gradient, momentum, count, rate, beta1, rest1, beta2, rest2, shrink, BLOCK: tl.constexpr
):
    """p = p (1 - rate decay) - rate sign(b1 m + (1 - b1) g); m = b2 m + (1 - b2) g."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    p = tl.load(parameter + at, mask=mask, other=0.0).to(tl.float32)
    g = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
    m = tl.load(momentum + at, mask=mask, other=0.0).to(tl.float32)
    blend = beta1 * m + rest1 * g
    sign = tl.where(blend > 0.0, 1.0, tl.where(blend < 0.0, -1.0, blend))
    tl.store(parameter + at, (p * shrink - rate * sign).to(parameter.dtype.element_ty), mask=mask)
    tl.store(momentum + at, (beta2 * m + rest2 * g).to(momentum.dtype.element_ty), mask=mask)


@triton.jit
def momentum_kernel(
    parameter, gradient, velocity, count, rate, beta, decay, NESTEROV: tl.constexpr, BLOCK: tl.constexpr
):
    """g = g + decay p; u = beta u + g; p = p - rate (u, or g + beta u)."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    p = tl.load(parameter + at, mask=mask, other=0.0).to(tl.float32)
    g = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32) + decay * p
    u = beta * tl.load(velocity + at, mask=mask, other=0.0).to(tl.float32) + g
    direction = u
    if NESTEROV:
        direction = g + beta * u
    tl.store(parameter + at, (p - rate * direction).to(parameter.dtype.element_ty), mask=mask)
    tl.store(velocity + at, u.to(velocity.dtype.element_ty), mask=mask)


@triton.jit
def average_kernel(average, value, count, keep, rest, BLOCK: tl.constexpr):
    """a = keep a + (1 - keep) x."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    a = tl.load(average + at, mask=mask, other=0.0).to(tl.float32)
    x = tl.load(value + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(average + at, (keep * a + rest * x).to(average.dtype.element_ty), mask=mask)


# ---- functions ------------------------------------------------------------------------------------


def _grid(name: str, *tensors: torch.Tensor) -> tuple[int, int, int]:
    """Programs, elements and block of a step over tensors that must be alike and contiguous."""
    shape, device = tensors[0].shape, tensors[0].device
    for x in tensors:
        if x.shape != shape or x.device != device or not x.is_contiguous():
            raise ArgumentError(
                f"{name}: needs contiguous tensors of one shape on one device, not {tuple(x.shape)} with "
                f"strides {x.stride()} on {x.device} beside {tuple(shape)} on {device}"
            )
    block = TILES.on(device)["block"]
    return cdiv(tensors[0].numel(), block), tensors[0].numel(), block


def adamw_step(
    parameter: torch.Tensor,
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    step: int,
    rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.01,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """AdamW's step number `step` (from 1), in place; returns parameter and both moments. Any equal shape,
    contiguous; moments may be wider than the parameter. Raises ArgumentError."""
    programs, count, block = _grid("adamw_step", parameter, gradient, first, second)
    if step < 1:
        raise ArgumentError(f"adamw_step: steps count from 1, not {step}")
    launch(
        adamw_kernel,
        programs,
        parameter,
        gradient,
        first,
        second,
        count,
        rate,
        beta1,
        1.0 - beta1,
        beta2,
        1.0 - beta2,
        eps,
        1.0 - rate * decay,
        1.0 / (1.0 - beta1**step),
        1.0 / (1.0 - beta2**step),
        BLOCK=block,
    )
    return parameter, first, second


def lion_step(
    parameter: torch.Tensor,
    gradient: torch.Tensor,
    momentum: torch.Tensor,
    rate: float = 1e-4,
    beta1: float = 0.9,
    beta2: float = 0.99,
    decay: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lion's step in place; returns parameter and momentum. Raises ArgumentError."""
    programs, count, block = _grid("lion_step", parameter, gradient, momentum)
    launch(
        lion_kernel,
        programs,
        parameter,
        gradient,
        momentum,
        count,
        rate,
        beta1,
        1.0 - beta1,
        beta2,
        1.0 - beta2,
        1.0 - rate * decay,
        BLOCK=block,
    )
    return parameter, momentum


def momentum_step(
    parameter: torch.Tensor,
    gradient: torch.Tensor,
    velocity: torch.Tensor,
    rate: float = 1e-2,
    beta: float = 0.9,
    decay: float = 0.0,
    nesterov: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradient descent with momentum, in place; returns parameter and velocity. Raises ArgumentError."""
    programs, count, block = _grid("momentum_step", parameter, gradient, velocity)
    launch(
        momentum_kernel,
        programs,
        parameter,
        gradient,
        velocity,
        count,
        rate,
        beta,
        decay,
        NESTEROV=nesterov,
        BLOCK=block,
    )
    return parameter, velocity


def ema_update(average: torch.Tensor, value: torch.Tensor, keep: float = 0.999) -> torch.Tensor:
    """average = keep average + (1 - keep) value, in place; returns it. Raises ArgumentError."""
    programs, count, block = _grid("ema_update", average, value)
    launch(average_kernel, programs, average, value, count, keep, 1.0 - keep, BLOCK=block)
    return average


# ---- records --------------------------------------------------------------------------------------


def _adamw_reference(
    p: torch.Tensor,
    g: torch.Tensor,
    m: torch.Tensor,
    v: torch.Tensor,
    step: int,
    rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.01,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    corrected = (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + eps)
    return p * (1 - rate * decay) - rate * corrected, m, v


def _lion_reference(
    p: torch.Tensor,
    g: torch.Tensor,
    m: torch.Tensor,
    rate: float = 1e-4,
    beta1: float = 0.9,
    beta2: float = 0.99,
    decay: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    return p * (1 - rate * decay) - rate * (beta1 * m + (1 - beta1) * g).sign(), beta2 * m + (1 - beta2) * g


def _momentum_reference(
    p: torch.Tensor,
    g: torch.Tensor,
    u: torch.Tensor,
    rate: float = 1e-2,
    beta: float = 0.9,
    decay: float = 0.0,
    nesterov: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    g = g + decay * p
    u = beta * u + g
    return p - rate * (g + beta * u if nesterov else u), u


def _state(count: int, dtype: torch.dtype, tensors: int) -> list[torch.Tensor]:
    return [tensor((count,), dtype, seed=k) for k in range(tensors)]


def _adamw_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for count, step in ((5, 1), (5000, 3)):
        p, g, m, v = _state(count, dtype, 4)
        yield Sample((p, g, m, v.abs(), step, 0.05, 0.9, 0.95, 1e-6, 0.1))


def _lion_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for count in (5, 5000):
        yield Sample((*_state(count, dtype, 3), 0.05, 0.9, 0.99, 0.1))


def _momentum_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((*_state(5, dtype, 3), 0.05))
    yield Sample((*_state(5000, dtype, 3), 0.05, 0.8, 0.1, True))


def _average_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((*_state(5000, dtype, 2), 0.9))


register(
    Fused(
        "adamw_step", "optimizer", adamw_step, _adamw_reference, _adamw_samples, (adamw_kernel,), writes=True
    )
)
register(
    Fused("lion_step", "optimizer", lion_step, _lion_reference, _lion_samples, (lion_kernel,), writes=True)
)
register(
    Fused(
        "momentum_step",
        "optimizer",
        momentum_step,
        _momentum_reference,
        _momentum_samples,
        (momentum_kernel,),
        writes=True,
    )
)
register(
    Fused(
        "ema_update",
        "optimizer",
        ema_update,
        lambda a, x, keep=0.999: keep * a + (1 - keep) * x,
        _average_samples,
        (average_kernel,),
        writes=True,
    )
)
