"""Kernels far longer than people write and generators do write: chains of hundreds of operations, in values
and in addresses, and many tensors at once, whose work at compile time must not grow with its square."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from anychip.compiler import targets
from anychip.compiler.ir.parser import parse
from anychip.compiler.schedule import placement
from anychip.compiler.schedule.scheduler import schedule

ROUNDS = 250
"""Each of two operations that depend on one another: more than Python's stack holds calls for."""


@triton.jit
def long_value(x, out, B: tl.constexpr, ROUNDS: tl.constexpr):
    lane = tl.arange(0, B)
    value = tl.load(x + lane)
    for k in tl.static_range(ROUNDS):
        value = value * 0.5 + (k % 3)
    tl.store(out + lane, value)


@triton.jit
def long_address(x, out, B: tl.constexpr, ROUNDS: tl.constexpr):
    lane = tl.arange(0, B)
    place = lane
    for k in tl.static_range(ROUNDS):
        place = (place ^ (k + 1)) + lane
    tl.store(out + lane, tl.load(x + place % B))


def test_a_long_chain_of_values() -> None:
    x = torch.randn(64, generator=torch.Generator().manual_seed(1))
    out = torch.empty(64)
    long_value[(1,)](x, out, 64, ROUNDS)
    expected = x.double().numpy()
    for k in range(ROUNDS):
        expected = expected * 0.5 + k % 3
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5)


def test_a_long_chain_in_an_address() -> None:
    x = torch.arange(64, dtype=torch.float32)
    out = torch.empty(64)
    long_address[(1,)](x, out, 64, ROUNDS)
    lane = np.arange(64)
    place = lane
    for k in range(ROUNDS):
        place = (place ^ (k + 1)) + lane
    np.testing.assert_array_equal(out.numpy(), place % 64)


def many(count: int) -> str:
    """A kernel that loads `count` tensors and stores as many, each made of two of the former."""
    pointers = [f"%{kind}{k}: !tt.ptr<f32>" for kind in "pq" for k in range(count)]
    lines = ["%i = tt.make_range {end = 64 : i32, start = 0 : i32} : tensor<64xi32>"]
    for kind in "pq":
        for k in range(count):
            lines += [
                f"%{kind}s{k} = tt.splat %{kind}{k} : !tt.ptr<f32> -> tensor<64x!tt.ptr<f32>>",
                f"%{kind}a{k} = tt.addptr %{kind}s{k}, %i : tensor<64x!tt.ptr<f32>>, tensor<64xi32>",
            ]
    lines += [f"%x{k} = tt.load %pa{k} : tensor<64x!tt.ptr<f32>>" for k in range(count)]
    for k in range(count):
        lines += [
            f"%y{k} = arith.addf %x{k}, %x{(k + 1) % count} : tensor<64xf32>",
            f"tt.store %qa{k}, %y{k} : tensor<64x!tt.ptr<f32>>",
        ]
    body = "\n    ".join([*lines, "tt.return"])
    return f"module {{\n  tt.func public @many({', '.join(pointers)}) {{\n    {body}\n  }}\n}}\n"


def test_work_grows_with_the_number_of_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    real = placement.operand_points

    def counted(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        return real(*arguments)

    monkeypatch.setattr(placement, "operand_points", counted)
    taken = []
    for count in (8, 64):
        steps = 0
        schedule(parse(many(count)).kernel, targets.get("x86-64-v4"))
        taken.append(steps)
    assert 0 < taken[1] <= 10 * taken[0], "eight times the tensors are eight times the work"
