"""Masks of loads and stores: no element outside the mask is read into a result or written, for masks known
when compiling and when running, of every element width, whatever the value was converted from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = [
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.float8_e5m2,
    torch.float8_e4m3fn,
]
GUARD = 40


@triton.jit
def convert_some(source, out, n, B: tl.constexpr):
    """Converts 32-bit floats to the type of `out`: the first n of B."""
    i = tl.arange(0, B)
    x = tl.load(source + i)
    tl.store(out + i, x.to(out.dtype.element_ty), mask=i < n)


@triton.jit
def convert_constant(source, out, n: tl.constexpr, B: tl.constexpr):
    i = tl.arange(0, B)
    x = tl.load(source + i)
    tl.store(out + i, x.to(out.dtype.element_ty), mask=i < n)


@triton.jit
def copy_masked(source, keep, other, out, B: tl.constexpr, OTHER: tl.constexpr):
    i = tl.arange(0, B)
    mask = tl.load(keep + i) != 0
    if OTHER == 0:
        x = tl.load(source + i, mask=mask)
    elif OTHER == 1:
        x = tl.load(source + i, mask=mask, other=tl.load(other))
    else:
        x = tl.load(source + i, mask=mask, other=tl.load(other + i))
    tl.store(out + i, x)


@triton.jit
def store_masked(source, keep, out, stride, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(out + i * stride, tl.load(source + i), mask=tl.load(keep + i) != 0)


@triton.jit
def copy_rectangle(source, out, rows, columns, stride, M: tl.constexpr, N: tl.constexpr):
    m = tl.arange(0, M)[:, None]
    n = tl.arange(0, N)[None, :]
    inside = (m < rows) & (n < columns)
    tl.store(out + m * stride + n, tl.load(source + m * stride + n, mask=inside, other=7), mask=inside)


@triton.jit
def copy_between(source, out, low, high, B: tl.constexpr):
    i = tl.arange(0, B)
    inside = (i >= low) & (i < high)
    tl.store(out + i, tl.load(source + i, mask=inside, other=-1), mask=inside)


def _guarded(size: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.full((size + 2 * GUARD,), 3.0).to(dtype)


def _check_prefix(kernel: triton.JITFunction, n: int, size: int, dtype: torch.dtype) -> None:
    source = torch.arange(1, size + 1, dtype=torch.float32) % 100
    memory = _guarded(size, dtype)
    expected = memory.clone()
    written = max(0, min(n, size))
    expected[GUARD : GUARD + written] = source[:written].to(dtype)
    kernel[(1,)](source, memory[GUARD : GUARD + size], n, size)
    np.testing.assert_array_equal(memory.float().numpy(), expected.float().numpy())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_prefix_known_when_compiling(dtype: torch.dtype) -> None:
    for n in (0, 1, 2, 17, 32):
        _check_prefix(convert_constant, n, 32, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_prefix_known_when_running(dtype: torch.dtype) -> None:
    for n in (-1, 0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 127, 128, 129):
        _check_prefix(convert_some, n, 128, dtype)


@settings(max_examples=30)
@given(
    size=st.sampled_from([1, 4, 16, 64, 256]),
    dtype=st.sampled_from([torch.int8, torch.int16, torch.float32, torch.float64, torch.bfloat16]),
    other=st.sampled_from([0, 1, 2]),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_any_mask_of_a_load(size: int, dtype: torch.dtype, other: int, density: float, seed: int) -> None:
    torch.manual_seed(seed)
    source = torch.randint(-50, 50, (size,)).to(dtype)
    others = torch.randint(-50, 50, (size,)).to(dtype)
    keep = (torch.rand(size) < density).to(torch.int8)
    out = torch.full((size,), 99).to(dtype)
    copy_masked[(1,)](source, keep, others, out, size, other)
    expected = torch.where(keep.bool(), source, others[0] if other == 1 else others)
    if other == 0:
        out, expected = out[keep.bool()], source[keep.bool()]
    torch.testing.assert_close(out, expected, rtol=0, atol=0)


@settings(max_examples=30)
@given(
    size=st.sampled_from([1, 4, 16, 64, 256]),
    dtype=st.sampled_from([torch.int8, torch.int16, torch.float32, torch.float64, torch.bfloat16]),
    stride=st.sampled_from([1, 2, 5]),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_any_mask_of_a_store(size: int, dtype: torch.dtype, stride: int, density: float, seed: int) -> None:
    torch.manual_seed(seed)
    source = torch.randint(-50, 50, (size,)).to(dtype)
    keep = torch.rand(size) < density
    memory = _guarded(size * stride, dtype)
    expected = memory.clone()
    places = GUARD + torch.arange(size) * stride
    expected[places[keep]] = source[keep]
    store_masked[(1,)](source, keep.to(torch.int8), memory[GUARD:], stride, size)
    torch.testing.assert_close(memory, expected, rtol=0, atol=0)


@settings(max_examples=30)
@given(rows=st.integers(-1, 9), columns=st.integers(-1, 33), extra=st.integers(0, 5))
def test_rectangles(rows: int, columns: int, extra: int) -> None:
    stride = 32 + extra
    source = torch.arange(9 * stride, dtype=torch.int32)
    memory = _guarded(9 * stride, torch.int32)
    expected = memory.clone()
    view = expected[GUARD : GUARD + 9 * stride].view(9, stride)
    height, width = max(0, min(rows, 8)), max(0, min(columns, 32))
    view[:height, :width] = source.view(9, stride)[:height, :width]
    copy_rectangle[(1,)](source, memory[GUARD:], rows, columns, stride, 8, 32)
    torch.testing.assert_close(memory, expected, rtol=0, atol=0)


@settings(max_examples=30)
@given(low=st.integers(-5, 140), high=st.integers(-5, 140))
def test_bounds_on_both_sides(low: int, high: int) -> None:
    source = torch.arange(128, dtype=torch.int32)
    memory = _guarded(128, torch.int32)
    expected = memory.clone()
    first, last = max(low, 0), min(high, 128)
    if first < last:
        expected[GUARD + first : GUARD + last] = source[first:last]
    copy_between[(1,)](source, memory[GUARD:], low, high, 128)
    torch.testing.assert_close(memory, expected, rtol=0, atol=0)


@triton.jit
def sum_beside_store(source, out, total, n, B: tl.constexpr):
    i = tl.arange(0, B)
    x = tl.load(source + i)
    tl.store(out + i, x + 1, mask=i < n)
    tl.store(total, tl.sum(x, 0))


@pytest.mark.parametrize("n", [0, 5, 200, 1024])
def test_a_sum_beside_a_masked_store_is_of_all_elements(n: int) -> None:
    x = torch.arange(1024, dtype=torch.int32) % 17
    out, total = torch.full((1024,), -1, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    sum_beside_store[(1,)](x, out, total, n, 1024)
    assert total.item() == int(x.sum())
    assert out.tolist() == [*(x[:n] + 1).tolist(), *[-1] * (1024 - n)]
