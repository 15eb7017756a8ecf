"""Sorting networks: what becomes of them, and that they sort: values alone and with their places, every
width of element, more and fewer elements than lanes, inside loops and branches, read and written along
either axis, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.schedule.test_schedule import nests, scheduled


@triton.jit
def sort_rows(x, out, N: tl.constexpr, R: tl.constexpr, DESCENDING: tl.constexpr):
    at = tl.arange(0, R)[:, None] * N + tl.arange(0, N)[None, :]
    tl.store(out + at, tl.sort(tl.load(x + at), descending=DESCENDING))


@triton.jit
def largest(x, out, N: tl.constexpr, R: tl.constexpr, K: tl.constexpr):
    row = tl.arange(0, R)[:, None]
    found = tl.topk(tl.load(x + row * N + tl.arange(0, N)[None, :]), K)
    tl.store(out + row * K + tl.arange(0, K)[None, :], found)


@triton.jit
def flip_rows(x, out, N: tl.constexpr, R: tl.constexpr):
    at = tl.arange(0, R)[:, None] * N + tl.arange(0, N)[None, :]
    tl.store(out + at, tl.flip(tl.load(x + at)))


@triton.jit
def sides(value, BIT: tl.constexpr, N: tl.constexpr):
    """The elements whose index lacks a bit, and those that have it, at both of their places."""
    shape: tl.constexpr = [N // (2 * BIT), 2, BIT]  # pyright: ignore[reportAssignmentType]
    pairs = tl.reshape(value, shape)
    right = tl.arange(0, 2)[None, :, None].to(pairs.dtype)
    first = tl.broadcast_to(tl.sum(pairs * (1 - right), 1)[:, None, :], shape)
    second = tl.broadcast_to(tl.sum(right * pairs, 1)[:, None, :], shape)
    return tl.reshape(first, [N]), tl.reshape(second, [N])


@triton.jit
def compare_and_swap(key, place, n, down, BIT: tl.constexpr, N: tl.constexpr):
    left, right = sides(key, BIT, N)
    left_place, right_place = sides(place, BIT, N)
    beyond = (right_place < n) > (left_place < n)
    alike = (right_place < n) == (left_place < n)
    after = (left > right) | ((left == right) & (left_place > right_place))
    swap = ((beyond | (alike & after)) ^ down).to(tl.int1)
    place ^= tl.where(swap, left_place ^ right_place, 0).to(place.dtype)
    return key ^ tl.where(swap, left ^ right, 0), place


@triton.jit
def ordered(keys, out, where, n, N: tl.constexpr, LOG: tl.constexpr, PLACE: tl.constexpr):
    """A stable sort of keys with their places, as libraries write it: sums pick one of two neighbours."""
    lane = tl.arange(0, N)
    key, place = tl.load(keys + lane, lane < n, other=0), lane.to(PLACE)
    for stage in tl.static_range(1, LOG + 1):
        down = ((lane >> stage) & 1).to(tl.int1) if stage < LOG else lane < 0
        for step in tl.static_range(stage):
            key, place = compare_and_swap(key, place, n, down, 2 ** (stage - 1 - step), N)
    tl.store(out + lane, key, lane < n)
    tl.store(where + lane, place.to(tl.int64), lane < n)


@triton.jit
def sorts_around(x, y, out, rounds, flag, N: tl.constexpr):
    """Sorts what a loop carries, uses a sorted tile again, and sorts once more inside a branch."""
    lane = tl.arange(0, N)
    total = tl.load(x + lane)
    for k in range(rounds):
        total = tl.sort(total + tl.load(y + k * N + lane)) * 0.5
    once = tl.sort(tl.sqrt(tl.abs(total)))
    if flag > 0:
        once = tl.sort(once - tl.load(y + lane)) + once
    tl.store(out + lane, once)
    tl.store(out + N + lane, tl.flip(once) + total)
    tl.store(out + 2 * N, tl.max(once, 0) - tl.min(once, 0))


@triton.jit
def sort_columns(x, out, N: tl.constexpr, R: tl.constexpr):
    """The sorted axis is not the one along which memory is contiguous."""
    at = tl.arange(0, R)[:, None] + tl.arange(0, N)[None, :] * R
    tl.store(out + at, tl.sort(tl.load(x + at)))


@triton.jit
def _later(a, i, b, j):
    take = (b > a) | ((b == a) & (j < i))
    return tl.where(take, b, a), tl.where(take, j, i)


@triton.jit
def spread_pair(value, place, BIT: tl.constexpr, N: tl.constexpr):
    shape: tl.constexpr = [N // (2 * BIT), 2, BIT]  # pyright: ignore[reportAssignmentType]
    value, place = tl.reduce((tl.reshape(value, shape), tl.reshape(place, shape)), 1, _later)
    value = tl.broadcast_to(value[:, None, :], shape)
    return tl.reshape(value, [N]), tl.reshape(tl.broadcast_to(place[:, None, :], shape), [N])


@triton.jit
def spread_pairs(x, out, where, N: tl.constexpr):
    """In three steps, each element becomes the largest of its eight and where that is: a reduction of
    two tiles at once."""
    lane = tl.arange(0, N)
    value, place = tl.load(x + lane), lane
    for k in tl.static_range(3):
        value, place = spread_pair(value, place, 1 << k, N)
    tl.store(out + lane, value)
    tl.store(where + lane, place)


# --- what becomes of them ------------------------------------------------------------------------------
def test_rounds_within_a_chunk_share_a_nest() -> None:
    """Of the 28 steps for 128 numbers, those at distances below 16 lanes need no memory: six nests have
    the others, one the first ten, two load and store."""
    text = scheduled(sort_rows, "*fp32 *fp32", N=128, R=4, DESCENDING=False)
    assert nests(text)[0] == ["write -> [4x128xf32]"]
    assert len(nests(text)) == 9
    assert "2x2x2" not in text


def test_keys_and_places_are_made_together() -> None:
    text = scheduled(ordered, "*i32 *i32 *i64 i32", N=64, LOG=6, PLACE=tl.int32)
    assert nests(text)[1:4] == [["write -> [64xi32]"] * 2] * 3
    assert "x2x" not in text


def test_a_flip_is_one_exchange() -> None:
    assert nests(scheduled(flip_rows, "*fp32 *fp32", N=64, R=1)) == [["write -> [1x64xf32]"]] * 2 + [
        ["store"]
    ]


# --- what they compute ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rows", "size", "dtype", "descending"),
    [
        (1, 2, torch.float32, False),
        (2, 4, torch.int64, True),
        (4, 8, torch.float32, True),
        (8, 16, torch.int8, False),
        (1, 32, torch.float16, True),
        (4, 64, torch.float32, False),
        (2, 128, torch.int8, True),
        (2, 128, torch.int64, False),
        (1, 512, torch.float32, True),
    ],
)
def test_sort(rows: int, size: int, dtype: torch.dtype, descending: bool) -> None:
    x = (torch.randn(rows, size, generator=torch.Generator().manual_seed(size)) * 40).to(dtype)
    out = torch.empty_like(x)
    sort_rows[(1,)](x, out, size, rows, descending)
    expected = np.sort(x.numpy(), axis=1)
    np.testing.assert_array_equal(out.numpy(), expected[:, ::-1] if descending else expected)


@pytest.mark.parametrize(("rows", "size", "count"), [(1, 64, 1), (2, 64, 4), (1, 256, 32)])
def test_topk(rows: int, size: int, count: int) -> None:
    x = torch.randn(rows, size, generator=torch.Generator().manual_seed(count))
    out = torch.empty(rows, count)
    largest[(1,)](x, out, size, rows, count)
    np.testing.assert_array_equal(out.numpy(), np.sort(x.numpy(), axis=1)[:, ::-1][:, :count])


@pytest.mark.parametrize(("rows", "size"), [(1, 8), (2, 16), (1, 128)])
def test_flip(rows: int, size: int) -> None:
    x = torch.arange(rows * size, dtype=torch.float32).reshape(rows, size)
    out = torch.empty_like(x)
    flip_rows[(1,)](x, out, size, rows)
    np.testing.assert_array_equal(out.numpy(), x.numpy()[:, ::-1])


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_stable_sort_with_places(data: st.DataObject) -> None:
    size, log = data.draw(st.sampled_from([(8, 3), (64, 6)]))
    count = data.draw(st.integers(1, size))
    keys = torch.tensor(data.draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count)))
    keys = keys.to(torch.int32)
    out, where = torch.empty_like(keys), torch.empty(count, dtype=torch.int64)
    place = data.draw(st.sampled_from([tl.int16, tl.int32]))
    ordered[(1,)](keys, out, where, count, size, log, place)
    np.testing.assert_array_equal(where.numpy(), np.argsort(keys.numpy(), kind="stable"))
    np.testing.assert_array_equal(out.numpy(), np.sort(keys.numpy()))


@pytest.mark.parametrize(("rounds", "flag"), [(0, 0), (1, 1), (3, 1)])
def test_sorts_around_loops_and_branches(rounds: int, flag: int) -> None:
    size = 64
    generator = torch.Generator().manual_seed(rounds)
    x, y = torch.randn(size, generator=generator), torch.randn(4, size, generator=generator)
    out = torch.zeros(2 * size + 1)
    sorts_around[(1,)](x, y, out, rounds, flag, size)
    total = x.numpy()
    for k in range(rounds):
        total = np.sort(total + y[k].numpy()) * np.float32(0.5)
    once = np.sort(np.sqrt(np.abs(total)))
    if flag:
        once = np.sort(once - y[0].numpy()) + once
    expected = np.concatenate([once, once[::-1] + total, [once.max() - once.min()]])
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("rows", "size"), [(16, 64), (4, 32), (32, 8)])
def test_sorting_across_memory(rows: int, size: int) -> None:
    x = torch.randn(size, rows, generator=torch.Generator().manual_seed(size))
    out = torch.empty_like(x)
    sort_columns[(1,)](x, out, size, rows)
    np.testing.assert_array_equal(out.numpy(), np.sort(x.numpy(), axis=0))


@pytest.mark.parametrize("size", [8, 64])
def test_reductions_of_two_tiles(size: int) -> None:
    x = torch.randint(-4, 4, (size,), generator=torch.Generator().manual_seed(size)).float()
    out, where = torch.empty(size), torch.empty(size, dtype=torch.int32)
    spread_pairs[(1,)](x, out, where, size)
    groups = x.numpy().reshape(-1, 8)
    np.testing.assert_array_equal(out.numpy(), np.repeat(groups.max(1), 8))
    first = groups.argmax(1) + np.arange(0, size, 8)
    np.testing.assert_array_equal(where.numpy(), np.repeat(first, 8))
