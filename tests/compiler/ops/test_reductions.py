"""Reductions and scans over every axis of tiles of rank 1 to 5, against NumPy: sums, products, extremes
and their places, logic, several operands, functions of the user's own, reversed scans."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPES = [
    (1,),
    (2,),
    (4,),
    (8,),
    (64,),
    (512,),
    (1, 1),
    (1, 16),
    (16, 1),
    (2, 32),
    (32, 2),
    (4, 4),
    (8, 64),
    (64, 8),
    (2, 4, 8),
    (8, 1, 16),
    (16, 4, 2),
    (1, 2, 32),
    (2, 2, 2, 2),
    (4, 1, 2, 8),
    (2, 1, 4, 2, 4),
    (1, 2, 2, 1, 16),
]
CASES = [(shape, axis) for shape in SHAPES for axis in range(len(shape))]


@triton.jit
def add(a, b):
    return a + b


@triton.jit
def affine(a, b, c, d):
    """Composition of x -> a x + b and x -> c x + d: associative, but not commutative."""
    return a * c, b * c + d


@triton.jit
def keep_larger(a, i, b, j):
    more = a > b
    return tl.where(more, a, b), tl.where(more, i, j)


@triton.jit
def reduce_kernel(x, out, S: tl.constexpr, R: tl.constexpr, AXIS: tl.constexpr, KIND: tl.constexpr):
    value = tl.load(x + tl.arange(0, S[0] * S[1] * S[2] * S[3] * S[4])).reshape(S[5])
    if KIND == "sum":
        result = tl.sum(value, AXIS)
    elif KIND == "max":
        result = tl.max(value, AXIS)
    elif KIND == "min":
        result = tl.min(value, AXIS)
    elif KIND == "argmax":
        result = tl.argmax(value, AXIS)
    elif KIND == "argmin":
        result = tl.argmin(value, AXIS)
    elif KIND == "xor":
        result = tl.xor_sum(value, AXIS)
    elif KIND == "own":
        result = tl.reduce(value, AXIS, add)
    else:
        result, _ = tl.reduce((value, value * 2), AXIS, keep_larger)
    if R == 1:
        tl.store(out, tl.sum(result.reshape([1]), 0) if len(S[5]) > 1 else result)
    else:
        tl.store(out + tl.arange(0, R), result.reshape([R]))


@triton.jit
def scan_kernel(x, out, S: tl.constexpr, AXIS: tl.constexpr, KIND: tl.constexpr, REVERSE: tl.constexpr):
    size: tl.constexpr = S[0] * S[1] * S[2] * S[3] * S[4]
    value = tl.load(x + tl.arange(0, size)).reshape(S[5])
    if KIND == "sum":
        result = tl.cumsum(value, AXIS, reverse=REVERSE)
    elif KIND == "prod":
        result = tl.cumprod(value, AXIS, reverse=REVERSE)
    else:
        _, result = tl.associative_scan((value, value + 1), AXIS, affine, reverse=REVERSE)
    tl.store(out + tl.arange(0, size), result.reshape([size]))


def _five(shape: tuple[int, ...]) -> tuple[Any, ...]:
    return (*shape, *(1,) * (5 - len(shape)), shape)


REFERENCES = {
    "sum": lambda x, axis: x.sum(axis, dtype=x.dtype),
    "own": lambda x, axis: x.sum(axis, dtype=x.dtype),
    "max": lambda x, axis: x.max(axis),
    "min": lambda x, axis: x.min(axis),
    "argmax": lambda x, axis: x.argmax(axis).astype(np.int32),
    "argmin": lambda x, axis: x.argmin(axis).astype(np.int32),
    "xor": lambda x, axis: np.bitwise_xor.reduce(x, axis),
    "pair": lambda x, axis: x.max(axis),
}


def _numbers(shape: tuple[int, ...], dtype: str, seed: int, distinct: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    values = rng.permutation(size) - size // 3 if distinct else rng.integers(-9, 10, size)
    return values.astype(dtype).reshape(shape)


def _check_reduce(shape: tuple[int, ...], axis: int, kind: str, dtype: str, seed: int) -> None:
    x = _numbers(shape, dtype, seed)
    expected = np.asarray(REFERENCES[kind](x, axis))
    out = torch.full((max(1, expected.size),), 77, dtype=torch.from_numpy(expected.reshape(-1)).dtype)
    reduce_kernel[(1,)](torch.from_numpy(x), out, _five(shape), expected.size, axis, kind)
    np.testing.assert_array_equal(out.numpy(), expected.reshape(-1))


@pytest.mark.parametrize(("shape", "axis"), CASES, ids=str)
def test_sum_of_every_axis(shape: tuple[int, ...], axis: int) -> None:
    _check_reduce(shape, axis, "sum", "float32", 0)


@settings(max_examples=60)
@given(
    case=st.sampled_from(CASES),
    kind=st.sampled_from(["max", "min", "argmax", "argmin", "own", "pair"]),
    dtype=st.sampled_from(["float32", "float64", "int8", "int16", "int32", "int64"]),
    seed=st.integers(0, 99),
)
def test_reductions(case: tuple[tuple[int, ...], int], kind: str, dtype: str, seed: int) -> None:
    if kind == "own" and dtype in ("int8", "int16"):
        dtype = "int32"
    _check_reduce(*case, kind, dtype, seed)


@settings(max_examples=15)
@given(case=st.sampled_from(CASES), dtype=st.sampled_from(["int32", "int64"]), seed=st.integers(0, 99))
def test_xor(case: tuple[tuple[int, ...], int], dtype: str, seed: int) -> None:
    _check_reduce(*case, "xor", dtype, seed)


def _check_scan(shape: tuple[int, ...], axis: int, kind: str, dtype: str, reverse: bool, seed: int) -> None:
    x = _numbers(shape, dtype, seed)
    if kind != "sum":
        x = np.sign(x) + (x == 0)
    line = np.flip(x, axis) if reverse else x
    if kind == "sum":
        expected = np.cumsum(line, axis, dtype=x.dtype)
    elif kind == "prod":
        expected = np.cumprod(line, axis, dtype=x.dtype)
    else:
        rows = np.moveaxis(line, axis, 0)
        total, steps = None, []
        for row in rows:
            total = row + 1 if total is None else total * row + row + 1
            steps.append(total)
        expected = np.moveaxis(np.stack(steps), 0, axis)
    expected = np.flip(expected, axis) if reverse else expected
    out = torch.empty(x.size, dtype=torch.from_numpy(x.reshape(-1)).dtype)
    scan_kernel[(1,)](torch.from_numpy(np.ascontiguousarray(x)), out, _five(shape), axis, kind, reverse)
    np.testing.assert_array_equal(out.numpy(), np.ascontiguousarray(expected).reshape(-1))


@settings(max_examples=60)
@given(
    case=st.sampled_from(CASES),
    kind=st.sampled_from(["sum", "prod", "affine"]),
    dtype=st.sampled_from(["float32", "float64", "int32", "int64"]),
    reverse=st.booleans(),
    seed=st.integers(0, 99),
)
def test_scans(case: tuple[tuple[int, ...], int], kind: str, dtype: str, reverse: bool, seed: int) -> None:
    _check_scan(*case, kind, dtype, reverse, seed)


@triton.jit
def nan_extremes(x, out, B: tl.constexpr):
    value = tl.load(x + tl.arange(0, B))
    tl.store(out, tl.max(value, 0))
    tl.store(out + 1, tl.min(value, 0))
    tl.store(out + 2, tl.reduce(value, 0, propagating_maximum))


@triton.jit
def propagating_maximum(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@pytest.mark.parametrize("position", [0, 1, 17, 63])
def test_nan_in_extremes(position: int) -> None:
    """`tl.max` and `tl.min` ignore NaN; a maximum that propagates it gives NaN."""
    x = torch.arange(64, dtype=torch.float32)
    x[position] = float("nan")
    out = torch.zeros(3)
    nan_extremes[(1,)](x, out, 64)
    assert out[0] == x[~x.isnan()].max()
    assert out[1] == x[~x.isnan()].min()
    assert out[2].isnan()


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), -0.0, 1e38])
def test_extremes_of_equal_elements(value: float) -> None:
    x = torch.full((64,), value)
    out = torch.zeros(3)
    nan_extremes[(1,)](x, out, 64)
    assert out.tolist() == [x[0].item()] * 3
