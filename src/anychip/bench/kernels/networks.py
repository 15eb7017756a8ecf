"""Larger kernels of neural networks: attention, convolution, cross entropy over a vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl

from ...ops.attention.flash import attention
from ..case import Case, Work, integers, moved, normal

ATTENTION, CONVOLUTION, CROSS_ENTROPY = "attention", "convolution", "cross entropy"

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def conv2d_kernel(
    out, source, weight, N, C, H, W, K, P, Q, R: tl.constexpr, S: tl.constexpr, PAD: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Convolution as a matrix product that is never formed: a tile of BM output pixels (over images and
    positions) by BN output channels; the inner dimension runs over input channel, row and column of the
    filter. Layouts are NCHW and KCRS, all contiguous."""
    pixel = tl.program_id(0) * BM + tl.arange(0, BM)
    channel = tl.program_id(1) * BN + tl.arange(0, BN)
    image = pixel // (P * Q)
    p = (pixel % (P * Q)) // Q - PAD
    q = pixel % Q - PAD
    inner_size = C * R * S
    total = tl.zeros((BM, BN), tl.float32)
    for first in range(0, inner_size, BK):
        inner = first + tl.arange(0, BK)
        c = inner // (R * S)
        h = p[:, None] + ((inner % (R * S)) // S)[None, :]
        w = q[:, None] + (inner % S)[None, :]
        inside = (
            (h >= 0)
            & (h < H)
            & (w >= 0)
            & (w < W)
            & (inner < inner_size)[None, :]
            & (pixel < N * P * Q)[:, None]
        )
        x = tl.load(source + ((image[:, None] * C + c[None, :]) * H + h) * W + w, mask=inside, other=0.0)
        y = tl.load(
            weight + channel[None, :] * inner_size + inner[:, None],
            mask=(inner < inner_size)[:, None] & (channel < K)[None, :],
            other=0.0,
        )
        total = tl.dot(x, y, total)
    at = (image[:, None] * K + channel[None, :]) * (P * Q) + (pixel % (P * Q))[:, None]
    tl.store(out + at, total, mask=(pixel < N * P * Q)[:, None] & (channel < K)[None, :])


@triton.jit
def depthwise_kernel(
    out, source, weight, C, H, W, R: tl.constexpr, S: tl.constexpr, PAD: tl.constexpr,
    BH: tl.constexpr, BW: tl.constexpr,
):  # fmt: skip
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


@triton.jit
def cross_entropy_kernel(loss, logits, labels, length, BLOCK: tl.constexpr):
    """Minus the logarithm of the label's probability, for one row, in one pass over it."""
    row = tl.program_id(0).to(tl.int64)
    logits += row * length
    label = tl.load(labels + row)
    lane = tl.arange(0, BLOCK)
    largest = float("-inf")
    total = 0.0
    for first in range(0, length, BLOCK):
        x = tl.load(logits + first + lane, mask=lane < length - first, other=float("-inf")).to(tl.float32)
        update = tl.maximum(largest, tl.max(x, 0))
        total = total * tl.exp(largest - update) + tl.sum(tl.exp(x - update), 0)
        largest = update
    wanted = tl.load(logits + label).to(tl.float32)
    tl.store(loss + row, largest + tl.log(total) - wanted)


# ---- callables ------------------------------------------------------------------------------------


def conv2d(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Convolution of [n, c, h, w] with [k, c, r, s], stride 1, padded to keep the size."""
    (N, C, H, W), (K, _, R, S) = x.shape, weight.shape
    out = torch.empty((N, K, H, W), dtype=x.dtype)
    conv2d_kernel[(triton.cdiv(N * H * W, 64), triton.cdiv(K, 64))](
        out, x, weight, N, C, H, W, K, H, W, R=R, S=S, PAD=R // 2, BM=64, BN=64, BK=32
    )
    return out


def depthwise(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Each channel of [n, c, h, w] with its own filter of [c, 1, r, s], padded to keep the size."""
    (N, C, H, W), (_, _, R, S) = x.shape, weight.shape
    out = torch.empty_like(x)
    depthwise_kernel[(triton.cdiv(W, 64), triton.cdiv(H, 16), N * C)](
        out, x, weight, C, H, W, R=R, S=S, PAD=R // 2, BH=16, BW=64
    )
    return out


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Loss of each row of contiguous logits."""
    rows, length = logits.shape
    loss = torch.empty(rows, dtype=torch.float32)
    cross_entropy_kernel[(rows,)](loss, logits, labels, length, BLOCK=4096)
    return loss


# ---- cases ----------------------------------------------------------------------------------------


def cases() -> Iterator[Case]:
    """Prefill and decode shapes of attention, one convolution of each kind, 32k classes."""
    for dtype in (torch.float32, torch.bfloat16):
        for causal in (False, True):
            name = "attention_causal" if causal else "attention"
            sizes = (4, 8, 1024, 64)
            yield Case(
                name, ATTENTION, sizes, dtype, lambda s=sizes, d=dtype, c=causal: _attention(s, s[2], d, c)
            )
    yield Case(
        "attention_decode",
        ATTENTION,
        (4, 8, 1, 64),
        torch.float32,
        lambda: _attention((4, 8, 1, 64), 1024, torch.float32, False),
    )
    yield Case("conv2d", CONVOLUTION, (8, 64, 56, 56), torch.float32, lambda: _convolution(8, 64, 56))
    yield Case("depthwise_conv2d", CONVOLUTION, (8, 64, 56, 56), torch.float32, lambda: _depthwise(8, 64, 56))
    for dtype in (torch.float32, torch.bfloat16):
        yield Case(
            "cross_entropy", CROSS_ENTROPY, (512, 32768), dtype, lambda d=dtype: _cross_entropy(512, 32768, d)
        )


def _attention(sizes: tuple[int, int, int, int], keys: int, dtype: torch.dtype, causal: bool) -> Work:
    batch, heads, queries, width = sizes
    q = normal(*sizes, dtype=dtype)
    k, v = (normal(batch, heads, keys, width, dtype=dtype, seed=s) for s in (1, 2))

    def jax(j: Any, n: Any, q: Any, k: Any, v: Any) -> Any:
        turned = (n.swapaxes(x, 1, 2) for x in (q, k, v))
        return n.swapaxes(j.nn.dot_product_attention(*turned, is_causal=causal), 1, 2)

    return Work(
        (q, k, v),
        lambda q, k, v: attention(q, k, v, 0.0, causal)[0],
        lambda q, k, v: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal),
        bytes=moved(q, k, v, q),
        flops=4.0 * batch * heads * queries * keys * width * (0.5 if causal else 1.0),
        jax=jax,
    )


def _convolution(batch: int, channels: int, size: int) -> Work:
    x, w = normal(batch, channels, size, size), normal(channels, channels, 3, 3, seed=1)
    return Work(
        (x, w),
        conv2d,
        lambda x, w: torch.nn.functional.conv2d(x, w, padding=1),
        bytes=moved(x, x, w),
        flops=2.0 * x.numel() * channels * 9,
        terms=channels * 9,
        jax=lambda j, n, x, w: j.lax.conv(x, w, (1, 1), "SAME"),
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


def _cross_entropy(rows: int, classes: int, dtype: torch.dtype) -> Work:
    logits, labels = normal(rows, classes, dtype=dtype), integers(classes, rows)

    def jax(j: Any, n: Any, x: Any, labels: Any) -> Any:
        return -n.take_along_axis(j.nn.log_softmax(x, axis=-1), labels[:, None], axis=1)[:, 0]

    return Work(
        (logits, labels),
        cross_entropy,
        lambda x, y: torch.nn.functional.cross_entropy(x, y, reduction="none"),
        bytes=moved(logits, labels),
        flops=12.0 * logits.numel(),
        jax=jax,
    )
