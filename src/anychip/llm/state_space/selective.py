"""Mamba-2's selective state space (Dao and Gu, arXiv:2405.21060): the scan of a sequence in chunks, and one
step of decoding. Flows in: inputs by head, step sizes, input and output projections. Flows out: outputs by
head, and the state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.kernels.row_sums import group_sum_kernel, sum_groups
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .linear_attention import linear_attention
from .linear_kernels import chunk_kernel, faded_kernel, shared_gradient_kernel
from .selective_kernels import (
    discretize_backward_kernel,
    discretize_kernel,
    selective_update_kernel,
    skip_backward_kernel,
    skip_kernel,
)

TILES = Tiles(simt={"channels": 32}, simd={"channels": 64})

# ---- forward, backward ----------------------------------------------------------------------------


def _over_tokens(each: torch.Tensor, heads: int, like: torch.Tensor | None) -> torch.Tensor | None:
    """The sum over all tokens of [tokens, heads], in the dtype of a parameter; None without one."""
    if like is None:
        return None
    out = torch.empty_like(like)
    sum_groups(out, each, each.numel() // heads)
    return out


class Discretize(torch.autograd.Function):
    """dt x and dt rate, in float32."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        dt: torch.Tensor,
        rate: torch.Tensor,
        bias: torch.Tensor | None,
        softplus: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """dt x and dt rate for each token, in float32; dt gets `bias` and a softplus before, where these are
        asked for."""
        x, dt, rate = x.contiguous(), dt.contiguous(), rate.contiguous()
        heads, width = x.shape[2:]
        scaled = torch.empty(x.shape, dtype=torch.float32, device=x.device)
        decay = torch.empty(dt.shape, dtype=torch.float32, device=x.device)
        launch(
            discretize_kernel,
            dt.numel(),
            scaled,
            decay,
            x,
            dt,
            rate,
            bias,
            heads,
            width,
            SOFTPLUS=softplus,
            BLOCK=power_of_two(width),
        )
        ctx.save_for_backward(x, dt, rate, bias)
        ctx.softplus = softplus
        return scaled, decay

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of x, dt, rate and bias."""
        x, dt, rate, bias = ctx.saved_tensors
        heads, width = x.shape[2:]
        dx, ddt = torch.empty_like(x), torch.empty_like(dt)
        each_rate, each_bias = (torch.empty(dt.shape, dtype=torch.float32, device=x.device) for _ in "rb")
        launch(
            discretize_backward_kernel,
            dt.numel(),
            dx,
            ddt,
            each_rate,
            each_bias,
            *(g.contiguous() for g in grad_outputs),
            x,
            dt,
            rate,
            bias,
            heads,
            width,
            SOFTPLUS=ctx.softplus,
            BLOCK=power_of_two(width),
        )
        return dx, ddt, _over_tokens(each_rate, heads, rate), _over_tokens(each_bias, heads, bias), None


class Skip(torch.autograd.Function):
    """scanned + skip x, in x's dtype."""

    @staticmethod
    def forward(ctx: Any, scanned: torch.Tensor, x: torch.Tensor, skip: torch.Tensor | None) -> torch.Tensor:
        """scanned + skip x, in the dtype of x."""
        x = x.contiguous()
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        heads, width = x.shape[2:]
        rows = x.numel() // max(1, width)
        launch(skip_kernel, rows, out, scanned, x, skip, heads, width, BLOCK=power_of_two(width))
        ctx.save_for_backward(x, skip)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of scanned, x and skip."""
        x, skip = ctx.saved_tensors
        heads, width = x.shape[2:]
        rows = x.numel() // max(1, width)
        dscanned = torch.empty(x.shape, dtype=torch.float32, device=x.device)
        dx = torch.empty_like(x)
        each = torch.empty(rows, dtype=torch.float32, device=x.device)
        launch(
            skip_backward_kernel,
            rows,
            dscanned,
            dx,
            each,
            grad_outputs[0].contiguous(),
            x,
            skip,
            heads,
            width,
            BLOCK=power_of_two(width),
        )
        return dscanned, dx, _over_tokens(each, heads, skip)


# ---- functions ------------------------------------------------------------------------------------


def ssd_scan(
    x: torch.Tensor,
    dt: torch.Tensor,
    rate: torch.Tensor,
    into: torch.Tensor,
    outof: torch.Tensor,
    skip: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    softplus: bool = False,
    initial: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """S_t = exp(dt_t rate) S_{t-1} + dt_t B_t x_t^T and y_t = S_t^T C_t + skip x_t, in chunks.

    x [batch, tokens, heads, width], dt [batch, tokens, heads] (plus bias [heads], through softplus where
    asked), rate [heads] not above 0, into (B) and outof (C) [batch, tokens, groups, size], skip [heads];
    initial [batch, heads, size, width]. Gives y like x and the last state in float32.
    Differentiable in all tensors. Raises ArgumentError.
    """
    if x.ndim != 4 or dt.shape != x.shape[:3] or rate.shape != x.shape[2:3]:
        raise ArgumentError(
            f"ssd_scan: x {tuple(x.shape)}, dt {tuple(dt.shape)} and rate {tuple(rate.shape)} must be "
            f"[batch, tokens, heads, width], [batch, tokens, heads] and [heads]"
        )
    scaled, decay = Discretize.apply(x, dt, rate, bias, softplus)
    scanned, last = linear_attention(outof, into, scaled, decay, initial)
    return Skip.apply(scanned, x, skip), last


def selective_state_update(
    state: torch.Tensor,
    x: torch.Tensor,
    dt: torch.Tensor,
    rate: torch.Tensor,
    into: torch.Tensor,
    outof: torch.Tensor,
    skip: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    softplus: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step: state = exp(dt rate) state + dt x B^T in place, y = (state C + skip x) silu(gate).

    state contiguous [batch, heads, width, size], x and gate [batch, heads, width], dt [batch, heads], into
    (B) and outof (C) [batch, groups, size], rate, skip, bias [heads]. Gives y and the state.
    Raises ArgumentError.
    """
    if state.ndim != 4 or state.shape[:3] != x.shape or dt.shape != x.shape[:2] or not state.is_contiguous():
        raise ArgumentError(
            f"selective_state_update: state {tuple(state.shape)}, x {tuple(x.shape)}, dt {tuple(dt.shape)} "
            f"must be contiguous [batch, heads, width, size], [batch, heads, width] and [batch, heads]"
        )
    batch, heads, width, size = state.shape
    if into.shape != outof.shape or into.ndim != 3 or not into.shape[1] or heads % into.shape[1]:
        raise ArgumentError(
            f"selective_state_update: B {tuple(into.shape)} and C {tuple(outof.shape)} differ"
        )
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    block = min(TILES.on(x)["channels"], power_of_two(width))
    launch(
        selective_update_kernel,
        (cdiv(width, block), heads, batch),
        out,
        state,
        x.contiguous(),
        dt.contiguous(),
        rate.contiguous(),
        into.contiguous(),
        outof.contiguous(),
        skip,
        None if gate is None else gate.contiguous(),
        bias,
        heads,
        heads // into.shape[1],
        width,
        size,
        SOFTPLUS=softplus,
        BLOCK_W=block,
        BLOCK_N=power_of_two(size),
    )
    return out, state


# ---- records --------------------------------------------------------------------------------------


def _update_reference(
    state: torch.Tensor,
    x: torch.Tensor,
    dt: torch.Tensor,
    rate: torch.Tensor,
    into: torch.Tensor,
    outof: torch.Tensor,
    skip: torch.Tensor | None = None,
    gate: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    softplus: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    dt = dt if bias is None else dt + bias
    dt = F.softplus(dt) if softplus else dt
    into, outof = (m.repeat_interleave(x.shape[1] // m.shape[1], 1) for m in (into, outof))
    state = state * (dt * rate).exp()[..., None, None] + (dt[..., None] * x)[..., None] * into[:, :, None]
    y = torch.einsum("bhwn,bhn->bhw", state, outof)
    y = y if skip is None else y + skip[:, None] * x
    return (y if gate is None else y * F.silu(gate)), state


def _scan_reference(
    x: torch.Tensor,
    dt: torch.Tensor,
    rate: torch.Tensor,
    into: torch.Tensor,
    outof: torch.Tensor,
    skip: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    softplus: bool = False,
    initial: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    batch, tokens, heads, width = x.shape
    state = x.new_zeros((batch, heads, width, into.shape[3])) if initial is None else initial.transpose(2, 3)
    results = []
    for t in range(tokens):
        y, state = _update_reference(
            state, x[:, t], dt[:, t], rate, into[:, t], outof[:, t], skip, None, bias, softplus
        )
        results.append(y)
    return torch.stack(results, 1), state.transpose(2, 3)


def _sum_of_tokens(dtype: torch.dtype) -> Sample:
    """Nothing fades, and every token adds the same to the state: their roundings move the sum by less than
    one of its own. All values on the way are exact in every type."""
    x, dt = torch.tensor([0.25, -0.125], dtype=dtype).expand(1, 128, 1, 2), torch.full((1, 128, 1), 0.25)
    into = torch.full((1, 128, 1, 1), 0.25, dtype=dtype)
    return Sample((x, dt.to(dtype), torch.zeros(1, dtype=dtype), into, into))


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for batch, tokens, groups, heads, width, size, full in (
        (2, 5, 1, 3, 7, 5, False),
        (1, 70, 2, 4, 20, 16, True),
    ):
        x, dt = tensor((batch, tokens, heads, width), dtype), tensor((batch, tokens, heads), dtype, 0.1, 1)
        into, outof = (tensor((batch, tokens, groups, size), dtype, -1, 1, seed=s) for s in (1, 2))
        given = (x, dt, tensor((heads,), dtype, -1, 0), into, outof)
        if full:
            state = tensor((batch, heads, size, width), dtype)
            yield Sample((*given, tensor((heads,), dtype), tensor((heads,), dtype, seed=3), True, state))
        else:
            yield Sample(given)
            yield _sum_of_tokens(dtype)


def _steady_update(dtype: torch.dtype) -> Sample:
    """A state that is far larger than what comes in, and fades by little: its own rounding alone moves it."""
    state, x = torch.tensor([[[[4.25, -1.0]]]]), torch.tensor([[[0.5]]], dtype=dtype)
    dt, into = torch.tensor([[0.0625]], dtype=dtype), torch.tensor([[[0.5, 0.25]]], dtype=dtype)
    return Sample((state, x, dt, torch.tensor([-0.5]), into, into))


def _update_samples(dtype: torch.dtype) -> Iterable[Sample]:
    single = torch.float32
    for batch, groups, heads, width, size, full in ((2, 1, 3, 7, 5, False), (1, 2, 4, 70, 32, True)):
        state, x = tensor((batch, heads, width, size), single), tensor((batch, heads, width), dtype)
        into, outof = (tensor((batch, groups, size), dtype, -1, 1, seed=s) for s in (1, 2))
        given = (
            state,
            x,
            tensor((batch, heads), dtype, 0.1, 1),
            tensor((heads,), single, -1, 0),
            into,
            outof,
        )
        extra = (
            tensor((heads,), single),
            tensor((batch, heads, width), dtype, seed=4),
            tensor((heads,), single),
        )
        yield Sample((*given, *extra, True) if full else given)
        if not full:
            yield _steady_update(dtype)


# Gradients of rates and biases are sums over all tokens.
register(
    Fused(
        "ssd_scan",
        "state_space",
        ssd_scan,
        _scan_reference,
        _samples,
        (
            discretize_kernel,
            discretize_backward_kernel,
            chunk_kernel,
            shared_gradient_kernel,
            faded_kernel,
            skip_kernel,
            skip_backward_kernel,
            group_sum_kernel,
        ),
        differentiable=True,
        tolerance=4.0,
    )
)
register(
    Fused(
        "selective_state_update",
        "state_space",
        selective_state_update,
        _update_reference,
        _update_samples,
        (selective_update_kernel,),
        writes=True,
    )
)
