"""Loops and conditions around tiles: carried tiles that are exchanged or transposed, carried pointers,
nested and empty loops, steps backwards, conditions that give tiles, early returns, calls, while loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

SIZES = [1, 2, 16, 64]


@triton.jit
def exchange(p, q, out, rounds, B: tl.constexpr):
    i = tl.arange(0, B)
    a, b, c = tl.load(p + i), tl.load(q + i), tl.load(p + i) * 0
    for k in range(rounds):
        a, b, c = b, a + k, a
    tl.store(out + i, a)
    tl.store(out + B + i, b)
    tl.store(out + 2 * B + i, c)


@triton.jit
def turn(p, out, rounds, N: tl.constexpr):
    """A carried tile that is transposed and shifted by its own row sums in each round."""
    i = tl.arange(0, N)
    place = i[:, None] * N + i[None, :]
    x = tl.load(p + place)
    for _ in range(rounds):
        x = tl.trans(x) + tl.sum(x, 1)[None, :]
    tl.store(out + place, x)


@triton.jit
def walk(p, out, count, step, B: tl.constexpr):
    """Carried pointers, forwards and backwards, with the last values used after the loop."""
    i = tl.arange(0, B)
    forward = p + i
    backward = p + (count - 1) * step + i
    total = tl.zeros((B,), tl.int32)
    for k in range(count):
        total += tl.load(forward) * (k + 1) + tl.load(backward)
        forward += step
        backward -= step
    tl.store(out + i, total)
    tl.store(out + B + i, tl.load(forward - step))


@triton.jit
def nested(p, out, rows, columns, low, B: tl.constexpr):
    i = tl.arange(0, B)
    total = tl.load(p + i)
    for row in range(rows - 1, low, -2):
        inner = total * 0
        for column in range(0, columns, 3):
            inner += row * 10 + column
            if column > 5:
                inner += total
        total += inner
    tl.store(out + i, total)


@triton.jit
def branch(p, out, flag, B: tl.constexpr):
    i = tl.arange(0, B)
    x = tl.load(p + i)
    if flag > 1:
        if flag > 2:
            y = x * 3
            z = 5
        else:
            y = x + tl.sum(x, 0)
            z = flag
    elif flag == 1:
        y = tl.flip(x, 0)
        z = 7
    else:
        y = x
        z = 9
    tl.store(out + i, y * z)


@triton.jit
def leave(p, out, n, B: tl.constexpr):
    program = tl.program_id(0)
    if program >= n:
        return
    i = tl.arange(0, B)
    x = tl.load(p + i)
    if tl.max(x, 0) < 0:
        tl.store(out + program * B + i, x * 0 - 1)
        return
    tl.store(out + program * B + i, x + program)


@triton.jit
def collatz(p, out, B: tl.constexpr):
    """A while loop until every element is 1; counts the rounds of each."""
    i = tl.arange(0, B)
    x = tl.load(p + i)
    rounds = tl.zeros((B,), tl.int32)
    while tl.max(x, 0) > 1:
        more = x > 1
        x = tl.where(more, tl.where(x % 2 == 0, x // 2, 3 * x + 1), x)
        rounds += more.to(tl.int32)
    tl.store(out + i, rounds)


@triton.jit(noinline=True)
def smaller(x, bound):
    """Called, not inlined by Triton, with a return in the middle."""
    if bound < 0:
        return x
    return tl.minimum(x, bound)


@triton.jit
def with_calls(p, out, count, bound):
    for k in range(count):
        x = tl.load(p + k)
        tl.store(out + k, smaller(x, bound) + smaller(x * 2, bound - 5))


@triton.jit
def scalar_state(p, out, count):
    """Scalars only: the largest element, its place, and how often the maximum changed."""
    best = tl.load(p)
    place = 0
    changes = 0
    for k in range(1, count):
        value = tl.load(p + k)
        if value > best:
            best = value
            place = k
            changes += 1
    tl.store(out, best)
    tl.store(out + 1, place)
    tl.store(out + 2, changes)


def _numbers(size: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(-9, 10, size).astype(np.int32))


@pytest.mark.parametrize("rounds", [0, 1, 2, 5])
@pytest.mark.parametrize("size", SIZES)
def test_carried_tiles_are_exchanged(size: int, rounds: int) -> None:
    p, q = _numbers(size, 1), _numbers(size, 2)
    out = torch.zeros(3 * size, dtype=torch.int32)
    exchange[(1,)](p, q, out, rounds, size)
    a, b, c = p, q, p * 0
    for k in range(rounds):
        a, b, c = b, a + k, a
    assert torch.equal(out, torch.cat((a, b, c)))


@pytest.mark.parametrize("rounds", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 4, 16])
def test_carried_tile_is_transposed(size: int, rounds: int) -> None:
    x = _numbers(size * size).view(size, size)
    out = torch.zeros_like(x)
    turn[(1,)](x, out, rounds, size)
    for _ in range(rounds):
        x = x.T + x.sum(1)[None, :].to(torch.int32)
    assert torch.equal(out, x)


@pytest.mark.parametrize(("count", "step"), [(1, 16), (4, 16), (5, 3), (3, 1)])
@pytest.mark.parametrize("size", SIZES)
def test_carried_pointers(size: int, count: int, step: int) -> None:
    p = _numbers(400)
    out = torch.zeros(2 * size, dtype=torch.int32)
    walk[(1,)](p, out, count, step, size)
    parts = [p[k * step : k * step + size] for k in range(count)]
    total = torch.stack([part * (k + 1) + parts[count - 1 - k] for k, part in enumerate(parts)]).sum(0)
    assert torch.equal(out, torch.cat((total, parts[-1])))


@pytest.mark.parametrize(
    ("rows", "columns", "low"), [(0, 0, 0), (5, 0, -1), (6, 10, -1), (1, 4, 3), (7, 7, 2)]
)
@pytest.mark.parametrize("size", [1, 32])
def test_nested_loops(size: int, rows: int, columns: int, low: int) -> None:
    p = _numbers(size)
    out = torch.zeros_like(p)
    nested[(1,)](p, out, rows, columns, low, size)
    total = p.clone()
    for row in range(rows - 1, low, -2):
        inner = total * 0
        for column in range(0, columns, 3):
            inner = inner + row * 10 + column
            if column > 5:
                inner = inner + total
        total = total + inner
    assert torch.equal(out, total)


@pytest.mark.parametrize("flag", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("size", SIZES[1:])
def test_conditions_that_give_tiles(size: int, flag: int) -> None:
    x = _numbers(size)
    out = torch.zeros_like(x)
    branch[(1,)](x, out, flag, size)
    if flag > 2:
        expected = x * 15
    elif flag == 2:
        expected = (x + x.sum().to(torch.int32)) * 2
    elif flag == 1:
        expected = x.flip(0) * 7
    else:
        expected = x * 9
    assert torch.equal(out, expected)


@pytest.mark.parametrize("negative", [False, True])
def test_early_returns(negative: bool) -> None:
    p = -torch.ones(16, dtype=torch.int32) if negative else _numbers(16).abs()
    out = torch.full((5, 16), 99, dtype=torch.int32)
    leave[(5,)](p, out, 3, 16)
    for program in range(5):
        expected = torch.full((16,), -1) if negative else p + program
        assert torch.equal(out[program], expected.to(torch.int32) if program < 3 else torch.full_like(p, 99))


@pytest.mark.parametrize("size", SIZES)
def test_while(size: int) -> None:
    p = torch.arange(1, size + 1, dtype=torch.int32)
    out = torch.zeros_like(p)
    collatz[(1,)](p, out, size)
    expected = []
    for value in p.tolist():
        count = 0
        while value > 1:
            value = value // 2 if value % 2 == 0 else 3 * value + 1
            count += 1
        expected.append(count)
    assert out.tolist() == expected


@pytest.mark.parametrize("bound", [-1, 2, 5, 9])
def test_calls(bound: int) -> None:
    x = _numbers(32)
    out = torch.zeros_like(x)
    with_calls[(1,)](x, out, 32, bound)

    def clipped(value: torch.Tensor, limit: int) -> torch.Tensor:
        return value if limit < 0 else value.clamp(max=limit)

    assert torch.equal(out, clipped(x, bound) + clipped(x * 2, bound - 5))


@pytest.mark.parametrize("count", [1, 2, 17])
def test_scalars_through_a_loop(count: int) -> None:
    p = _numbers(count)
    out = torch.zeros(3, dtype=torch.int32)
    scalar_state[(1,)](p, out, count)
    best, place, changes = p[0].item(), 0, 0
    for k, value in enumerate(p.tolist()):
        if value > best:
            best, place, changes = value, k, changes + 1
    assert out.tolist() == [best, place, changes]
