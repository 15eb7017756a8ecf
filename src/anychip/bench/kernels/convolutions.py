"""Convolutions: by the library's implicit matrix product, and each channel with a filter of its own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl

from ...ops.registry import overloads
from ..case import Case, Work, moved, normal

FAMILY = "convolution"

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def depthwise_kernel(
    out,
    source,
    weight,
    C,
    H,
    W,
    R: tl.constexpr,
    S: tl.constexpr,
    PAD: tl.constexpr,
    BH: tl.constexpr,
    BW: tl.constexpr,
):
    """One channel of one image, a tile of BH x BW pixels; stride 1, the output as large as the input."""
    plane = tl.program_id(2).to(tl.int64)
    y = tl.program_id(1) * BH + tl.arange(0, BH)
    x = tl.program_id(0) * BW + tl.arange(0, BW)
    total = tl.zeros((BH, BW), tl.float32)
    for r in tl.static_range(R):
        for s in tl.static_range(S):
            h, w = y + (r - PAD), x + (s - PAD)
            inside = ((h >= 0) & (h < H))[:, None] & ((w >= 0) & (w < W))[None, :]
            pixels = tl.load(source + plane * H * W + h[:, None] * W + w[None, :], mask=inside, other=0.0)
            total += pixels * tl.load(weight + (plane % C) * R * S + r * S + s)
    inside = (y < H)[:, None] & (x < W)[None, :]
    tl.store(out + plane * H * W + y[:, None] * W + x[None, :], total, mask=inside)


# ---- callables ------------------------------------------------------------------------------------


def depthwise(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Each channel of [n, c, h, w] with its own filter of [c, 1, r, s], padded to keep the size."""
    (N, C, H, W), (_, _, R, S) = x.shape, weight.shape
    out = torch.empty_like(x)
    depthwise_kernel[(triton.cdiv(W, 64), triton.cdiv(H, 16), N * C)](
        out, x, weight, C, H, W, R=R, S=S, PAD=R // 2, BH=16, BW=64
    )
    return out


def conv2d(x: torch.Tensor, weight: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """Convolution of [n, c, h, w] with [k, c, r, s], padded by half of the filter."""
    pad = weight.shape[-1] // 2
    convolution = overloads()["convolution"][1].implementation
    return convolution(x, weight, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1)


# ---- cases ----------------------------------------------------------------------------------------


def cases() -> Iterator[Case]:
    """Filters of 3 x 3 and 1 x 1, every second pixel, a small image, and depthwise ones."""
    for name, sizes, filters, width, stride in (
        ("conv2d", (8, 64, 56, 56), 64, 3, 1),
        ("conv2d", (1, 64, 28, 28), 64, 3, 1),
        ("conv2d_stride2", (8, 64, 56, 56), 128, 3, 2),
        ("conv2d_1x1", (8, 64, 56, 56), 256, 1, 1),
    ):
        yield Case(
            name,
            FAMILY,
            sizes,
            torch.float32,
            lambda s=sizes, f=filters, w=width, t=stride: _convolution(s, f, w, t),
        )
    for sizes in ((8, 64, 56, 56), (1, 64, 28, 28)):
        yield Case("depthwise_conv2d", FAMILY, sizes, torch.float32, lambda s=sizes: _depthwise(*s[:3]))


def _convolution(sizes: tuple[int, ...], filters: int, width: int, stride: int) -> Work:
    x, w = normal(*sizes), normal(filters, sizes[1], width, width, seed=1)
    pixels = sizes[0] * -(-sizes[2] // stride) * -(-sizes[3] // stride)
    terms = sizes[1] * width * width
    return Work(
        (x, w),
        lambda x, w: conv2d(x, w, stride),
        lambda x, w: torch.nn.functional.conv2d(x, w, stride=stride, padding=width // 2),
        bytes=moved(x, w) + 4.0 * pixels * filters,
        flops=2.0 * pixels * filters * terms,
        terms=terms,
        jax=lambda j, n, x, w: j.lax.conv(x, w, (stride, stride), "SAME"),
    )


def _depthwise(batch: int, channels: int, size: int) -> Work:
    x, w = normal(batch, channels, size, size), normal(channels, 1, 3, 3, seed=1)
    return Work(
        (x, w),
        depthwise,
        lambda x, w: torch.nn.functional.conv2d(x, w, padding=1, groups=channels),
        bytes=moved(x, x, w),
        flops=18.0 * x.numel(),
    )
