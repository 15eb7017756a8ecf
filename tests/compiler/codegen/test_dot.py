"""Matrix products: every shape of tile and type, operands that are computed, and register blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

from anychip.compiler import targets
from anychip.compiler.codegen.dot import block_shape


@triton.jit
def product(
    x, y, c, out, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, ACROSS: tl.constexpr, ADD: tl.constexpr
):
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    a = tl.load(x + m[:, None] * K + k[None, :])
    if ACROSS:
        b = tl.trans(tl.load(y + n[:, None] * K + k[None, :]))
    else:
        b = tl.load(y + k[:, None] * N + n[None, :])
    at = m[:, None] * N + n[None, :]
    kind: tl.constexpr = c.dtype.element_ty
    if ADD:
        total = tl.dot(a, b, tl.load(c + at), input_precision="ieee", out_dtype=kind)
    else:
        total = tl.dot(a, b, input_precision="ieee", out_dtype=kind)
    tl.store(out + at, total)


@triton.jit
def batch(x, y, out, B: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    b = tl.arange(0, B)[:, None, None]
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    left = tl.load(x + b * (M * K) + m[None, :, None] * K + k[None, None, :])
    right = tl.load(y + b * (K * N) + k[None, :, None] * N + n[None, None, :])
    total = tl.dot(left, right, input_precision="ieee")
    tl.store(out + b * (M * N) + m[None, :, None] * N + n[None, None, :], total)


@triton.jit
def chained(x, out, rounds, N: tl.constexpr):
    """Products whose operands are computed from products, and an accumulator that is an expression."""
    at = tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
    a = tl.load(x + at)
    total = a * 0 + 1
    for k in range(rounds):
        p = tl.dot(a, tl.trans(a) + k, total * 2 + tl.sum(total, 1)[:, None] * 0, input_precision="ieee")
        total = p - tl.max(tl.max(p, 1), 0) + tl.dot(tl.trans(total) * 0 + 1, a, input_precision="ieee")
    tl.store(out + at, total)


TYPES = {
    "f32": (torch.float32, torch.float32),
    "f64": (torch.float64, torch.float64),
    "f16": (torch.float16, torch.float32),
    "bf16": (torch.bfloat16, torch.float32),
    "i8": (torch.int8, torch.int32),
    "f8": (torch.float8_e5m2, torch.float32),
    "f16 to f16": (torch.float16, torch.float16),
}


def _numbers(shape: tuple[int, ...], step: int, dtype: torch.dtype) -> torch.Tensor:
    """Small integers, which every type holds exactly."""
    return ((torch.arange(int(np.prod(shape))) * step) % 9 - 4).reshape(shape).to(torch.float32).to(dtype)


@settings(max_examples=40)
@given(
    kind=st.sampled_from(list(TYPES)),
    m=st.sampled_from([1, 2, 4, 16, 32, 128]),
    n=st.sampled_from([1, 2, 8, 16, 32, 128]),
    k=st.sampled_from([1, 2, 4, 16, 32, 64]),
    across=st.booleans(),
    add=st.booleans(),
)
def test_product(kind: str, m: int, n: int, k: int, across: bool, add: bool) -> None:
    small, wide = TYPES[kind]
    x, y, c = _numbers((m, k), 5, small), _numbers((k, n), 7, small), _numbers((m, n), 11, wide)
    out = torch.full((m, n), 99.0).to(wide)
    given_y = y.double().T.contiguous().to(torch.float32).to(small) if across else y
    product[(1,)](x, given_y, c, out, m, n, k, across, add)
    expected = x.double() @ y.double() + (c.double() if add else 0)
    np.testing.assert_array_equal(out.double().numpy(), expected.numpy())


@pytest.mark.parametrize("shape", [(2, 16, 16, 16), (4, 16, 32, 64), (1, 32, 16, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_batch_of_products(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    b, m, n, k = shape
    x, y = _numbers((b, m, k), 5, dtype), _numbers((b, k, n), 7, dtype)
    out = torch.zeros(b, m, n)
    batch[(1,)](x, y, out, b, m, n, k)
    assert torch.equal(out.double(), x.double() @ y.double())


@pytest.mark.parametrize("rounds", [0, 1, 3])
@pytest.mark.parametrize("size", [16, 32])
def test_products_of_products(size: int, rounds: int) -> None:
    x, out = _numbers((size, size), 5, torch.float32), torch.zeros(size, size)
    chained[(1,)](x, out, rounds, size)
    a, total = x.double(), torch.ones(size, size).double()
    for k in range(rounds):
        p = a @ (a.T + k) + total * 2
        total = p - p.max() + torch.ones_like(a) @ a
    assert torch.equal(out.double(), total)


@given(
    name=st.sampled_from(targets.names()),
    rows=st.sampled_from([1, 2, 4, 8, 16, 64, 128]),
    vectors=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_register_block(name: str, rows: int, vectors: int) -> None:
    """It divides the tile, and with its operands fits into the registers."""
    chip = targets.get(name)
    height, width = block_shape(chip, rows, vectors)
    assert rows % height == 0
    assert vectors % width == 0
    assert (height, width) == (1, 1) or height * width + width + 1 <= max(chip.vector_registers, 8)
