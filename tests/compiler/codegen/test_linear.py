"""Index arithmetic done once for a chunk gives what doing it in each lane gives, overflow included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st


@triton.jit
def hashes(out, masked, seed, bound, B: tl.constexpr, FACTOR: tl.constexpr):
    """A product that overflows: as a number, widened, narrowed, compared, divided, and as an index."""
    i = tl.arange(0, B)
    h = i * FACTOR + seed
    tl.store(out + i, h)
    tl.store(out + B + i, h.to(tl.int64))
    tl.store(out + 2 * B + i, h.to(tl.int8))
    tl.store(out + 3 * B + i, h.to(tl.int16).to(tl.int64) * 3)
    tl.store(out + 4 * B + i, h // 1000)
    tl.store(out + 5 * B + i, h % 1000)
    tl.store(out + 6 * B + i, tl.load(masked + B + (h & (B - 1)), mask=h < bound, other=-1))
    tl.store(masked + i, i, mask=h >= bound)


@triton.jit
def remainders(x, out, start, by, B: tl.constexpr):
    i = tl.arange(0, B) + start
    tl.store(out + tl.arange(0, B), tl.load(x + (i % by) * 2 + i // by))


@triton.jit
def remainders_in_a_matrix(x, out, start, by, R: tl.constexpr, C: tl.constexpr):
    i = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    tl.store(out + i, tl.load(x + (i + start) // by + ((i + start) % by) * 3))


def _halfway(a: np.ndarray, b: int) -> np.ndarray:
    """Division towards zero."""
    return (np.sign(a) * (np.abs(a.astype(np.int64)) // b)).astype(a.dtype)


@settings(max_examples=40)
@given(
    seed=st.integers(-(1 << 31), (1 << 31) - 1),
    bound=st.integers(-(1 << 31), (1 << 31) - 1),
    factor=st.sampled_from([40503, 65599, 1664525, 716177407, -1640531535, 1 << 30]),
    size=st.sampled_from([1, 16, 64]),
)
def test_overflow(seed: int, bound: int, factor: int, size: int) -> None:
    i = np.arange(size, dtype=np.int64)
    h = (i * factor + seed).astype(np.int32)
    masked = torch.arange(2 * size, dtype=torch.int64)
    expected_mask = masked.clone()
    expected_mask[:size] = torch.from_numpy(np.where(h >= bound, i, masked[:size].numpy()))
    taken = np.where(h < bound, masked.numpy()[size + (h & (size - 1))], -1)
    out = torch.zeros(7, size, dtype=torch.int64)
    hashes[(1,)](out, masked, seed, bound, size, factor)
    expected = [
        h,
        h,
        h.astype(np.int8),
        h.astype(np.int16).astype(np.int64) * 3,
        _halfway(h, 1000),
        np.fmod(h, 1000),
        taken,
    ]
    np.testing.assert_array_equal(out.numpy(), np.stack([e.astype(np.int64) for e in expected]))
    np.testing.assert_array_equal(masked.numpy(), expected_mask.numpy())


@settings(max_examples=40)
@given(start=st.integers(0, 60), by=st.integers(2, 40), size=st.sampled_from([1, 8, 16, 128]))
def test_remainder_and_quotient(start: int, by: int, size: int) -> None:
    """The remainder may start again inside a chunk, at any lane, or several times."""
    x, out = torch.arange(512) * 7, torch.zeros(size, dtype=torch.int64)
    i = np.arange(size) + start
    remainders[(1,)](x, out, start, by, size)
    np.testing.assert_array_equal(out.numpy(), x.numpy()[i % by * 2 + i // by])


@settings(max_examples=30)
@given(
    start=st.integers(0, 20),
    by=st.integers(2, 40),
    rows=st.sampled_from([1, 4, 16]),
    columns=st.sampled_from([1, 2, 8, 32]),
)
def test_remainder_in_a_matrix(start: int, by: int, rows: int, columns: int) -> None:
    x, out = torch.arange(1024) * 7, torch.zeros(rows, columns, dtype=torch.int64)
    i = np.arange(rows * columns).reshape(rows, columns) + start
    remainders_in_a_matrix[(1,)](x, out, start, by, rows, columns)
    np.testing.assert_array_equal(out.numpy(), x.numpy()[i // by + i % by * 3])


@pytest.mark.parametrize("start", [-5, -1, 0])
def test_remainder_of_negative_indices(start: int) -> None:
    """They have the sign of the dividend, as in C."""
    x, out = torch.arange(256), torch.zeros(16, dtype=torch.int64)
    i = np.arange(16) + start
    remainders[(1,)](x[64:], out, start, 4, 16)
    np.testing.assert_array_equal(out.numpy(), x.numpy()[64 + np.fmod(i, 4) * 2 + _halfway(i, 4)])
