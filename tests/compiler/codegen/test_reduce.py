"""Reductions and scans along every axis of tiles of every shape, known operations and any region."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPES = st.lists(st.sampled_from([1, 2, 4, 8, 16, 32]), min_size=1, max_size=4).filter(
    lambda s: math.prod(s) <= 2048
)


@triton.jit
def absolute_larger(a, b):
    return tl.maximum(tl.abs(a), tl.abs(b))


@triton.jit
def matrices(a, b, c, d, e, f, g, h):
    """The product of 2x2 matrices: associative, not commutative."""
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


@triton.jit
def reduced(x, out, S0: tl.constexpr, S1: tl.constexpr, S2: tl.constexpr, WHICH: tl.constexpr):
    """The middle axis of three is reduced."""
    i, k, j = tl.arange(0, S0), tl.arange(0, S1), tl.arange(0, S2)
    a = tl.load(x + (i[:, None, None] * S1 + k[None, :, None]) * S2 + j[None, None, :])
    if WHICH == "sum":
        r = tl.sum(a, 1)
    elif WHICH == "max":
        r = tl.max(a, 1)
    elif WHICH == "min":
        r = tl.min(a, 1)
    elif WHICH == "argmax":
        r = tl.argmax(a, 1).to(a.dtype)
    elif WHICH == "argmin":
        r = tl.argmin(a, 1).to(a.dtype)
    else:
        r = tl.reduce(a, 1, absolute_larger)
    tl.store(out + i[:, None] * S2 + j[None, :], r)


@triton.jit
def matrix_products(x, out, R: tl.constexpr, N: tl.constexpr, REVERSE: tl.constexpr):
    """Each row is a chain of 2x2 matrices; `out` has every partial product."""
    i, j = tl.arange(0, R)[:, None], tl.arange(0, N)[None, :]
    at = x + (i * N + j) * 4
    a, b, c, d = tl.load(at), tl.load(at + 1), tl.load(at + 2), tl.load(at + 3)
    a, b, c, d = tl.associative_scan((a, b, c, d), 1, matrices, reverse=REVERSE)
    to = out + (i * N + j) * 4
    tl.store(to, a)
    tl.store(to + 1, b)
    tl.store(to + 2, c)
    tl.store(to + 3, d)


@triton.jit
def summed(x, out, S0: tl.constexpr, S1: tl.constexpr, S2: tl.constexpr, REVERSE: tl.constexpr):
    """The middle axis of three is summed up to each element."""
    i, k, j = tl.arange(0, S0), tl.arange(0, S1), tl.arange(0, S2)
    at = (i[:, None, None] * S1 + k[None, :, None]) * S2 + j[None, None, :]
    tl.store(out + at, tl.cumsum(tl.load(x + at), 1, reverse=REVERSE))


def _absolute_larger(a: np.ndarray) -> np.ndarray:
    return np.abs(a).max(1) if a.shape[1] > 1 else a[:, 0]


REFERENCES = {
    "sum": lambda a: a.sum(1, dtype=a.dtype),
    "max": lambda a: a.max(1),
    "min": lambda a: a.min(1),
    "argmax": lambda a: a.argmax(1).astype(a.dtype),
    "argmin": lambda a: a.argmin(1).astype(a.dtype),
    "any region": _absolute_larger,
}


def _three(shape: list[int], axis: int) -> tuple[int, int, int]:
    """Axes before, at and after `axis` as three."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _numbers(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(7).integers(-9, 10, shape)).to(dtype)


@settings(max_examples=60)
@given(
    shape=SHAPES,
    axis=st.integers(0, 3),
    which=st.sampled_from(list(REFERENCES)),
    dtype=st.sampled_from([torch.int32, torch.float32, torch.float64, torch.int64]),
)
def test_reduction(shape: list[int], axis: int, which: str, dtype: torch.dtype) -> None:
    three = _three(shape, axis % len(shape))
    x = _numbers(three, dtype)
    out = torch.full((three[0], three[2]), 77).to(dtype)
    reduced[(1,)](x, out, *three, which)
    np.testing.assert_array_equal(out.numpy(), REFERENCES[which](x.numpy()))


@settings(max_examples=40)
@given(
    shape=SHAPES,
    axis=st.integers(0, 3),
    reverse=st.booleans(),
    dtype=st.sampled_from([torch.int32, torch.float32, torch.int64]),
)
def test_running_sum(shape: list[int], axis: int, reverse: bool, dtype: torch.dtype) -> None:
    three = _three(shape, axis % len(shape))
    x, out = _numbers(three, dtype), torch.full(three, 77).to(dtype)
    summed[(1,)](x, out, *three, reverse)
    a = x.numpy()[:, ::-1] if reverse else x.numpy()
    total = a.cumsum(1, dtype=a.dtype)
    np.testing.assert_array_equal(out.numpy(), total[:, ::-1] if reverse else total)


@pytest.mark.parametrize("shape", [(1, 1), (1, 8), (4, 2), (8, 32), (32, 8), (2, 128)])
@pytest.mark.parametrize("reverse", [False, True])
def test_scan_keeps_the_order_of_what_does_not_commute(shape: tuple[int, int], reverse: bool) -> None:
    rows, count = shape
    x = torch.from_numpy(np.random.default_rng(3).integers(-2, 3, (rows, count, 2, 2))).to(torch.int64)
    out = torch.zeros((rows, count, 2, 2), dtype=torch.int64)
    expected = np.empty_like(x.numpy())
    for row in range(rows):
        total = np.eye(2, dtype=np.int64)
        for k in reversed(range(count)) if reverse else range(count):
            total = expected[row, k] = total @ x[row, k].numpy()
    matrix_products[(1,)](x, out, rows, count, reverse)
    np.testing.assert_array_equal(out.numpy(), expected)


@pytest.mark.parametrize("size", [1, 2, 16, 64, 256])
def test_largest_passes_over_nan(size: int) -> None:
    """`tl.max` gives the largest number, and NaN only where there is none."""
    x = torch.arange(size * 2, dtype=torch.float32).reshape(2, size, 1)
    x[0, : size // 2] = math.nan
    x[1] = math.nan
    out = torch.zeros(2, 1)
    reduced[(1,)](x, out, 2, size, 1, "max")
    np.testing.assert_array_equal(out.numpy()[:, 0], [size - 1, math.nan])
