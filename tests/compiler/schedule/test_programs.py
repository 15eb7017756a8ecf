"""What a program instance means, whatever nests it becomes: loops that carry tiles, conditions that make
them, stores and loads in program order. Each kernel runs on the CPU and is compared with NumPy.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl


def numbers(*shape: int, start: int = 1) -> torch.Tensor:
    count = int(np.prod(shape))
    return torch.arange(start, start + count, dtype=torch.int32).reshape(shape)


def same(actual: torch.Tensor, expected: object) -> None:
    np.testing.assert_array_equal(actual.numpy(), np.asarray(expected))


# --- loops that carry tiles --------------------------------------------------------------------------
@triton.jit
def swap_in_a_loop(x, y, out, rounds, B: tl.constexpr):
    i = tl.arange(0, B)
    a, b = tl.load(x + i), tl.load(y + i)
    for _ in range(rounds):
        a, b = b, a
    tl.store(out + i, a)
    tl.store(out + B + i, b)


@triton.jit
def rotate_three(x, out, rounds, B: tl.constexpr):
    i = tl.arange(0, B)
    a, b, c = tl.load(x + i), tl.load(x + B + i), tl.load(x + 2 * B + i)
    for k in range(rounds):
        a, b, c = b, c, a + k
    tl.store(out + i, a)
    tl.store(out + B + i, b)
    tl.store(out + 2 * B + i, c)


@triton.jit
def rotate_transposed(x, y, out, rounds, N: tl.constexpr):
    """Tiles that change places and lie across one another: their nest is done in square blocks."""
    i = tl.arange(0, N)
    at, across = i[:, None] * N + i[None, :], i[:, None] + i[None, :] * N
    a, b, c = tl.load(x + at), tl.load(y + across), tl.load(x + across) * 2
    d = tl.load(y + across) * 3
    for _ in range(rounds):
        a, b, c = d, a, b
    tl.store(out + across, a)
    tl.store(out + N * N + across, b)
    tl.store(out + 2 * N * N + across, c)


@triton.jit
def shapes_that_read_each_other(x, out, rounds, N: tl.constexpr):
    """Carried tiles of different shapes, each computed from the other's value before the step."""
    i = tl.arange(0, N)
    row = tl.load(x + i)
    square = tl.load(x + i[:, None] * N + i[None, :])
    for _ in range(rounds):
        row, square = row + tl.sum(square, 0), square + row[:, None] - row[None, :]
    tl.store(out + i, row)
    tl.store(out + N + i[:, None] * N + i[None, :], square)


@triton.jit
def transposed_into_itself(x, out, rounds, N: tl.constexpr):
    i = tl.arange(0, N)
    at = i[:, None] * N + i[None, :]
    square = tl.load(x + at)
    for k in range(rounds):
        square = tl.trans(square) + k
    tl.store(out + at, square)


@triton.jit
def outer_tile_in_inner_loop(x, out, rounds, N: tl.constexpr):
    """The outer loop's tile is read in the inner loop, which carries another that is folded in after."""
    i = tl.arange(0, N)
    at = i[:, None] * N + i[None, :]
    outer = tl.load(x + at)
    for _ in range(rounds):
        inner = tl.zeros((N, N), tl.float32)
        for k in range(3):
            inner = tl.dot(outer, tl.load(x + at) * (k + 1), inner, input_precision="ieee")
        outer = outer + inner / 64
    tl.store(out + at, outer)


@triton.jit
def accumulator_used_again(x, out, rounds, N: tl.constexpr):
    """A product's accumulator that is read before, after and beside the product."""
    i = tl.arange(0, N)
    at = i[:, None] * N + i[None, :]
    a = tl.load(x + at)
    total = tl.zeros((N, N), tl.float32)
    beside = tl.zeros((N, N), tl.float32)
    for k in range(rounds):
        new = tl.dot(a, a, total, input_precision="ieee")
        beside += total + k
        total = new
    tl.store(out + at, total)
    tl.store(out + N * N + at, beside)


@triton.jit
def product_in_a_condition(x, out, rounds, N: tl.constexpr):
    i = tl.arange(0, N)
    at = i[:, None] * N + i[None, :]
    a = tl.load(x + at)
    total = tl.zeros((N, N), tl.float32)
    for k in range(rounds):
        if k % 2 == 0:
            total = tl.dot(a, a, total, input_precision="ieee")
        else:
            total = total - tl.trans(total)
    tl.store(out + at, total)


@triton.jit
def while_with_tiles(x, out, limit, B: tl.constexpr):
    i = tl.arange(0, B)
    a = tl.load(x + i)
    b = a * 0
    steps = 0
    while tl.max(a, 0) < limit:
        a, b = a + b + 1, a
        steps += 1
    tl.store(out + i, a)
    tl.store(out + B + i, b)
    tl.store(out + 2 * B, steps)


@triton.jit
def pointers_that_wander(x, out, rounds, B: tl.constexpr):
    i = tl.arange(0, B)
    p = x + i
    offsets = i * 2
    total = tl.zeros((B,), tl.int32)
    for k in range(rounds):
        total += tl.load(p) * (k + 1) + tl.load(x + offsets)
        p += 3
        offsets += B
    tl.store(out + i, total)
    tl.store(out + B + i, tl.load(p) + offsets)


ROUNDS = [0, 1, 2, 5]


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("size", [1, 4, 64])
def test_swap(size: int, rounds: int) -> None:
    x, y, out = numbers(size), -numbers(size), numbers(2, size)
    swap_in_a_loop[(1,)](x, y, out, rounds, size)
    same(out, torch.stack([x, y] if rounds % 2 == 0 else [y, x]))


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("size", [1, 8, 64])
def test_rotation_of_three(size: int, rounds: int) -> None:
    x, out = numbers(3, size), numbers(3, size)
    a, b, c = x
    for k in range(rounds):
        a, b, c = b, c, a + k
    rotate_three[(1,)](x, out, rounds, size)
    same(out, torch.stack([a, b, c]))


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("size", [1, 4, 16, 32])
def test_rotation_of_tiles_that_lie_across(size: int, rounds: int) -> None:
    x, y, out = numbers(size, size), -numbers(size, size), numbers(3, size, size)
    a, b, c, d = x, y.T, x.T * 2, y.T * 3
    for _ in range(rounds):
        a, b, c = d, a, b
    rotate_transposed[(1,)](x, y, out, rounds, size)
    same(out, torch.stack([a.T, b.T, c.T]))


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("size", [1, 4, 32])
def test_carried_shapes_that_read_each_other(size: int, rounds: int) -> None:
    x, out = numbers(size, size) % 7, numbers(size + 1, size)
    row, square = x[0].numpy(), x.numpy()
    for _ in range(rounds):
        row, square = row + square.sum(0, dtype=np.int32), square + row[:, None] - row[None, :]
    shapes_that_read_each_other[(1,)](x, out, rounds, size)
    same(out, np.concatenate([row[None], square]))


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("size", [1, 2, 8, 32])
def test_transposed_into_itself(size: int, rounds: int) -> None:
    x, out = numbers(size, size), numbers(size, size)
    square = x.numpy()
    for k in range(rounds):
        square = square.T + k
    transposed_into_itself[(1,)](x, out, rounds, size)
    same(out, square)


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_outer_tile_read_in_an_inner_loop(rounds: int) -> None:
    x = (torch.arange(256).reshape(16, 16) % 5 - 2).float()
    out = torch.empty(16, 16)
    outer_tile_in_inner_loop[(1,)](x, out, rounds, 16)
    outer = x.double()
    for _ in range(rounds):
        outer = outer + outer @ x.double() * 6 / 64
    torch.testing.assert_close(out, outer.float())


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("size", [16, 32])
def test_accumulator_used_again(size: int, rounds: int) -> None:
    x = (torch.arange(size * size).reshape(size, size) % 5 - 2).float()
    out = torch.empty(2, size, size)
    accumulator_used_again[(1,)](x, out, rounds, size)
    product, total, beside = x @ x, torch.zeros(size, size), torch.zeros(size, size)
    for k in range(rounds):
        beside = beside + total + k
        total = total + product
    same(out, torch.stack([total, beside]))


@pytest.mark.parametrize("rounds", ROUNDS)
def test_product_in_a_condition(rounds: int) -> None:
    x = (torch.arange(256).reshape(16, 16) % 5 - 2).float()
    out = torch.empty(16, 16)
    product_in_a_condition[(1,)](x, out, rounds, 16)
    total = torch.zeros(16, 16)
    for k in range(rounds):
        total = total + x @ x if k % 2 == 0 else total - total.T
    same(out, total)


@pytest.mark.parametrize("limit", [0, 5, 1000])
@pytest.mark.parametrize("size", [1, 16])
def test_while_that_carries_tiles(size: int, limit: int) -> None:
    x, out = numbers(size), numbers(2 * size + 1)
    a, b, steps = x.numpy(), np.zeros(size, np.int32), 0
    while a.max() < limit:
        a, b, steps = a + b + 1, a, steps + 1
    while_with_tiles[(1,)](x, out, limit, size)
    same(out, np.concatenate([a, b, [steps]]))


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("size", [1, 16])
def test_pointers_that_wander(size: int, rounds: int) -> None:
    x, out = numbers(8 * size + 64), numbers(2 * size)
    i, total = np.arange(size), np.zeros(size, np.int32)
    for k in range(rounds):
        total += x.numpy()[i + 3 * k] * (k + 1) + x.numpy()[i * 2 + size * k]
    pointers_that_wander[(1,)](x, out, rounds, size)
    same(out, np.concatenate([total, x.numpy()[i + 3 * rounds] + i * 2 + size * rounds]))


# --- conditions and early returns --------------------------------------------------------------------
@triton.jit
def condition_yields_tiles(x, out, flag, B: tl.constexpr):
    i = tl.arange(0, B)
    a = tl.load(x + i)
    b = a * 2
    if flag > 0:
        a, b = b + 1, a
        if flag > 1:
            a = tl.flip(a)
    else:
        b = tl.cumsum(a, 0)
    tl.store(out + i, a)
    tl.store(out + B + i, b)


@triton.jit
def early_returns(x, out, flag, B: tl.constexpr):
    i = tl.arange(0, B)
    a = tl.load(x + i)
    square = a[:, None] * a[None, :]
    row = tl.sum(square, 0)
    if flag == 0:
        return
    tl.store(out + i, row)
    if flag == 1:
        return
    total = tl.sum(row, 0)
    tl.store(out + i, row + total + tl.max(square, 1))


@triton.jit
def chosen(a, flag):
    if flag > 0:
        return a + 1
    return a * 3


@triton.jit
def calls_with_returns(x, out, flag, B: tl.constexpr):
    i = tl.arange(0, B)
    a = tl.load(x + i)
    for k in range(3):
        a = chosen(a, flag - k) + tl.flip(a)
    tl.store(out + i, a)


@pytest.mark.parametrize("flag", [0, 1, 2])
@pytest.mark.parametrize("size", [2, 16, 64])
def test_condition_yields_tiles(size: int, flag: int) -> None:
    x, out = numbers(size), numbers(2 * size)
    a, b = x, x * 2
    if flag:
        a, b = b + 1, a
        a = a.flip(0) if flag > 1 else a
    else:
        b = a.cumsum(0).int()
    condition_yields_tiles[(1,)](x, out, flag, size)
    same(out, torch.cat([a, b]))


@pytest.mark.parametrize("flag", [0, 1, 2])
@pytest.mark.parametrize("size", [2, 16, 64])
def test_early_returns(size: int, flag: int) -> None:
    x, out = numbers(size), numbers(size, start=1000)
    expected, square = out.clone(), torch.outer(x, x)
    if flag:
        expected = square.sum(0)
    if flag == 2:
        expected = expected + expected.sum() + square.max(1).values
    early_returns[(1,)](x, out, flag, size)
    same(out, expected)


@pytest.mark.parametrize("flag", [0, 1, 2, 3])
def test_calls_that_return_early(flag: int) -> None:
    x, out = numbers(16), numbers(16)
    a = x
    for k in range(3):
        a = (a + 1 if flag - k > 0 else a * 3) + a.flip(0)
    calls_with_returns[(1,)](x, out, flag, 16)
    same(out, a)


# --- program order of memory ---------------------------------------------------------------------------
@triton.jit
def gather_beside_its_source(x, index, out, B: tl.constexpr):
    """The source and what is gathered from it must not be made in one nest."""
    i = tl.arange(0, B)
    source = tl.load(x + i) * 3
    taken = tl.gather(source, tl.load(index + i), 0)
    tl.store(out + i, taken)
    tl.store(out + B + i, tl.cumsum(taken, 0) + source)


@triton.jit
def scatter_twice(x, index, B: tl.constexpr):
    """Elements with the same index all read what was there before."""
    at = x + tl.load(index + tl.arange(0, B))
    tl.store(at, tl.load(at) + 1)


@triton.jit
def add_to_one(x, B: tl.constexpr, S: tl.constexpr):
    at = x + tl.arange(0, B) * S
    tl.store(at, tl.load(at) + 1)


@triton.jit
def narrow_index(x, B: tl.constexpr):
    """The load's index wraps around at 128, the store's does not."""
    i = tl.arange(0, B)
    tl.store(x + i, tl.load(x + (i + 128).to(tl.int8).to(tl.int32) + 128))


@triton.jit
def condition_between(x, out, flag, B: tl.constexpr):
    i = tl.arange(0, B)
    before = tl.load(x + i)
    largest = tl.max(before, 0)
    if flag > 0:
        tl.store(x + i, before - largest)
        before = tl.load(x + B - 1 - i)
    tl.store(out + i, before + largest + tl.load(x + i))


@triton.jit
def atomic_results(x, out, B: tl.constexpr):
    i = tl.arange(0, B)
    old = tl.atomic_add(x + i // 2, 1)
    tl.store(out + i, old)
    tl.store(out + B + i, tl.flip(old) + tl.load(x + i // 2))


@pytest.mark.parametrize("size", [1, 16, 64])
def test_gather_beside_its_source(size: int) -> None:
    x, out = numbers(size), numbers(2 * size)
    index = (torch.arange(size, dtype=torch.int32) * 7 + size - 1) % size
    taken = x[index] * 3
    gather_beside_its_source[(1,)](x, index, out, size)
    same(out, torch.cat([taken, (taken.cumsum(0) + x * 3).int()]))


@pytest.mark.parametrize("size", [2, 16, 256])
def test_scatter_to_the_same_places(size: int) -> None:
    x, index = numbers(size), torch.arange(size, dtype=torch.int32) % 3
    expected = x.clone()
    expected[: min(3, size)] += 1
    scatter_twice[(1,)](x, index, size)
    same(x, expected)


@pytest.mark.parametrize("stride", [0, 1, 2])
@pytest.mark.parametrize("size", [2, 16, 256])
def test_increment_of_one_place(size: int, stride: int) -> None:
    x = numbers(2 * size)
    expected = x.clone()
    expected[torch.arange(size) * stride] += 1
    add_to_one[(1,)](x, size, stride)
    same(x, expected)


def test_index_that_wraps_around() -> None:
    x = numbers(256)
    expected = x.numpy()[(np.arange(256) + 128).astype(np.int8).astype(np.int32) + 128]
    narrow_index[(1,)](x, 256)
    same(x, expected)


@pytest.mark.parametrize("flag", [0, 1])
@pytest.mark.parametrize("size", [1, 16, 64])
def test_condition_that_stores_between_loads(size: int, flag: int) -> None:
    x, out = numbers(size), numbers(size)
    before, largest, now = x.clone(), x.max(), x.clone()
    if flag:
        now = before - largest
        before = now.flip(0)
    condition_between[(1,)](x, out, flag, size)
    same(out, before + largest + now)


@pytest.mark.parametrize("size", [2, 16, 64])
def test_atomic_results_used_twice(size: int) -> None:
    x, out = numbers(size), numbers(2 * size)
    i = np.arange(size)
    old = x.numpy()[i // 2] + i % 2
    now = x.numpy()[i // 2] + 2
    atomic_results[(1,)](x, out, size)
    same(out, np.concatenate([old, old[::-1] + now]))
