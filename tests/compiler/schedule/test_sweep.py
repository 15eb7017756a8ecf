"""Loops whose carried tiles stay in registers: which loops they are, and that every element still goes
its own way through the loop, bit for bit, however many iterations there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from tests.compiler.schedule.test_schedule import scheduled

ROUNDS = (0, 1, 3, 8, 9, 40)
"""Up to and beyond the iterations for which a large tile is read in pieces."""


@triton.jit
def row_sum(x, out, n, B: tl.constexpr):
    row = tl.program_id(0)
    lane = tl.arange(0, B)
    total = tl.zeros((B,), tl.float32)
    for start in range(0, n, B):
        total += tl.load(x + row * n + start + lane, mask=start + lane < n, other=0.0)
    tl.store(out + row, tl.sum(total, 0))


@triton.jit
def tile_sum(x, out, rounds, B: tl.constexpr):
    lane = tl.arange(0, B)
    total = tl.load(x + lane)
    for k in range(rounds):
        total = total * 0.5 + tl.load(x + k * B + lane)
    tl.store(out + lane, total)


@triton.jit
def nested_sum(x, out, rows, columns, B: tl.constexpr):
    lane = tl.arange(0, B)
    total = tl.zeros((B,), tl.float32)
    largest = tl.full((B,), float("-inf"), tl.float32)
    for r in range(rows):
        for c in range(columns):
            value = tl.load(x + (r * columns + c) * B + lane)
            total += value
            largest = tl.maximum(largest, value)
        total *= 0.5
    tl.store(out + lane, total)
    tl.store(out + B, tl.max(largest, 0))


@triton.jit
def column_sums(x, out, rows, columns, R: tl.constexpr, C: tl.constexpr):
    column = tl.program_id(0) * C + tl.arange(0, C)
    total = tl.zeros((R, C), tl.float32)
    for start in range(0, rows, R):
        row = start + tl.arange(0, R)
        mask = (row < rows)[:, None] & (column < columns)[None, :]
        total += tl.load(x + row[:, None] * columns + column[None, :], mask=mask, other=0.0)
    tl.store(out + column, tl.sum(total, 0), mask=column < columns)


@triton.jit
def walking_pointer(x, out, last, rounds, B: tl.constexpr):
    """The scalar that stands for the pointer is used after the loop, too."""
    lane = tl.arange(0, B)
    at = x + lane
    total = tl.zeros((B,), tl.float32)
    for _ in range(rounds):
        total += tl.load(at)
        at += B
    tl.store(out, tl.sum(total, 0))
    tl.store(last + lane, tl.load(at))


@triton.jit
def neighbours(x, out, rounds, B: tl.constexpr):
    lane = tl.arange(0, B)
    total = tl.load(x + lane)
    for _ in range(rounds):
        total += tl.flip(total)
    tl.store(out + lane, total)


@triton.jit
def stores_inside(x, out, rounds, B: tl.constexpr):
    lane = tl.arange(0, B)
    total = tl.zeros((B,), tl.float32)
    for k in range(rounds):
        total += tl.load(x + k + lane)
        tl.store(out + lane, total)


@triton.jit
def statistics(x, out, rounds, B: tl.constexpr):
    """Two carried tiles, each with its reduction, and one that is also stored."""
    lane = tl.arange(0, B)
    total = tl.zeros((B,), tl.float32)
    squares = tl.zeros((B,), tl.float32)
    for k in range(rounds):
        value = tl.load(x + k * B + lane)
        total += value
        squares += value * value
    tl.store(out + B, tl.sum(total, 0))
    tl.store(out + B + 1, tl.sum(squares, 0))
    tl.store(out + lane, squares)


def test_a_tile_that_fits_in_registers_never_meets_memory() -> None:
    text = scheduled(row_sum, "*fp32 *fp32 i32", B=256)
    assert "in registers" in text
    assert "carries" not in text
    assert "or, for more" not in text


def test_a_larger_tile_stays_in_memory_for_many_iterations() -> None:
    text = scheduled(row_sum, "*fp32 *fp32 i32", B=2048)
    for part in ("in registers", "or, for more than 8 iterations", "carries"):
        assert part in text


def test_a_nested_loop_is_carried_whole() -> None:
    text = scheduled(nested_sum, "*fp32 *fp32 i32 i32", B=64)
    assert text.count("in registers") == 2
    assert "carries" not in text


@pytest.mark.parametrize("kernel", [neighbours, stores_inside])
def test_loops_that_mix_elements_or_write_are_left(kernel: triton.JITFunction) -> None:
    assert "in registers" not in scheduled(kernel, "*fp32 *fp32 i32", B=64)


def numbers(count: int) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("block", [4, 32, 256, 2048])
@pytest.mark.parametrize("n", [1, 31, 256, 1000, 20_000])
def test_row_sums(n: int, block: int) -> None:
    x, out = numbers(3 * n).view(3, n), torch.empty(3)
    row_sum[(3,)](x, out, n, B=block)
    np.testing.assert_allclose(out.numpy(), x.double().sum(1).numpy(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("block", [8, 256, 4096])
@pytest.mark.parametrize("rounds", ROUNDS)
def test_every_element_keeps_its_order(rounds: int, block: int) -> None:
    x, out = numbers(max(rounds, 1) * block), torch.empty(block)
    tile_sum[(1,)](x, out, rounds, B=block)
    expected = x[:block].clone()
    for k in range(rounds):
        expected = torch.addcmul(x[k * block : (k + 1) * block], expected, torch.tensor(0.5))
    assert torch.equal(out, expected)


@pytest.mark.parametrize("block", [16, 1024])
@pytest.mark.parametrize(("rows", "columns"), [(0, 3), (3, 0), (2, 5), (12, 3)])
def test_nested_loops(rows: int, columns: int, block: int) -> None:
    x, out = numbers(max(1, rows * columns) * block), torch.empty(block + 1)
    nested_sum[(1,)](x, out, rows, columns, B=block)
    data = x[: rows * columns * block].view(rows, columns, block)
    expected = torch.zeros(block)
    for r in range(rows):
        for c in range(columns):
            expected += data[r, c]
        expected *= 0.5
    assert torch.equal(out[:block], expected)
    assert out[block] == (data.max() if data.numel() else float("-inf"))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (7, 100), (64, 64), (1000, 300)])
def test_column_sums(rows: int, columns: int) -> None:
    x, out = numbers(rows * columns).view(rows, columns), torch.empty(columns)
    column_sums[(triton.cdiv(columns, 64),)](x, out, rows, columns, R=8, C=64)
    np.testing.assert_allclose(out.numpy(), x.double().sum(0).numpy(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("block", [64, 2048])
@pytest.mark.parametrize("rounds", ROUNDS)
def test_scalars_of_the_loop_outlive_it(rounds: int, block: int) -> None:
    x, out, last = numbers((rounds + 1) * block), torch.empty(1), torch.empty(block)
    walking_pointer[(1,)](x, out, last, rounds, B=block)
    assert torch.equal(last, x[rounds * block :])
    np.testing.assert_allclose(
        out.numpy(), x[: rounds * block].double().sum(0, keepdim=True), rtol=1e-4, atol=1e-3
    )


@pytest.mark.parametrize("block", [32, 1024])
@pytest.mark.parametrize("rounds", ROUNDS)
def test_two_tiles_and_their_reductions(rounds: int, block: int) -> None:
    x, out = numbers(max(rounds, 1) * block), torch.empty(block + 2)
    statistics[(1,)](x, out, rounds, B=block)
    data = x[: rounds * block].view(rounds, block).double()
    np.testing.assert_allclose(out[:block].numpy(), data.square().sum(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(out[block].numpy(), data.sum(), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(out[block + 1].numpy(), data.square().sum(), rtol=1e-4, atol=1e-3)


@triton.jit
def sum_by_weights(x, weights, sums, out, rounds, R: tl.constexpr, C: tl.constexpr):
    place = tl.arange(0, R)[:, None] * C + tl.arange(0, C)[None, :]
    total = tl.zeros((R, C), tl.float32)
    for k in range(rounds):
        total += tl.load(x + k * C + tl.arange(0, C))[None, :] * 0.5
    weight = tl.exp2(tl.load(weights + place))
    tl.store(sums + tl.arange(0, R), tl.sum(total * weight, 1))
    tl.debug_barrier()
    tl.store(out + place, total + weight)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_what_is_kept_beside_the_loop_is_written_whichever_way_it_ran(rounds: int) -> None:
    """The weights are needed again after a store that might change them: they are kept in a buffer, which
    the nest of the loop writes."""
    x = torch.randint(-8, 9, (max(rounds, 1), 64)).float()
    weights = torch.randint(-2, 3, (16, 64)).float()
    sums, out = torch.empty(16), torch.empty(16, 64)
    sum_by_weights[(1,)](x, weights, sums, out, rounds, 16, 64)
    total = x[:rounds].sum(0) * 0.5
    assert torch.equal(sums, (total * weights.exp2()).sum(1))
    assert torch.equal(out, total + weights.exp2())
