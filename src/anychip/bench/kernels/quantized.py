"""Weights of eight and of four bits times a vector of activations, as when a language model writes one
token, and a product of int8 matrices."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import triton
import triton.language as tl

from ..case import Case, Work, integers, moved, normal
from .matrices import matmul

FAMILY = "matmul bf16, int8"
GROUP = 128
"""Neighbouring int4 weights of a row that share a scale. Of each group, byte j holds weight j in its low
and weight j + GROUP / 2 in its high half, so that unpacking moves nothing across lanes."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def weight_only_kernel(out, x, weight, scale, N, K, ROWS: tl.constexpr, BK: tl.constexpr):
    """out[n] = scale[n] * sum over k of x[k] weight[n, k], the weight in int8; ROWS rows one by one, so
    that memory is read in order."""
    inner = tl.arange(0, BK)
    first = tl.program_id(0) * ROWS
    for row in range(first, tl.minimum(first + ROWS, N)):
        total = tl.zeros((BK,), tl.float32)
        for k in range(0, K, BK):
            inside = inner < K - k
            w = tl.load(weight + row.to(tl.int64) * K + k + inner, mask=inside, other=0)
            total += w.to(tl.float32) * tl.load(x + k + inner, mask=inside, other=0.0)
        tl.store(out + row, tl.sum(total, 0) * tl.load(scale + row))


@triton.jit
def weight_only_int4_kernel(out, x, weight, scale, N, K, ROWS: tl.constexpr, GROUP: tl.constexpr):
    """out[n] = sum over k of x[k] (weight[n, k] - 8) scale[k / GROUP, n], the weight in four bits; ROWS
    rows one by one, so that memory is read in order."""
    HALF: tl.constexpr = GROUP // 2
    lane = tl.arange(0, HALF)
    start = tl.program_id(0) * ROWS
    for row in range(start, tl.minimum(start + ROWS, N)):
        total = tl.zeros((HALF,), tl.float32)
        for group in range(K // GROUP):
            packed = tl.load(weight + row.to(tl.int64) * (K // 2) + group * HALF + lane).to(tl.int32)
            factor = tl.load(scale + group * N + row).to(tl.float32)
            low = tl.load(x + group * GROUP + lane).to(tl.float32)
            high = tl.load(x + group * GROUP + HALF + lane).to(tl.float32)
            first = ((packed & 15) - 8).to(tl.float32) * low
            second = ((packed >> 4) - 8).to(tl.float32) * high
            total += (first + second) * factor
        tl.store(out + row, tl.sum(total, 0).to(out.dtype.element_ty))


# ---- callables ------------------------------------------------------------------------------------


def weight_only(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """scale * (weight x) for int8 weights [n, k] and an f32 vector [k]."""
    n, k = weight.shape
    out = torch.empty(n, dtype=x.dtype)
    weight_only_kernel[(triton.cdiv(n, 16),)](out, x, weight, scale, n, k, ROWS=16, BK=128)
    return out


def weight_only_int4(x: torch.Tensor, packed: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The product with weights that `pack` made [n, k / 2], scales [k / GROUP, n] and a vector [k]."""
    n, half = packed.shape
    out = torch.empty(n, dtype=x.dtype)
    weight_only_int4_kernel[(triton.cdiv(n, 16),)](out, x, packed, scale, n, 2 * half, ROWS=16, GROUP=GROUP)
    return out


def pack(weight: torch.Tensor) -> torch.Tensor:
    """Weights [n, k] of 0 to 15 as [n, k / 2] bytes, in the order of `GROUP`."""
    n, k = weight.shape
    halves = weight.view(n, k // GROUP, 2, GROUP // 2).to(torch.uint8)
    return (halves[:, :, 0] | halves[:, :, 1] << 4).reshape(n, k // 2).contiguous()


# ---- cases ----------------------------------------------------------------------------------------


def cases() -> Iterator[Case]:
    """Sizes in and out of the caches."""
    for size in (1024, 256):
        yield Case("matmul", FAMILY, (size,) * 3, torch.int8, lambda s=size: _integer(s))
    for size in (4096, 1024):
        yield Case("gemv_int8_weights", FAMILY, (size, size), torch.float32, lambda s=size: _int8(s))
    for dtype in (torch.bfloat16, torch.float32):
        yield Case("gemv_int4_weights", FAMILY, (4096, 4096), dtype, lambda d=dtype: _int4(4096, d))
    yield Case("gemv_int4_weights", FAMILY, (1024, 1024), torch.bfloat16, lambda: _int4(1024, torch.bfloat16))


def _integer(size: int) -> Work:
    a, b = (integers(255, size, size, dtype=torch.int8, seed=k) for k in range(2))
    return Work(
        (a, b),
        matmul,
        torch.ops.aten._int_mm.default,
        bytes=moved(a, b) + 4.0 * size * size,
        flops=2.0 * size**3,
        reference=lambda a, b: a @ b,
        exportable=False,
    )


def _int8(size: int) -> Work:
    weight = integers(255, size, size, dtype=torch.int8)
    scale, x = normal(size), normal(size, seed=1)
    pytorch = torch.ops.aten._weight_int8pack_mm.default
    return Work(
        (x, weight, scale),
        weight_only,
        lambda x, w, s: pytorch(x[None], w, s)[0],
        reference=lambda x, w, s: (w.double() @ x) * s,
        bytes=moved(x, weight, scale, x),
        flops=2.0 * weight.numel(),
        terms=size,
        jax=lambda j, n, x, w, s: (w.astype(x.dtype) @ x) * s,
        exportable=False,
    )


def _int4(size: int, dtype: torch.dtype) -> Work:
    weight = integers(16, size, size, dtype=torch.int32)
    scale, x = normal(size // GROUP, size, dtype=dtype) / 8, normal(size, seed=1, dtype=dtype)
    theirs = torch.ops.aten._convert_weight_to_int4pack_for_cpu.default(weight, 2)
    scales_and_zeros = torch.stack([scale, torch.zeros_like(scale)], -1)
    pytorch = torch.ops.aten._weight_int4pack_mm_for_cpu.default

    def reference(x: torch.Tensor, packed: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return ((weight.double() - 8) * scale.t().repeat_interleave(GROUP, 1)) @ x

    packed = pack(weight)
    return Work(
        (x, packed, scale),
        weight_only_int4,
        lambda x, packed, scale: pytorch(x[None], theirs, GROUP, scales_and_zeros)[0],
        reference=reference,
        bytes=moved(x, packed, scale, x),
        flops=2.0 * weight.numel(),
        terms=size,
        exportable=False,
    )
