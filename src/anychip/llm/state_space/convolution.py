"""Short causal convolutions of each channel by itself, over a sequence and one step at a time. Flows in:
activations [batch, tokens, channels] or [batch, channels] and a state. Flows out: the same shape."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import Tiles, cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register

TILES = Tiles(simt={"block": 128, "tokens": 16}, simd={"block": 256, "tokens": 64})

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def causal_conv1d_kernel(
    out, x, weight, bias, tokens, channels, taps, span, SILU: tl.constexpr, BLOCK: tl.constexpr
):
    """out[t] = sum over taps of weight[tap] x[t - taps + 1 + tap]: some tokens, one block of channels."""
    sequence = tl.program_id(2).to(tl.int64)
    channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    first = tl.program_id(1) * span
    shift = tl.zeros((BLOCK,), tl.float32)
    if bias is not None:
        shift = tl.load(bias + channel, mask=mask, other=0.0).to(tl.float32)
    for token in range(first, tl.minimum(first + span, tokens)):
        total = shift
        for tap in range(taps):
            source = token - taps + 1 + tap
            at = (sequence * tokens + source) * channels + channel
            value = tl.load(x + at, mask=mask & (source >= 0), other=0.0).to(tl.float32)
            total += value * tl.load(weight + channel * taps + tap, mask=mask, other=0.0).to(tl.float32)
        if SILU:
            total = total / (1.0 + tl.exp(-total))
        at = (sequence * tokens + token) * channels + channel
        tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def causal_conv1d_update_kernel(
    out, state, x, weight, bias, channels, taps, SILU: tl.constexpr, BLOCK: tl.constexpr
):
    """Shifts x into the state, and out = sum over taps of weight state."""
    sequence = tl.program_id(1).to(tl.int64)
    channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = channel < channels
    at = sequence * channels + channel
    total = tl.zeros((BLOCK,), tl.float32)
    if bias is not None:
        total = tl.load(bias + channel, mask=mask, other=0.0).to(tl.float32)
    for tap in range(taps - 1):
        value = tl.load(state + at * taps + tap + 1, mask=mask, other=0.0)
        tl.store(state + at * taps + tap, value, mask=mask)
        factor = tl.load(weight + channel * taps + tap, mask=mask, other=0.0).to(tl.float32)
        total += value.to(tl.float32) * factor
    value = tl.load(x + at, mask=mask, other=0.0)
    tl.store(state + at * taps + taps - 1, value.to(state.dtype.element_ty), mask=mask)
    factor = tl.load(weight + channel * taps + taps - 1, mask=mask, other=0.0).to(tl.float32)
    total += value.to(tl.float32) * factor
    if SILU:
        total = total / (1.0 + tl.exp(-total))
    tl.store(out + at, total.to(out.dtype.element_ty), mask=mask)


# ---- functions ------------------------------------------------------------------------------------


def _checked(name: str, channels: int, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    if weight.ndim != 2 or weight.shape[0] != channels or (bias is not None and bias.shape != (channels,)):
        raise ArgumentError(
            f"{name}: weight {tuple(weight.shape)} must be [channels, taps] for {channels} channels, and a "
            f"bias [channels]"
        )


def causal_conv1d(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, silu: bool = False
) -> torch.Tensor:
    """Each channel's convolution with what came before, then x sigmoid(x) with `silu`.

    x [batch, tokens, channels], weight [channels, taps] (the last tap meets the present token), bias
    [channels]. Raises ArgumentError.
    """
    if x.ndim != 3:
        raise ArgumentError(f"causal_conv1d: expected x [batch, tokens, channels], got {tuple(x.shape)}")
    batch, tokens, channels = x.shape
    _checked("causal_conv1d", channels, weight, bias)
    x, out = x.contiguous(), torch.empty(x.shape, dtype=x.dtype, device=x.device)
    tiles = TILES.on(x)
    block = min(tiles["block"], power_of_two(channels))
    launch(
        causal_conv1d_kernel,
        (cdiv(channels, block), cdiv(tokens, tiles["tokens"]), batch),
        out,
        x,
        weight.contiguous(),
        None if bias is None else bias.contiguous(),
        tokens,
        channels,
        weight.shape[1],
        tiles["tokens"],
        SILU=silu,
        BLOCK=block,
    )
    return out


def causal_conv1d_update(
    x: torch.Tensor,
    state: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    silu: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of `causal_conv1d`: x [batch, channels] enters state [batch, channels, taps] in place, the
    oldest leaves. Gives the result [batch, channels] and the state. Raises ArgumentError."""
    if x.ndim != 2 or state.shape != (*x.shape, weight.shape[-1]) or not state.is_contiguous():
        raise ArgumentError(
            f"causal_conv1d_update: x {tuple(x.shape)} and state {tuple(state.shape)} must be [batch, "
            f"channels] and contiguous [batch, channels, taps]"
        )
    batch, channels = x.shape
    _checked("causal_conv1d_update", channels, weight, bias)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    block = min(TILES.on(x)["block"], power_of_two(channels))
    launch(
        causal_conv1d_update_kernel,
        (cdiv(channels, block), batch),
        out,
        state,
        x.contiguous(),
        weight.contiguous(),
        None if bias is None else bias.contiguous(),
        channels,
        weight.shape[1],
        SILU=silu,
        BLOCK=block,
    )
    return out, state


# ---- records --------------------------------------------------------------------------------------


def _reference(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, silu: bool = False
) -> torch.Tensor:
    padded = F.pad(x.transpose(1, 2), (weight.shape[1] - 1, 0))
    out = F.conv1d(padded, weight[:, None], bias, groups=weight.shape[0]).transpose(1, 2)
    return F.silu(out) if silu else out


def _update_reference(
    x: torch.Tensor,
    state: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    silu: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    state = torch.cat([state[..., 1:], x[..., None]], -1)
    out = (state * weight).sum(-1) + (0 if bias is None else bias)
    return (F.silu(out) if silu else out), state


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((2, 5, 7), dtype), tensor((7, 3), dtype)))
    bias = tensor((300,), dtype)
    yield Sample((tensor((1, 300, 70), dtype).transpose(1, 2), tensor((300, 4), dtype), bias, True))


def _update_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for channels, taps in ((7, 3), (300, 4)):
        x, state = tensor((2, channels), dtype), tensor((2, channels, taps), dtype)
        yield Sample((x, state, tensor((channels, taps), dtype), tensor((channels,), dtype), channels > 9))


register(Fused("causal_conv1d", "state_space", causal_conv1d, _reference, _samples, (causal_conv1d_kernel,)))
register(
    Fused(
        "causal_conv1d_update",
        "state_space",
        causal_conv1d_update,
        _update_reference,
        _update_samples,
        (causal_conv1d_update_kernel,),
        writes=True,
    )
)
