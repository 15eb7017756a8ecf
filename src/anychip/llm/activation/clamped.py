"""Gated units that keep their inputs within bounds (gpt-oss, DeepSeek-V4), and the square of the rectifier
(So et al., 2021), with gradients. Flows in: [..., 2 width], the gate first, or [..., width]. Flows out:
[..., width]."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import cdiv, launch
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..registry import Fused, register
from .gated import TILES

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def clamped_swiglu_kernel(
    out, dout, packed, width, limit, alpha, shift, INTERLEAVED: tl.constexpr, BLOCK: tl.constexpr
):
    """g = min(gate, limit), u = clamp(up, -limit, limit): g sigmoid(alpha g) (u + shift), or with a gradient
    `dout` the gradient of the packed row."""
    row = tl.program_id(1).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < width
    first = row * 2 * width + lane
    second = first + width
    if INTERLEAVED:
        first = row * 2 * width + 2 * lane
        second = first + 1
    gate = tl.load(packed + first, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(packed + second, mask=mask, other=0.0).to(tl.float32)
    g = tl.minimum(gate, limit)
    u = tl.minimum(tl.maximum(up, -limit), limit)
    sigmoid = 1.0 / (1.0 + tl.exp(-alpha * g))
    if dout is None:
        result = g * sigmoid * (u + shift)
        tl.store(out + row * width + lane, result.to(out.dtype.element_ty), mask=mask)
    else:
        d = tl.load(dout + row * width + lane, mask=mask, other=0.0).to(tl.float32)
        slope = sigmoid * (1.0 + alpha * g * (1.0 - sigmoid))
        dgate = tl.where(gate <= limit, d * (u + shift) * slope, 0.0)
        dup = tl.where((up >= -limit) & (up <= limit), d * g * sigmoid, 0.0)
        tl.store(out + first, dgate.to(out.dtype.element_ty), mask=mask)
        tl.store(out + second, dup.to(out.dtype.element_ty), mask=mask)


@triton.jit
def squared_relu_kernel(out, dout, x, count, BLOCK: tl.constexpr):
    """max(x, 0)^2, or the gradient times its derivative."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    value = tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)
    if dout is None:
        value = value * value
    else:
        value = 2.0 * value * tl.load(dout + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


class ClampedSwiGLU(torch.autograd.Function):
    """One kernel does both directions."""

    @staticmethod
    def forward(
        ctx: Any, packed: torch.Tensor, numbers: tuple[float, ...], interleaved: bool
    ) -> torch.Tensor:
        """The activation of `packed`, [..., 2 n] to [..., n]."""
        packed = packed.contiguous()
        out = torch.empty(
            (*packed.shape[:-1], packed.shape[-1] // 2), dtype=packed.dtype, device=packed.device
        )
        ctx.save_for_backward(packed)
        ctx.settings = numbers, interleaved
        return _clamped(out, None, packed, numbers, interleaved)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of `packed`, by the kernel of the forward pass."""
        (packed,) = ctx.saved_tensors
        numbers, interleaved = ctx.settings
        gradient = torch.empty_like(packed)
        return _clamped(gradient, grad_outputs[0].contiguous(), packed, numbers, interleaved), None, None


def _clamped(
    out: torch.Tensor,
    dout: torch.Tensor | None,
    packed: torch.Tensor,
    numbers: tuple[float, ...],
    interleaved: bool,
) -> torch.Tensor:
    width = packed.shape[-1] // 2
    block = min(TILES.on(packed)["block"], power_of_two(width))
    launch(
        clamped_swiglu_kernel,
        (cdiv(width, block), packed.shape[:-1].numel()),
        out,
        dout,
        packed,
        width,
        *numbers,
        INTERLEAVED=interleaved,
        BLOCK=block,
    )
    return out


class SquaredReLU(torch.autograd.Function):
    """max(x, 0)^2."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """max(x, 0)^2, in the shape of `x`."""
        x = x.contiguous()
        ctx.save_for_backward(x)
        return _squared(None, x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """2 max(x, 0) times the gradient of the result."""
        (x,) = ctx.saved_tensors
        return (_squared(grad_outputs[0].contiguous(), x),)


def _squared(dout: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    block = TILES.on(x)["block"]
    launch(squared_relu_kernel, cdiv(x.numel(), block), out, dout, x, x.numel(), BLOCK=block)
    return out


def swiglu_clamped(
    packed: torch.Tensor, limit: float, alpha: float = 1.0, shift: float = 0.0, interleaved: bool = False
) -> torch.Tensor:
    """g sigmoid(alpha g) (u + shift) with g = min(gate, limit) and u = clamp(up, -limit, limit).

    packed [..., 2 width]: gate and up side by side, the gate first, or in turns if `interleaved`; gives
    [..., width]. gpt-oss has limit 7, alpha 1.702 and shift 1. Differentiable. Raises ArgumentError.
    """
    if packed.ndim < 1 or packed.shape[-1] % 2 or not limit > 0.0:
        raise ArgumentError(
            f"swiglu_clamped: needs an even last dimension and a limit above 0, got {tuple(packed.shape)} "
            f"and {limit}"
        )
    return ClampedSwiGLU.apply(packed, (float(limit), float(alpha), float(shift)), interleaved)


def squared_relu(x: torch.Tensor) -> torch.Tensor:
    """max(x, 0)^2 of a floating tensor of any shape. Differentiable."""
    return SquaredReLU.apply(x)


# ---- records --------------------------------------------------------------------------------------


def _clamped_reference(
    packed: torch.Tensor, limit: float, alpha: float = 1.0, shift: float = 0.0, interleaved: bool = False
) -> torch.Tensor:
    gate, up = (packed[..., ::2], packed[..., 1::2]) if interleaved else packed.chunk(2, -1)
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return gate * torch.sigmoid(alpha * gate) * (up + shift)


def _clamped_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 14), dtype), 2.1))
    yield Sample((tensor((600, 5), dtype).t(), 1.3, 1.702, 1.0, True))


def _squared_samples(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((40, 70), dtype).t(),))


register(
    Fused(
        "swiglu_clamped",
        "activation",
        swiglu_clamped,
        _clamped_reference,
        _clamped_samples,
        (clamped_swiglu_kernel,),
        differentiable=True,
    )
)
register(
    Fused(
        "squared_relu",
        "activation",
        squared_relu,
        lambda x: torch.relu(x).square(),
        _squared_samples,
        (squared_relu_kernel,),
        differentiable=True,
    )
)
