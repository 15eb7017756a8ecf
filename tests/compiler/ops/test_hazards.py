"""Loads and stores of one program to overlapping memory, in every order: a `tl.load` reads all of its
elements before a later store writes any, whatever chunks the compiler makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256]


@triton.jit
def shift(p, distance, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(p + i + distance, tl.load(p + i))


@triton.jit
def shift_left(p, distance, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(p + i, tl.load(p + i + distance))


@triton.jit
def move(p, read_start, read_stride, write_start, write_stride, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(p + write_start + i * write_stride, tl.load(p + read_start + i * read_stride) + 1)


@triton.jit
def reverse(p, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(p + i, tl.load(p + (B - 1 - i)))


@triton.jit
def transpose(p, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(p + i[:, None] + i[None, :] * N, tl.load(p + i[:, None] * N + i[None, :]))


@triton.jit
def transpose_values(p, N: tl.constexpr):
    i = tl.arange(0, N)
    place = p + i[:, None] * N + i[None, :]
    tl.store(place, tl.trans(tl.load(place)))


@triton.jit
def store_then_load(p, out, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(p + i, i * 3)
    tl.store(out + i, tl.load(p + (B - 1 - i)))


@triton.jit
def two_values(p, B: tl.constexpr):
    """Both loads come before both stores; the second store wins where they overlap."""
    i = tl.arange(0, B)
    a = tl.load(p + i)
    b = tl.load(p + i + 1)
    tl.store(p + i, a + b)
    tl.store(p + i + 1, a - b)


@triton.jit
def swap(p, q, B: tl.constexpr):
    i = tl.arange(0, B)
    a = tl.load(p + i)
    b = tl.load(q + i)
    tl.store(p + i, b)
    tl.store(q + i, a)


@triton.jit
def permute(p, index, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(p + i, tl.load(p + tl.load(index + i)))


@triton.jit
def repeated_shift(p, rounds, B: tl.constexpr):
    i = tl.arange(0, B)
    for _ in range(rounds):
        tl.store(p + i + 1, tl.load(p + i))


@triton.jit
def sum_then_store(p, B: tl.constexpr):
    """Every element becomes the sum of all; the loaded tile is used before and after the reduction."""
    i = tl.arange(0, B)
    x = tl.load(p + i)
    total = tl.sum(x, 0)
    tl.store(p + i, total - x)


@triton.jit
def loop_around(p, out, rounds, B: tl.constexpr):
    """A value loaded before a loop that overwrites it."""
    i = tl.arange(0, B)
    before = tl.load(p + i)
    for k in range(rounds):
        tl.store(p + i, before + k + 1)
    tl.store(out + i, before)


@triton.jit
def conditional(p, out, flag, B: tl.constexpr):
    i = tl.arange(0, B)
    before = tl.load(p + i)
    if flag > 0:
        tl.store(p + i, before * 2)
    tl.store(out + i, before + tl.load(p + i))


@triton.jit
def atomics_around(p, out, B: tl.constexpr):
    i = tl.arange(0, B)
    before = tl.load(p + i)
    tl.atomic_add(p + i, 5)
    tl.store(out + i, before * 1000 + tl.load(p + i))


@triton.jit
def same_column(p, N: tl.constexpr):
    """All rows read row 0 and write their own."""
    i = tl.arange(0, N)
    first = tl.load(p + i[None, :] + i[:, None] * 0)
    tl.store(p + i[:, None] * N + i[None, :], first + i[:, None])


def _numbers(count: int) -> torch.Tensor:
    return torch.arange(10, 10 + count, dtype=torch.int32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("distance", [0, 1, 3, 8, 16])
def test_shifts_in_place(size: int, distance: int) -> None:
    right = _numbers(size + 32)
    expected = right.clone()
    expected[distance : distance + size] = right[:size].clone()
    shift[(1,)](right, distance, size)
    torch.testing.assert_close(right, expected, rtol=0, atol=0)
    left = _numbers(size + 32)
    expected = left.clone()
    expected[:size] = left[distance : distance + size].clone()
    shift_left[(1,)](left, distance, size)
    torch.testing.assert_close(left, expected, rtol=0, atol=0)


@settings(max_examples=60)
@given(
    size=st.sampled_from(SIZES),
    read=st.tuples(st.integers(0, 40), st.integers(-3, 3)),
    write=st.tuples(st.integers(0, 40), st.sampled_from([-3, -2, -1, 1, 2, 3])),
)
def test_any_strides_in_place(size: int, read: tuple[int, int], write: tuple[int, int]) -> None:
    p = _numbers(7 * 256)
    middle = 3 * 256
    expected = p.clone().numpy()
    index = np.arange(size)
    expected[middle + write[0] + index * write[1]] = p.numpy()[middle + read[0] + index * read[1]] + 1
    move[(1,)](p, middle + read[0], read[1], middle + write[0], write[1], size)
    np.testing.assert_array_equal(p.numpy(), expected)


@pytest.mark.parametrize("size", SIZES)
def test_reversal_in_place(size: int) -> None:
    p = _numbers(size)
    expected = p.flip(0)
    reverse[(1,)](p, size)
    torch.testing.assert_close(p, expected, rtol=0, atol=0)


@pytest.mark.parametrize("kernel", [transpose, transpose_values], ids=["pointers", "values"])
@pytest.mark.parametrize("size", [1, 2, 4, 8, 16, 32, 64])
def test_transposition_in_place(kernel: triton.JITFunction, size: int) -> None:
    p = _numbers(size * size).reshape(size, size)
    expected = p.T.clone()
    kernel[(1,)](p, size)
    torch.testing.assert_close(p, expected, rtol=0, atol=0)


@pytest.mark.parametrize("size", SIZES)
def test_a_load_sees_an_earlier_store(size: int) -> None:
    p, out = _numbers(size), torch.zeros(size, dtype=torch.int32)
    store_then_load[(1,)](p, out, size)
    torch.testing.assert_close(out, torch.arange(size, dtype=torch.int32).flip(0) * 3, rtol=0, atol=0)


@pytest.mark.parametrize("size", SIZES)
def test_two_loads_then_two_stores(size: int) -> None:
    p = _numbers(size + 1)
    a, b = p[:-1].clone(), p[1:].clone()
    expected = p.clone()
    expected[:-1] = a + b
    expected[1:] = a - b
    two_values[(1,)](p, size)
    torch.testing.assert_close(p, expected, rtol=0, atol=0)


@pytest.mark.parametrize("size", SIZES)
def test_swap(size: int) -> None:
    p, q = _numbers(size), -_numbers(size)
    expected = q.clone(), p.clone()
    swap[(1,)](p, q, size)
    torch.testing.assert_close((p, q), expected, rtol=0, atol=0)


@settings(max_examples=20)
@given(size=st.sampled_from(SIZES), seed=st.integers(0, 1000))
def test_permutation_in_place(size: int, seed: int) -> None:
    order = torch.from_numpy(np.random.default_rng(seed).integers(0, size, size).astype(np.int32))
    p = _numbers(size)
    expected = p[order.long()].clone()
    permute[(1,)](p, order, size)
    torch.testing.assert_close(p, expected, rtol=0, atol=0)


@pytest.mark.parametrize("rounds", [0, 1, 2, 5])
@pytest.mark.parametrize("size", [1, 8, 16, 64])
def test_shifts_in_a_loop(size: int, rounds: int) -> None:
    p = _numbers(size + 1)
    expected = p.clone()
    for _ in range(rounds):
        expected[1:] = expected[:-1].clone()
    repeated_shift[(1,)](p, rounds, size)
    torch.testing.assert_close(p, expected, rtol=0, atol=0)


@pytest.mark.parametrize("size", SIZES)
def test_reduction_before_a_store_in_place(size: int) -> None:
    p = _numbers(size)
    expected = (p.sum() - p).to(torch.int32)
    sum_then_store[(1,)](p, size)
    torch.testing.assert_close(p, expected, rtol=0, atol=0)


@pytest.mark.parametrize("rounds", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 16, 128])
def test_value_loaded_before_a_loop_that_overwrites_it(size: int, rounds: int) -> None:
    p, out = _numbers(size), torch.zeros(size, dtype=torch.int32)
    expected = p.clone()
    loop_around[(1,)](p, out, rounds, size)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)
    torch.testing.assert_close(p, expected + rounds, rtol=0, atol=0)


@pytest.mark.parametrize("flag", [0, 1])
@pytest.mark.parametrize("size", [1, 16, 128])
def test_value_loaded_before_a_condition_that_overwrites_it(size: int, flag: int) -> None:
    p, out = _numbers(size), torch.zeros(size, dtype=torch.int32)
    expected = p.clone() * (3 if flag else 2)
    conditional[(1,)](p, out, flag, size)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)


@pytest.mark.parametrize("size", [1, 16, 128])
def test_loads_around_an_atomic(size: int) -> None:
    p, out = _numbers(size), torch.zeros(size, dtype=torch.int32)
    expected = p * 1000 + p + 5
    atomics_around[(1,)](p, out, size)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)


@pytest.mark.parametrize("size", [1, 2, 8, 16, 32])
def test_broadcast_row_overwritten_in_place(size: int) -> None:
    p = _numbers(size * size).reshape(size, size)
    expected = p[0].clone() + torch.arange(size, dtype=torch.int32)[:, None]
    same_column[(1,)](p, size)
    torch.testing.assert_close(p, expected, rtol=0, atol=0)


@triton.jit
def loop_between_stores(a, b, total, n, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(a + i, i + 1)
    read = 0
    for k in range(n):
        read += tl.load(a + k) + 1000 * tl.load(b + k)
    tl.store(b + i, i + 7)
    tl.store(total, read)


def test_a_loop_between_two_stores_reads_what_the_first_wrote_and_the_second_did_not() -> None:
    size, n = 128, 9
    a, b = torch.zeros(size, dtype=torch.int32), torch.arange(size, dtype=torch.int32) % 5
    expected = sum(range(1, n + 1)) + 1000 * int(b[:n].sum())
    total = torch.zeros(1, dtype=torch.int32)
    loop_between_stores[(1,)](a, b, total, n, size)
    assert total.tolist() == [expected]
    assert a.tolist() == list(range(1, size + 1))
    assert b.tolist() == list(range(7, size + 7))
