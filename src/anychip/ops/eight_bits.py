"""8-bit numbers on GPUs that do not take them: which GPUs those are, and float8_e4m3fn read and written as
plain bytes. Flows in: a device; tiles in a kernel. Flows out: what the chip takes; converted tiles."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from .launching.options import launch_options


@dataclass(frozen=True, slots=True)
class EightBits:
    """What Triton compiles for a chip: products of 8-bit `integers`, conversions of `floats` (e4m3)."""

    integers: bool = True
    floats: bool = True


def of_capability(capability: int) -> EightBits:
    """What NVIDIA's GPUs take, by their compute capability (89 for 8.9): integers since Ampere, floats since
    Ada (Triton's lowering of `dot` and of `fp_to_fp`)."""
    return EightBits(capability >= 80, capability >= 89)


def of_device(device: torch.device) -> EightBits:
    """What the chip of a device takes, or what the options of launches say that every device does."""
    assumed = launch_options().eight_bits
    if assumed is not None:
        return assumed
    if device.type != "cuda" or torch.version.hip is not None:
        return EightBits()
    major, minor = torch.cuda.get_device_capability(device)
    return of_capability(10 * major + minor)


@triton.jit
def from_e4m3fn(code):
    """float16 values of bytes that hold float8_e4m3fn, exact: the fields of both types lie in the same
    order, and the bias of the exponent differs by 8."""
    wide = code.to(tl.uint16)
    value = (((wide & 0x80) << 8) | ((wide & 0x7F) << 7)).to(tl.float16, bitcast=True) * 256.0
    return tl.where((wide & 0x7F) == 0x7F, float("nan"), value)


@triton.jit
def to_e4m3fn(x):
    """Bytes that hold float32 values of at most 448, or NaN, as float8_e4m3fn, rounded to nearest even."""
    bits = x.to(tl.uint32, bitcast=True)
    magnitude = bits & 0x7FFFFFFF
    normal = ((magnitude + 0x7FFFF + ((magnitude >> 20) & 1)) >> 20) - (120 << 3)
    # Below 2^-6 values are multiples of 2^-9, to which the sum with 2^14 rounds.
    small = (tl.abs(x) + 16384.0).to(tl.uint32, bitcast=True) - 0x46800000
    code = tl.where(magnitude < 0x3C800000, small, normal)
    code = tl.where(magnitude > 0x7F800000, 0x7F, code)
    return (code | ((bits >> 24) & 0x80)).to(tl.uint8)
