"""Sinkhorn's normalisation of small square matrices (Sinkhorn and Knopp, 1967), which keeps the mixing of
residual streams doubly stochastic (manifold-constrained hyper-connections, arXiv:2512.24880), with gradients.
Flows in: logits [..., n, n]. Flows out: matrices whose rows and columns sum to about one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"matrices": 16}, simd={"matrices": 64})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def sinkhorn_steps(value, inside, trace, at, stride, eps, iterations):
    """softmax of rows plus eps, columns over their sums, then rows and columns in turns; each state is kept
    at `trace` where there is one."""
    value = tl.exp(value - tl.expand_dims(tl.max(value, 2), 2))
    value = value / tl.expand_dims(tl.sum(value, 2), 2)
    value = tl.where(inside, value + eps, 0.0)
    if trace is not None:
        tl.store(trace + at, value, mask=inside)
    value = value / (tl.expand_dims(tl.sum(value, 1), 1) + eps)
    for step in range(1, iterations):
        if trace is not None:
            tl.store(trace + (2 * step - 1) * stride + at, value, mask=inside)
        value = value / (tl.expand_dims(tl.sum(value, 2), 2) + eps)
        if trace is not None:
            tl.store(trace + 2 * step * stride + at, value, mask=inside)
        value = value / (tl.expand_dims(tl.sum(value, 1), 1) + eps)
    return value


@triton.jit
def matrix_places(count, size, MATRICES: tl.constexpr, SIZE: tl.constexpr):
    """Where the elements of one block of matrices are, and which exist."""
    matrix = tl.program_id(0).to(tl.int64) * MATRICES + tl.arange(0, MATRICES)
    lane = tl.arange(0, SIZE)
    at = (matrix * size * size)[:, None, None] + lane[None, :, None] * size + lane[None, None, :]
    small = (lane < size)[:, None] & (lane < size)[None, :]
    return at, (matrix < count)[:, None, None] & small[None, :, :]


@triton.jit
def sinkhorn_kernel(
    out, trace, logits, count, size, stride, eps, iterations, MATRICES: tl.constexpr, SIZE: tl.constexpr
):
    """One block of matrices."""
    at, inside = matrix_places(count, size, MATRICES, SIZE)
    value = tl.load(logits + at, mask=inside, other=-1e30).to(tl.float32)
    value = sinkhorn_steps(value, inside, trace, at, stride, eps, iterations)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=inside)


@triton.jit
def sinkhorn_backward_kernel(
    dlogits, dout, trace, count, size, stride, eps, iterations, MATRICES: tl.constexpr, SIZE: tl.constexpr
):
    """Back through the kept states: of y = x / (s + eps), dx = (dy - sum(dy y)) / (s + eps)."""
    at, inside = matrix_places(count, size, MATRICES, SIZE)
    d = tl.load(dout + at, mask=inside, other=0.0).to(tl.float32)
    for back in range(1, iterations):
        step = iterations - back
        x = tl.load(trace + 2 * step * stride + at, mask=inside, other=0.0)
        sums = tl.expand_dims(tl.sum(x, 1), 1) + eps
        d = (d - tl.expand_dims(tl.sum(d * x / sums, 1), 1)) / sums
        d = tl.where(inside, d, 0.0)
        x = tl.load(trace + (2 * step - 1) * stride + at, mask=inside, other=0.0)
        sums = tl.expand_dims(tl.sum(x, 2), 2) + eps
        d = (d - tl.expand_dims(tl.sum(d * x / sums, 2), 2)) / sums
        d = tl.where(inside, d, 0.0)
    x = tl.load(trace + at, mask=inside, other=0.0)
    sums = tl.expand_dims(tl.sum(x, 1), 1) + eps
    d = tl.where(inside, (d - tl.expand_dims(tl.sum(d * x / sums, 1), 1)) / sums, 0.0)
    share = tl.where(inside, x - eps, 0.0)
    d = share * (d - tl.expand_dims(tl.sum(d * share, 2), 2))
    tl.store(dlogits + at, d.to(dlogits.dtype.element_ty), mask=inside)


# ---- forward, backward ----------------------------------------------------------------------------


class Sinkhorn(torch.autograd.Function):
    """Every state of the iteration is kept, in float32, where a gradient is wanted."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, iterations: int, eps: float) -> torch.Tensor:
        """exp(logits) [..., n, n] after `iterations` of dividing rows and columns by their sums."""
        logits = logits.contiguous()
        size = logits.shape[-1]
        count = logits.shape[:-2].numel()
        out = torch.empty_like(logits)
        trace = None
        if ctx.needs_input_grad[0]:
            shape = (2 * iterations - 1, logits.numel())
            trace = torch.empty(shape, dtype=torch.float32, device=logits.device)
        block = min(TILES.on(logits)["matrices"], power_of_two(count))
        constants: dict[str, Any] = {"MATRICES": block, "SIZE": power_of_two(size)}
        numbers = count, size, logits.numel(), eps, iterations
        launch(sinkhorn_kernel, cdiv(count, block), out, trace, logits, *numbers, **constants)
        ctx.save_for_backward(trace)
        ctx.sizes = cdiv(count, block), numbers, constants
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of the logits, through every state that was kept."""
        gradient = grad_outputs[0].contiguous()
        (trace,) = ctx.saved_tensors
        programs, numbers, constants = ctx.sizes
        out = torch.empty_like(gradient)
        launch(sinkhorn_backward_kernel, programs, out, gradient, trace, *numbers, **constants)
        return out, None, None


def sinkhorn(logits: torch.Tensor, iterations: int = 10, eps: float = 1e-6) -> torch.Tensor:
    """softmax(logits) + eps with columns, then rows and columns in turns, divided by their sums plus eps,
    columns `iterations` times in all.

    logits [..., n, n] floating, n up to 32 or so. Differentiable. Raises ArgumentError.
    """
    if logits.ndim < 2 or logits.shape[-1] != logits.shape[-2] or iterations < 1:
        raise ArgumentError(
            f"sinkhorn: expected square matrices and an iteration or more, got {tuple(logits.shape)} and "
            f"{iterations}"
        )
    return Sinkhorn.apply(logits, iterations, eps)


# ---- records --------------------------------------------------------------------------------------


def sinkhorn_reference(logits: torch.Tensor, iterations: int = 10, eps: float = 1e-6) -> torch.Tensor:
    """The same by PyTorch."""
    value = logits.softmax(-1) + eps
    value = value / (value.sum(-2, keepdim=True) + eps)
    for _ in range(iterations - 1):
        value = value / (value.sum(-1, keepdim=True) + eps)
        value = value / (value.sum(-2, keepdim=True) + eps)
    return value


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 3, 3), dtype), 4))
    yield Sample((tensor((4, 40, 4), dtype).transpose(0, 1), 2, 1e-3))


register(
    Fused(
        "sinkhorn",
        "hyper_connection",
        sinkhorn,
        sinkhorn_reference,
        _samples,
        (sinkhorn_kernel, sinkhorn_backward_kernel),
        differentiable=True,
    )
)
