"""Floating-point operations of launches: closed formulas for kernels with loops, conditions and products."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from anychip.compiler.analysis.operations import operations
from anychip.compiler.ir.inline import inline_calls
from anychip.compiler.ir.parser import parse
from anychip.runtime import launches


@triton.jit
def chain(out, source, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(source + at, mask=at < n)
    tl.store(out + at, tl.exp(x * 2.0) + x, mask=at < n)


@triton.jit
def product(out, a, b, K, B: tl.constexpr):
    lane = tl.arange(0, B)
    total = tl.zeros((B, B), tl.float32)
    for k in range(0, K, B):
        x = tl.load(a + lane[:, None] * K + (k + lane)[None, :])
        y = tl.load(b + (k + lane)[:, None] * B + lane[None, :])
        total = tl.dot(x, y, total)
    tl.store(out + lane[:, None] * B + lane[None, :], total)


@triton.jit
def triangle(out, B: tl.constexpr):
    """Program p adds B numbers p times, and every second one once more."""
    lane = tl.arange(0, B)
    x = tl.zeros((B,), tl.float32)
    for k in range(tl.program_id(0)):
        if k % 2 == 1:
            x += 2.0
        x += 1.0
    tl.store(out + tl.program_id(0) * B + lane, x)


@triton.jit
def total(out, source, B: tl.constexpr):
    tl.store(out, tl.sum(tl.load(source + tl.arange(0, B)), 0))


@triton.jit
def as_long_as_memory_says(out, count, B: tl.constexpr):
    x = tl.zeros((B,), tl.float32)
    for _ in range(tl.load(count)):
        x += 1.0
    tl.store(out + tl.arange(0, B), x)


def counted(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> int | None:
    with launches.record() as recorded:
        kernel[grid](*arguments, **constants)
    (launch,) = recorded
    module = parse(launch.origin.ttir())
    inline_calls(module)
    integers = {k: value for k, value in enumerate(arguments) if isinstance(value, int)}
    return operations(module.kernel, integers, launch.grid)


def test_elementwise() -> None:
    x = torch.zeros(1000)
    assert counted(chain, (8,), torch.empty_like(x), x, 1000, BLOCK=128) == 3 * 8 * 128


@pytest.mark.parametrize("inner", [32, 96])
def test_a_product_of_matrices(inner: int) -> None:
    a, b, out = torch.zeros(32, inner), torch.zeros(inner, 32), torch.zeros(32, 32)
    assert counted(product, (3,), out, a, b, inner, B=32) == 3 * 2 * 32 * 32 * inner


def test_loops_and_conditions_that_depend_on_the_program() -> None:
    programs = 9
    expected = sum(p + p // 2 for p in range(programs)) * 16
    assert counted(triangle, (programs,), torch.zeros(programs * 16), B=16) == expected


def test_large_grids_are_sampled() -> None:
    got = counted(triangle, (200,), torch.zeros(200 * 16), B=16)
    assert got == pytest.approx(sum(p + p // 2 for p in range(200)) * 16, rel=0.05)


def test_reductions() -> None:
    assert counted(total, (2,), torch.zeros(1), torch.zeros(64), B=64) == 2 * 64


def test_what_depends_on_memory_is_unknown() -> None:
    count = torch.tensor([2], dtype=torch.int32)
    assert counted(as_long_as_memory_says, (1,), torch.zeros(16), count, B=16) is None


def test_an_empty_grid_does_nothing() -> None:
    module = parse("tt.func public @k(%p: !tt.ptr<f32>) { tt.return }")
    assert operations(module.kernel, {}, (0, 1, 1)) == 0
