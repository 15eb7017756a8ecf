"""Kernels whose calls Triton's inliner would take long for are inlined by ours, with the same result."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl

from anychip.triton_backend import compiler


@triton.jit
def softened(x, shift):
    if shift > 1e30:
        return x * 0
    return x / (1 + tl.abs(x - shift))


@triton.jit
def many_calls(x, out, B: tl.constexpr, TIMES: tl.constexpr, VERSION: tl.constexpr):
    i = tl.arange(0, B)
    value = tl.load(x + i)
    for k in tl.static_range(TIMES):
        value = softened(value, tl.sum(value) + tl.max(value, 0) * k)
    total = tl.cumsum(value, 0) + tl.sort(value)
    tl.store(out + i, tl.where(i % 2 == 0, total, value))


@pytest.mark.parametrize("limit", [0, compiler.SLOW_INLINING])
def test_either_inliner_gives_the_same_kernel(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    slow = compiler.inlines_slowly
    monkeypatch.setattr(compiler, "SLOW_INLINING", limit)
    monkeypatch.setattr(compiler, "inlines_slowly", lambda text: seen.append(slow(text)) or seen[-1])
    x = torch.linspace(-2, 3, 32)
    out = torch.zeros(32)
    kernel = many_calls.warmup(x, out, 32, 5, limit, grid=(1,))
    many_calls[(1,)](x, out, 32, 5, limit)
    assert seen in ([limit == 0], [])
    value = x.double()
    for k in range(5):
        shift = value.sum() + value.max() * k
        value = value / (1 + (value - shift).abs())
    total = value.cumsum(0) + value.sort().values
    expected = torch.where(torch.arange(32) % 2 == 0, total, value)
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-5)
    assert ("tt.call" in kernel.asm["ttir"]) == (limit == 0)


def test_what_is_inlined_slowly() -> None:
    line = "  tt.call @f() : () -> ()\n"
    assert not compiler.inlines_slowly(line * 4000)
    assert compiler.inlines_slowly(line * 5000)
    assert not compiler.inlines_slowly(line * 5000 + "  !tt.ptr<tensor<4xf32>>\n")
