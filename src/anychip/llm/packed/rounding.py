"""What comes before a product with packed weights, together with the rounding of its rows to 8 bits: the RMS
norm, and the gate of a feed-forward layer. Flows in: rows. Flows out: the same rows normed or gated, and
their `RoundedRows`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from ...ops.errors import ArgumentError
from ...ops.iteration import power_of_two
from ...ops.launching import cdiv, launch
from .formats import INNER
from .kernels import store_rounded
from .products import TILES, RoundedRows

ACTIVATIONS = ("silu", "gelu_tanh")


@triton.jit
def norm_and_round_kernel(
    out, x, x_scales, x_sums, source, weight, length, blocks, eps, shift, BLOCKS: tl.constexpr
):
    """One row: source / rms(source) * (shift + weight), kept and rounded."""
    row = tl.program_id(0).to(tl.int64)
    element = tl.arange(0, BLOCKS)[:, None] * 32 + tl.arange(0, 32)[None, :]
    mask = element < length
    value = tl.load(source + row * length + element, mask=mask, other=0.0).to(tl.float32)
    rstd = tl.rsqrt(tl.sum(tl.sum(value * value, 1), 0) / length + eps)
    factor = tl.load(weight + element, mask=mask, other=0.0).to(tl.float32) + shift
    normed = (value * rstd * factor).to(out.dtype.element_ty)
    tl.store(out + row * length + element, normed, mask=mask)
    store_rounded(
        x + row * length,
        x_scales + row * blocks,
        x_sums + row * blocks * 2,
        normed.to(tl.float32),
        0,
        blocks,
        BLOCKS,
    )


@triton.jit
def gate_and_round_kernel(
    x, x_scales, x_sums, source, length, blocks, ACTIVATION: tl.constexpr, BLOCKS: tl.constexpr
):
    """BLOCKS blocks of one row of activation(gate) * up, where source has gate and up side by side."""
    row = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * BLOCKS
    element = (first + tl.arange(0, BLOCKS))[:, None] * 32 + tl.arange(0, 32)[None, :]
    mask = element < length
    at = source + row * 2 * length + element
    gate = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(at + length, mask=mask, other=0.0).to(tl.float32)
    if ACTIVATION == "silu":
        value = gate / (1.0 + tl.exp(-gate)) * up
    else:
        inner = 1.5957691216057308 * (gate + 0.044715 * gate * gate * gate)  # 2 sqrt(2 / pi)
        value = gate / (1.0 + tl.exp(-inner)) * up
    store_rounded(
        x + row * length, x_scales + row * blocks, x_sums + row * blocks * 2, value, first, blocks, BLOCKS
    )


def norm_and_round(
    x: torch.Tensor, weight: torch.Tensor, eps: float, shift: float = 0.0
) -> tuple[torch.Tensor, RoundedRows]:
    """x / sqrt(mean(x^2) + eps) * (shift + weight), and that rounded to 8 bits.

    x [..., length] floating, length a multiple of 32, weight [length]. Raises ArgumentError.
    """
    length = x.shape[-1] if x.ndim else 0
    if length == 0 or length % INNER or weight.shape != (length,):
        raise ArgumentError(
            f"norm_and_round: rows of a multiple of {INNER} elements need as many weights, got "
            f"{tuple(x.shape)} and {tuple(weight.shape)}"
        )
    x = x.contiguous()
    out = torch.empty_like(x)
    rows = x.shape[:-1].numel()
    made = RoundedRows.empty(rows, length, x.device)
    launch(
        norm_and_round_kernel,
        (rows,),
        out,
        made.numbers,
        made.scales,
        made.sums,
        x,
        weight,
        length,
        length // INNER,
        eps,
        shift,
        BLOCKS=power_of_two(length // INNER),
    )
    return out, made


def gate_and_round(gate_and_up: torch.Tensor, activation: str) -> RoundedRows:
    """activation(gate) * up rounded to 8 bits, of rows [rows, 2 length] contiguous: gate, then up.

    `activation` is one of ACTIVATIONS, length a multiple of 32. Raises ArgumentError.
    """
    rows, length = gate_and_up.shape[0], gate_and_up.shape[1] // 2
    if activation not in ACTIVATIONS or length % INNER or not gate_and_up.is_contiguous():
        raise ArgumentError(
            f"gate_and_round: {activation} of {tuple(gate_and_up.shape)} is not served; expected contiguous "
            f"rows of twice a multiple of {INNER}, and one of {', '.join(ACTIVATIONS)}"
        )
    made = RoundedRows.empty(rows, length, gate_and_up.device)
    blocks = length // INNER
    at_a_time = min(power_of_two(blocks), TILES.on(gate_and_up)["blocks"])
    launch(
        gate_and_round_kernel,
        (rows, cdiv(blocks, at_a_time)),
        made.numbers,
        made.scales,
        made.sums,
        gate_and_up,
        length,
        blocks,
        ACTIVATION=activation,
        BLOCKS=at_a_time,
    )
    return made
