"""Triton kernels for the tests of Programs."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 64


@triton.jit
def add_kernel(out, a, b, n, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    tl.store(out + lane, tl.load(a + lane, mask=mask) + tl.load(b + lane, mask=mask), mask=mask)


@triton.jit
def double_in_place(x, n, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    tl.store(x + lane, tl.load(x + lane, mask=mask) * 2, mask=mask)


@triton.jit
def random_from_seed(out, seed, n, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + lane, tl.rand(tl.load(seed), lane), mask=lane < n)


@triton.jit
def positive_only(out, x, n, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + lane, mask=lane < n, other=1)
    tl.device_assert(values > 0, "every value is positive")
    tl.store(out + lane, values, mask=lane < n)


@triton.jit
def add_from_addresses(out, addresses, n, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    source = tl.load(addresses).to(tl.pointer_type(tl.float32))
    tl.store(out + lane, tl.load(source + lane, mask=lane < n), mask=lane < n)


@triton.jit
def scale_by_descriptor(source, target, M: tl.constexpr, N: tl.constexpr):
    target.store([tl.program_id(0) * M, 0], source.load([tl.program_id(0) * M, 0]) * 3)


@triton.autotune(configs=[triton.Config({"BLOCK": 32}), triton.Config({"BLOCK": 64})], key=["n"])
@triton.jit
def tuned_add(out, a, b, n, BLOCK: tl.constexpr):
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < n
    tl.store(out + lane, tl.load(a + lane, mask=mask) + tl.load(b + lane, mask=mask), mask=mask)


def add(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """a + b for contiguous float32 tensors of one size, by one launch."""
    out = torch.empty_like(a) if out is None else out
    add_kernel[(triton.cdiv(a.numel(), BLOCK),)](out, a, b, a.numel(), BLOCK=BLOCK)
    return out


def double_(x: torch.Tensor) -> torch.Tensor:
    """x *= 2 for a contiguous tensor, by one launch."""
    double_in_place[(triton.cdiv(x.numel(), BLOCK),)](x, x.numel(), BLOCK=BLOCK)
    return x
