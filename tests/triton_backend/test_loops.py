"""Attributes of `tl.range` and launch options that a CPU has no use for: accepted, checked, and harmless."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def total(x, out, count, UNROLL: tl.constexpr, KEEP: tl.constexpr):
    result = 0.0
    for k in tl.range(0, count, loop_unroll_factor=UNROLL, num_stages=3, disable_licm=KEEP):
        result += tl.load(x + k)
    tl.store(out, result)


@triton.jit
def pipelined(x, out, n, BLOCK: tl.constexpr):
    total = tl.zeros((BLOCK,), tl.float32)
    for start in tl.range(
        0, n, BLOCK, num_stages=4, warp_specialize=True, flatten=True, disallow_acc_multi_buffer=True
    ):
        total += tl.load(x + start + tl.arange(0, BLOCK))
    for _ in tl.static_range(2):
        total *= 2
    tl.store(out, tl.sum(total))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("unroll", [1, 3, 8])
@pytest.mark.parametrize("count", [0, 2, 7, 16])
def test_unrolled_loops(count: int, unroll: int, keep: bool) -> None:
    x, out = torch.arange(16, dtype=torch.float32), torch.full((1,), -1.0)
    compiled = total[(1,)](x, out, count, unroll, keep)
    assert out.item() == x[:count].sum()
    assert compiled.asm["ttir"].count("tt.load") >= unroll


def test_what_gpus_do_at_once_is_done_in_turn() -> None:
    x, out = torch.arange(256, dtype=torch.float32), torch.empty(1)
    pipelined[(1,)](x, out, 256, BLOCK=32, num_stages=5, num_warps=8)
    assert out.item() == 4 * x.sum()


def test_number_of_warps_is_a_power_of_two() -> None:
    x, out = torch.zeros(1), torch.zeros(1)
    with pytest.raises(AssertionError, match="must be a power of 2"):
        total.warmup(x, out, 1, 1, False, grid=(1,), num_warps=3)
