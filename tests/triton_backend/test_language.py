"""The conversions of fp8e4b15, the 8-bit float whose conversions Triton leaves to back ends."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def widen(bits_ptr, out_ptr, N: tl.constexpr):
    offsets = tl.arange(0, N)
    narrow = tl.load(bits_ptr + offsets).to(tl.float8e4b15, bitcast=True)
    tl.store(out_ptr + offsets, narrow.to(out_ptr.dtype.element_ty))


@triton.jit
def narrow(x_ptr, bits_ptr, N: tl.constexpr):
    offsets = tl.arange(0, N)
    value = tl.load(x_ptr + offsets).to(tl.float8e4b15)
    tl.store(bits_ptr + offsets, value.to(tl.uint8, bitcast=True))


def meaning(bits: int) -> float:
    """The value of an fp8e4b15 pattern: 1 sign bit, 4 exponent bits of bias 15, 3 mantissa bits."""
    sign = -1.0 if bits & 0x80 else 1.0
    exponent, mantissa = (bits >> 3) & 15, bits & 7
    if exponent == 0:
        return sign * mantissa / 8 * 2.0**-14
    return sign * (1 + mantissa / 8) * 2.0 ** (exponent - 15)


VALUES = torch.tensor([meaning(bits) for bits in range(256)], dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_all_patterns_widen_exactly(dtype):
    bits, out = torch.arange(256, dtype=torch.uint8), torch.empty(256, dtype=dtype)
    widen[(1,)](bits, out, N=256)
    assert torch.equal(out.double(), VALUES)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_all_patterns_up_to_the_largest_come_back(dtype):
    representable = VALUES.abs() <= 1.75
    bits = torch.empty(256, dtype=torch.uint8)
    narrow[(1,)](VALUES.to(dtype), bits, N=256)
    assert torch.equal(bits[representable], torch.arange(256, dtype=torch.uint8)[representable])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_other_values_go_to_the_nearest_and_large_ones_to_the_largest(dtype):
    x = torch.linspace(-4, 4, 4096, dtype=torch.float64).to(dtype)
    bits = torch.empty(4096, dtype=torch.uint8)
    narrow[(1,)](x, bits, N=4096)
    got = VALUES[bits.long()]
    table = VALUES[VALUES.abs() <= 1.75]
    distance = (got - x.double()).abs()
    nearest = (table[None] - x.double()[:, None]).abs().min(dim=1).values
    assert torch.equal(distance, nearest)
    assert got.max() == 1.75
    assert got.min() == -1.75
