"""Adafactor's step (Shazeer and Stern, 2018): second moments of a matrix as one number a row and one a
column, updates clipped by their root mean square, a first moment where asked. Flows in: parameter, gradient
and state. Flows out: the same tensors, updated."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"block": 1024, "columns": 64}, simd={"block": 1024, "columns": 256})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def row_moment_kernel(row_moment, gradient, columns, keep, rest, eps, BLOCK: tl.constexpr):
    """r = keep r + (1 - keep) mean over the row of g^2 + eps."""
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, columns, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        g = tl.load(gradient + row * columns + lane, mask=lane < columns, other=0.0).to(tl.float32)
        total += g * g
    old = tl.load(row_moment + row)
    tl.store(row_moment + row, keep * old + rest * (tl.sum(total, 0) / columns + eps))


@triton.jit
def column_moment_kernel(column_moment, gradient, rows, columns, keep, rest, eps, BLOCK: tl.constexpr):
    """c = keep c + (1 - keep) mean over the column of g^2 + eps."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < columns
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(rows):
        g = tl.load(gradient + row.to(tl.int64) * columns + lane, mask=mask, other=0.0).to(tl.float32)
        total += g * g
    old = tl.load(column_moment + lane, mask=mask, other=0.0)
    tl.store(column_moment + lane, keep * old + rest * (total / rows + eps), mask=mask)


@triton.jit
def moment_mean_kernel(out, row_moment, rows, BLOCK: tl.constexpr):
    """The mean of the rows' moments."""
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, rows, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        total += tl.load(row_moment + lane, mask=lane < rows, other=0.0)
    tl.store(out, tl.sum(total, 0) / rows)


@triton.jit
def scaled_gradient(gradient, row_moment, column_moment, mean, row, lane, columns, mask):
    """g / sqrt(r c / mean r) of a block of one row; the whole moment is in `row_moment` without columns."""
    at = row * columns + lane
    g = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
    if column_moment is not None:
        moment = tl.load(row_moment + row) * tl.load(column_moment + lane, mask=mask, other=1.0)
        moment = moment / tl.load(mean)
    else:
        moment = tl.load(row_moment + at, mask=mask, other=1.0)
    return g * tl.rsqrt(moment)


@triton.jit
def update_square_kernel(
    partial, gradient, row_moment, column_moment, mean, columns, keep, rest, eps, BLOCK: tl.constexpr
):
    """The sum of squares of one row's update; without columns the moment is renewed on the way."""
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, columns, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        mask = lane < columns
        if column_moment is None:
            at = row * columns + lane
            g = tl.load(gradient + at, mask=mask, other=0.0).to(tl.float32)
            v = keep * tl.load(row_moment + at, mask=mask, other=0.0) + rest * (g * g + eps)
            tl.store(row_moment + at, v, mask=mask)
            u = g * tl.rsqrt(tl.where(mask, v, 1.0))
        else:
            u = scaled_gradient(gradient, row_moment, column_moment, mean, row, lane, columns, mask)
        total += tl.where(mask, u * u, 0.0)
    tl.store(partial + row, tl.sum(total, 0))


@triton.jit
def clip_factor_kernel(factor, partial, rows, count, limit, BLOCK: tl.constexpr):
    """1 / max(1, rms / limit) from the rows' sums of squares of `count` elements."""
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(0, rows, BLOCK):
        lane = first + tl.arange(0, BLOCK)
        total += tl.load(partial + lane, mask=lane < rows, other=0.0)
    rms = tl.sqrt(tl.sum(total, 0) / count)
    tl.store(factor, 1.0 / tl.maximum(1.0, rms / limit))


@triton.jit
def adafactor_kernel(
    parameter,
    gradient,
    row_moment,
    column_moment,
    mean,
    factor,
    momentum,
    columns,
    rate,
    beta,
    rest,
    shrink,
    BLOCK: tl.constexpr,
):
    """p = p (1 - rate decay) - rate u, u the clipped update or its running mean."""
    row = tl.program_id(0).to(tl.int64)
    lane = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < columns
    at = row * columns + lane
    u = scaled_gradient(gradient, row_moment, column_moment, mean, row, lane, columns, mask)
    u *= tl.load(factor)
    if momentum is not None:
        u = beta * tl.load(momentum + at, mask=mask, other=0.0).to(tl.float32) + rest * u
        tl.store(momentum + at, u.to(momentum.dtype.element_ty), mask=mask)
    p = tl.load(parameter + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(parameter + at, (p * shrink - rate * u).to(parameter.dtype.element_ty), mask=mask)


# ---- functions ------------------------------------------------------------------------------------


def adafactor_step(
    parameter: torch.Tensor,
    gradient: torch.Tensor,
    row_moment: torch.Tensor,
    column_moment: torch.Tensor | None,
    step: int,
    rate: float = 1e-2,
    momentum: torch.Tensor | None = None,
    beta: float = 0.9,
    keep_power: float = -0.8,
    eps: float = 1e-30,
    limit: float = 1.0,
    decay: float = 0.0,
) -> tuple[torch.Tensor | None, ...]:
    """Adafactor's step number `step` (from 1), in place; returns parameter, moments and momentum.

    A matrix [rows, columns] has moments [rows] and [columns]; anything else gives column_moment None and a
    row_moment like the parameter; moments are float32. The second moments keep 1 - step^keep_power of what
    they were; the update's root mean square is at most `limit`; `momentum` like the parameter averages it.
    All contiguous. Raises ArgumentError.
    """
    factored = column_moment is not None
    wanted = (parameter.shape[:1], parameter.shape[1:]) if factored else (parameter.shape, None)
    given = row_moment.shape, column_moment.shape if column_moment is not None else None
    alike = [gradient] if momentum is None else [gradient, momentum]
    if (
        given != wanted
        or (factored and parameter.ndim != 2)
        or any(x.shape != parameter.shape for x in alike)
        or not all(x.is_contiguous() for x in (parameter, row_moment, *alike))
        or row_moment.dtype != torch.float32
        or step < 1
    ):
        raise ArgumentError(
            f"adafactor_step: step {step} of a parameter {tuple(parameter.shape)} with a gradient "
            f"{tuple(gradient.shape)} needs contiguous float32 moments {wanted}, got {given}"
        )
    count, device = parameter.numel(), parameter.device
    tiles = TILES.on(device)
    columns = parameter.shape[1] if factored else min(count, tiles["block"])
    if not factored and count % max(columns, 1):
        columns = count
    rows = count // max(columns, 1)
    rest = float(step) ** keep_power
    keep = 1.0 - rest
    block = min(tiles["block"], power_of_two(columns))
    mean, factor = (torch.empty(1, dtype=torch.float32, device=device) for _ in range(2))
    partial = torch.empty(rows, dtype=torch.float32, device=device)
    if factored:
        across = min(tiles["columns"], power_of_two(columns))
        launch(row_moment_kernel, rows, row_moment, gradient, columns, keep, rest, eps, BLOCK=block)
        launch(
            column_moment_kernel,
            cdiv(columns, across),
            column_moment,
            gradient,
            rows,
            columns,
            keep,
            rest,
            eps,
            BLOCK=across,
        )
        launch(moment_mean_kernel, 1, mean, row_moment, rows, BLOCK=512)
    launch(
        update_square_kernel,
        rows,
        partial,
        gradient,
        row_moment,
        column_moment,
        mean,
        columns,
        keep,
        rest,
        eps,
        BLOCK=block,
    )
    launch(clip_factor_kernel, 1, factor, partial, rows, count, limit, BLOCK=512)
    launch(
        adafactor_kernel,
        (rows, cdiv(columns, block)),
        parameter,
        gradient,
        row_moment,
        column_moment,
        mean,
        factor,
        momentum,
        columns,
        rate,
        beta,
        1.0 - beta,
        1.0 - rate * decay,
        BLOCK=block,
    )
    return parameter, row_moment, column_moment, momentum


# ---- records --------------------------------------------------------------------------------------


def _reference(
    parameter: torch.Tensor,
    gradient: torch.Tensor,
    row_moment: torch.Tensor,
    column_moment: torch.Tensor | None,
    step: int,
    rate: float = 1e-2,
    momentum: torch.Tensor | None = None,
    beta: float = 0.9,
    keep_power: float = -0.8,
    eps: float = 1e-30,
    limit: float = 1.0,
    decay: float = 0.0,
) -> tuple[torch.Tensor | None, ...]:
    keep = 1 - step**keep_power
    square = gradient.square() + eps
    if column_moment is None:
        row_moment = keep * row_moment + (1 - keep) * square
        update = gradient / row_moment.sqrt()
    else:
        row_moment = keep * row_moment + (1 - keep) * square.mean(1)
        column_moment = keep * column_moment + (1 - keep) * square.mean(0)
        update = gradient / (row_moment[:, None] * column_moment / row_moment.mean()).sqrt()
    update = update / max(1.0, float(update.square().mean().sqrt()) / limit)
    if momentum is not None:
        update = momentum = beta * momentum + (1 - beta) * update
    return parameter * (1 - rate * decay) - rate * update, row_moment, column_moment, momentum


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    single = torch.float32
    p, g, m = (tensor((5, 7), dtype, seed=k) for k in range(3))
    r, c = tensor((5,), single, 0.1, 1), tensor((7,), single, 0.1, 1)
    yield Sample((p, g, r, c, 3, 0.05), {"momentum": m, "decay": 0.1})
    p, g, v = tensor((11,), dtype), tensor((11,), dtype, seed=1), tensor((11,), single, 0.1, 1)
    yield Sample((p, g, v, None, 1, 0.05), {"limit": 0.5})
    p, g = tensor((40, 300), dtype), tensor((40, 300), dtype, seed=1)
    yield Sample((p, g, tensor((40,), single, 0.1, 1), tensor((300,), single, 0.1, 1), 2, 0.05))


register(
    Fused(
        "adafactor_step",
        "optimizer",
        adafactor_step,
        _reference,
        _samples,
        (
            row_moment_kernel,
            column_moment_kernel,
            moment_mean_kernel,
            update_square_kernel,
            clip_factor_kernel,
            adafactor_kernel,
        ),
        writes=True,
    )
)
