"""`tl.dot` against float64: every operand type and accumulator, all input precisions, small, tall and batched
shapes, transposed operands, products in loops, chained products, accumulators that are used again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

FLOATS = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "float8_e5m2": torch.float8_e5m2,
    "float8_e4m3fn": torch.float8_e4m3fn,
}
RESULTS = {"float32": tl.float32, "float16": tl.float16, "float64": tl.float64, "int32": tl.int32}
SIZES = [1, 2, 4, 8, 16, 32, 64]


@triton.jit
def product(
    a,
    b,
    c,
    out,
    am,
    ak,
    bk,
    bn,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    RESULT: tl.constexpr,
    START: tl.constexpr,
    PRECISION: tl.constexpr,
):
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    x = tl.load(a + m[:, None] * am + k[None, :] * ak)
    y = tl.load(b + k[:, None] * bk + n[None, :] * bn)
    place = m[:, None] * N + n[None, :]
    if START:
        total = tl.dot(x, y, tl.load(c + place), out_dtype=RESULT, input_precision=PRECISION)
    else:
        total = tl.dot(x, y, out_dtype=RESULT, input_precision=PRECISION)
    tl.store(out + place, total)


@triton.jit
def batched(
    a, b, out, B: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, SWAP: tl.constexpr
):
    batch = tl.arange(0, B)[:, None, None]
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    x = tl.load(a + batch * (M * K) + m[None, :, None] * K + k[None, None, :])
    if SWAP:
        y = tl.load(b + batch * (K * N) + n[None, :, None] * K + k[None, None, :])
        y = tl.trans(y, 0, 2, 1)
    else:
        y = tl.load(b + batch * (K * N) + k[None, :, None] * N + n[None, None, :])
    tl.store(out + batch * (M * N) + m[None, :, None] * N + n[None, None, :], tl.dot(x, y))


@triton.jit
def in_a_loop(a, b, out, count, N: tl.constexpr, USE: tl.constexpr):
    i = tl.arange(0, N)
    place = i[:, None] * N + i[None, :]
    total = tl.zeros((N, N), tl.float32)
    for step in range(count):
        x = tl.load(a + step * N * N + place)
        y = tl.load(b + step * N * N + place)
        total = tl.dot(x, y, total)
        if USE:
            total = total * 0.5 + tl.sum(total, 1)[:, None] * 0.25
    tl.store(out + place, total)


@triton.jit
def chained(a, b, c, out, second, N: tl.constexpr):
    """(a b) c, with a b, its maximum and its transpose used besides."""
    i = tl.arange(0, N)
    place = i[:, None] * N + i[None, :]
    z = tl.load(c + place)
    first = tl.dot(tl.load(a + place), tl.load(b + place))
    scaled = first - tl.max(first, 1)[:, None]
    tl.store(out + place, tl.dot(scaled, z, first))
    tl.store(second + place, tl.dot(tl.trans(first), z))


def _random(shape: tuple[int, ...], kind: str, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if kind == "int8":
        return torch.randint(-128, 128, shape, generator=generator).to(torch.int8)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(FLOATS[kind])


def _exact(x: torch.Tensor) -> np.ndarray:
    return x.to(torch.float64).numpy()


def _check(
    sizes: tuple[int, int, int],
    kind: str,
    result: str,
    start: bool,
    flip: tuple[bool, bool],
    precision: str = "ieee",
    tolerance: float = 1e-5,
) -> None:
    m, n, k = sizes
    a = _random((k, m), kind, 1).T if flip[0] else _random((m, k), kind, 1)
    b = _random((n, k), kind, 2).T if flip[1] else _random((k, n), kind, 2)
    dtype = torch.int32 if result == "int32" else FLOATS[result]
    c = _random((m, n), "int8", 3).to(dtype)
    out = torch.zeros((m, n), dtype=dtype)
    product[(1,)](a, b, c, out, *a.stride(), *b.stride(), m, n, k, RESULTS[result], start, precision)
    expected = _exact(a) @ _exact(b) + (_exact(c) if start else 0)
    scale = np.abs(_exact(a)) @ np.abs(_exact(b)) + 128
    assert np.all(np.abs(_exact(out) - expected) <= tolerance * scale)


TYPES = [
    ("float32", "float32", 1e-6),
    ("float16", "float32", 1e-6),
    ("bfloat16", "float32", 1e-6),
    ("float8_e5m2", "float32", 1e-6),
    ("float8_e4m3fn", "float32", 1e-6),
    ("float64", "float64", 1e-14),
    ("float16", "float16", 1e-3),
    ("int8", "int32", 0.0),
]


@pytest.mark.parametrize(("kind", "result", "tolerance"), TYPES, ids=lambda v: str(v))
@pytest.mark.parametrize("start", [False, True], ids=["from zero", "from c"])
def test_types(kind: str, result: str, tolerance: float, start: bool) -> None:
    _check((16, 32, 64), kind, result, start, (False, False), tolerance=tolerance)


@settings(max_examples=40)
@given(
    sizes=st.tuples(st.sampled_from(SIZES), st.sampled_from(SIZES), st.sampled_from(SIZES)),
    case=st.sampled_from(TYPES),
    start=st.booleans(),
    flip=st.tuples(st.booleans(), st.booleans()),
)
def test_shapes(
    sizes: tuple[int, int, int], case: tuple[str, str, float], start: bool, flip: tuple[bool, bool]
) -> None:
    kind, result, tolerance = case
    _check(sizes, kind, result, start, flip, tolerance=tolerance)


@pytest.mark.parametrize("precision", ["tf32", "tf32x3", "ieee", "bf16x3", "bf16x6"])
def test_input_precisions(precision: str) -> None:
    tolerance = {"tf32": 2e-3, "bf16x3": 1e-4}.get(precision, 1e-5)
    _check((32, 32, 32), "float32", "float32", True, (False, True), precision, tolerance)


@settings(max_examples=15)
@given(
    sizes=st.tuples(*[st.sampled_from([1, 2, 4]), *[st.sampled_from([1, 4, 16, 32])] * 3]),
    kind=st.sampled_from(["float32", "float16"]),
    swap=st.booleans(),
)
def test_batches(sizes: tuple[int, int, int, int], kind: str, swap: bool) -> None:
    count, m, n, k = sizes
    a, b = _random((count, m, k), kind, 4), _random((count, k, n), kind, 5)
    out = torch.zeros(count, m, n)
    batched[(1,)](a, b.transpose(1, 2).contiguous() if swap else b, out, count, m, n, k, swap)
    np.testing.assert_allclose(_exact(out), _exact(a) @ _exact(b), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("use", [False, True], ids=["accumulated", "rescaled"])
@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16"])
def test_products_in_a_loop(kind: str, count: int, use: bool) -> None:
    size = 32
    a, b = (_random((max(count, 1), size, size), kind, seed) for seed in (6, 7))
    out = torch.full((size, size), 9.0)
    in_a_loop[(1,)](a, b, out, count, size, use)
    total = np.zeros((size, size))
    for step in range(count):
        total = total + _exact(a[step]) @ _exact(b[step])
        if use:
            total = total * 0.5 + total.sum(1)[:, None] * 0.25
    np.testing.assert_allclose(_exact(out), total, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("size", [2, 16, 64])
def test_products_of_products(size: int) -> None:
    a, b, c = (_random((size, size), "float32", seed) for seed in (8, 9, 10))
    out, second = torch.zeros(size, size), torch.zeros(size, size)
    chained[(1,)](a, b, c, out, second, size)
    first = _exact(a) @ _exact(b)
    expected = (first - first.max(1)[:, None]) @ _exact(c) + first
    np.testing.assert_allclose(_exact(out), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(_exact(second), first.T @ _exact(c), rtol=1e-4, atol=1e-3)
