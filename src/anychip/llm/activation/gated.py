"""Gated linear units (Shazeer, 2020): activation(gate) * up, with gradients, for gate and up apart or side
by side in one tensor. Flows in: tensors of shape [..., width], or [..., 2 width]. Flows out: [..., width]."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
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
def silu(x):
    """x sigmoid(x), and its derivative."""
    sigmoid = 1.0 / (1.0 + tl.exp(-x))
    return x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid))


@triton.jit
def gelu(x):
    """x Phi(x), and its derivative."""
    normal = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
    density = 0.3989422804014327 * tl.exp(-0.5 * x * x)
    return x * normal, normal + x * density


@triton.jit
def gelu_tanh(x):
    """The approximation by tanh, and its derivative."""
    inner = 0.7978845608028654 * (x + 0.044715 * x * x * x)
    t = 2.0 / (1.0 + tl.exp(-2.0 * inner)) - 1.0
    slope = 0.7978845608028654 * (1.0 + 0.134145 * x * x)
    return 0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope


@triton.jit
def relu(x):
    """max(x, 0), and its derivative."""
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL), tl.where(x > 0.0, 1.0, 0.0)


@triton.jit
def gated_kernel(out, gate, up, width, gate_stride, up_stride, ACTIVATION: tl.constexpr, BLOCK: tl.constexpr):
    """out[row, k] = ACTIVATION(gate[row, k]) up[row, k] for one block of one row."""
    row = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = column < width
    g = tl.load(gate + row * gate_stride + column, mask=mask, other=0.0).to(tl.float32)
    u = tl.load(up + row * up_stride + column, mask=mask, other=0.0).to(tl.float32)
    value, _ = ACTIVATION(g)
    tl.store(out + row * width + column, (value * u).to(out.dtype.element_ty), mask=mask)


@triton.jit
def gated_backward_kernel(
    dgate,
    dup,
    dout,
    gate,
    up,
    width,
    gate_stride,
    up_stride,
    dgate_stride,
    dup_stride,
    ACTIVATION: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """dup = dout ACTIVATION(gate); dgate = dout up ACTIVATION'(gate)."""
    row = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = column < width
    g = tl.load(gate + row * gate_stride + column, mask=mask, other=0.0).to(tl.float32)
    u = tl.load(up + row * up_stride + column, mask=mask, other=0.0).to(tl.float32)
    d = tl.load(dout + row * width + column, mask=mask, other=0.0).to(tl.float32)
    value, slope = ACTIVATION(g)
    tl.store(dup + row * dup_stride + column, (d * value).to(dup.dtype.element_ty), mask=mask)
    tl.store(dgate + row * dgate_stride + column, (d * u * slope).to(dgate.dtype.element_ty), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


def _blocks(width: int, rows: int, device: torch.device) -> tuple[tuple[int, int], int]:
    block = min(TILES.on(device)["block"], triton.next_power_of_2(max(width, 1)))
    return (cdiv(width, block), rows), block


class Gated(torch.autograd.Function):
    """Gate and up as two tensors."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor, activation: Any) -> torch.Tensor:
        """activation(gate) up, in the shape of both."""
        if gate.shape != up.shape or gate.dtype != up.dtype:
            raise ArgumentError(
                f"a gated unit needs gate and up alike, not {tuple(gate.shape)} {gate.dtype} and "
                f"{tuple(up.shape)} {up.dtype}"
            )
        gate, up = gate.contiguous(), up.contiguous()
        out = torch.empty_like(gate)
        width = gate.shape[-1]
        grid, block = _blocks(width, gate.numel() // max(width, 1), gate.device)
        launch(
            gated_kernel,
            grid,
            out,
            gate,
            up,
            width,
            width,
            width,
            label=activation.__name__,
            ACTIVATION=activation,
            BLOCK=block,
        )
        ctx.save_for_backward(gate, up)
        ctx.activation = activation
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of gate and up, computed again from both."""
        gate, up = ctx.saved_tensors
        dgate, dup = torch.empty_like(gate), torch.empty_like(up)
        width = gate.shape[-1]
        grid, block = _blocks(width, gate.numel() // max(width, 1), gate.device)
        launch(
            gated_backward_kernel,
            grid,
            dgate,
            dup,
            grad_outputs[0].contiguous(),
            gate,
            up,
            width,
            width,
            width,
            width,
            width,
            label=ctx.activation.__name__,
            ACTIVATION=ctx.activation,
            BLOCK=block,
        )
        return dgate, dup, None


class PackedGated(torch.autograd.Function):
    """Gate and up side by side in the last dimension, the gate first."""

    @staticmethod
    def forward(ctx: Any, packed: torch.Tensor, activation: Any) -> torch.Tensor:
        """activation(gate) up of `packed`, [..., 2 n] to [..., n]."""
        if packed.shape[-1] % 2:
            raise ArgumentError(
                f"a packed gated unit halves the last dimension: {packed.shape[-1]} is odd, give an even one"
            )
        packed = packed.contiguous()
        width = packed.shape[-1] // 2
        out = torch.empty((*packed.shape[:-1], width), dtype=packed.dtype, device=packed.device)
        grid, block = _blocks(width, out.numel() // max(width, 1), packed.device)
        launch(
            gated_kernel,
            grid,
            out,
            packed,
            packed[..., width:],
            width,
            2 * width,
            2 * width,
            label=activation.__name__,
            ACTIVATION=activation,
            BLOCK=block,
        )
        ctx.save_for_backward(packed)
        ctx.activation = activation
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of `packed`, side by side as it is."""
        (packed,) = ctx.saved_tensors
        width = packed.shape[-1] // 2
        gradient = torch.empty_like(packed)
        grid, block = _blocks(width, packed.numel() // max(2 * width, 1), packed.device)
        launch(
            gated_backward_kernel,
            grid,
            gradient,
            gradient[..., width:],
            grad_outputs[0].contiguous(),
            packed,
            packed[..., width:],
            width,
            *(2 * width,) * 4,
            label=ctx.activation.__name__,
            ACTIVATION=ctx.activation,
            BLOCK=block,
        )
        return gradient, None


# ---- records --------------------------------------------------------------------------------------

ACTIVATIONS: dict[str, tuple[Any, Callable[[torch.Tensor], torch.Tensor]]] = {
    "swiglu": (silu, F.silu),
    "geglu": (gelu, F.gelu),
    "geglu_tanh": (gelu_tanh, lambda x: F.gelu(x, approximate="tanh")),
    "reglu": (relu, F.relu),
}
"""Name of the unit -> the kernel's activation, and PyTorch's."""


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((3, 7), (2, 3, 128), (2, 5000), (0, 4)):
        yield Sample((tensor(shape, dtype), tensor(shape, dtype, seed=1)))
    yield Sample((tensor((6, 4), dtype).t(), tensor((6, 4), dtype, seed=1).t()))


def _packed_samples(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((3, 14), (2, 3, 128), (2, 5000)):
        yield Sample((tensor(shape, dtype),))


def _register(name: str, activation: Any, plain: Callable[[torch.Tensor], torch.Tensor]) -> None:
    def unit(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        return Gated.apply(gate, up, activation)

    def packed_unit(packed: torch.Tensor) -> torch.Tensor:
        return PackedGated.apply(packed, activation)

    def packed_reference(packed: torch.Tensor) -> torch.Tensor:
        gate, up = packed.chunk(2, -1)
        return plain(gate) * up

    unit.__name__, packed_unit.__name__ = name, f"{name}_packed"
    unit.__doc__ = (
        f"{activation.__name__}(gate) * up; both [..., width] floating. Differentiable. Raises ArgumentError."
    )
    packed_unit.__doc__ = (
        f"{activation.__name__}(gate) * up of [..., gate and up] side by side; the result is half as wide. "
        "Differentiable. Raises ArgumentError."
    )
    kernels = (gated_kernel, gated_backward_kernel)
    register(
        Fused(
            name,
            "activation",
            unit,
            lambda gate, up: plain(gate) * up,
            _samples,
            kernels,
            differentiable=True,
        )
    )
    register(
        Fused(
            packed_unit.__name__,
            "activation",
            packed_unit,
            packed_reference,
            _packed_samples,
            kernels,
            differentiable=True,
        )
    )


for _name, (_activation, _plain) in ACTIVATIONS.items():
    _register(_name, _activation, _plain)
