"""Arithmetic of every element type against NumPy: wrapping integers, signs of division and remainder, shifts,
comparisons with NaN, conversions between all types, special values, tiles mixed with scalars."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given, settings
from hypothesis import strategies as st

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
SIZE = 128


@triton.jit
def calculate(x, y, out, B: tl.constexpr, KIND: tl.constexpr):
    i = tl.arange(0, B)
    a = tl.load(x + i)
    b = tl.load(y + i)
    if KIND == "add":
        r = a + b
    elif KIND == "sub":
        r = a - b
    elif KIND == "mul":
        r = a * b
    elif KIND == "div":
        r = a / b
    elif KIND == "floordiv":
        r = a // b
    elif KIND == "mod":
        r = a % b
    elif KIND == "and":
        r = a & b
    elif KIND == "or":
        r = a | b
    elif KIND == "xor":
        r = a ^ b
    elif KIND == "shl":
        r = a << b
    elif KIND == "shr":
        r = a >> b
    elif KIND == "lt":
        r = a < b
    elif KIND == "le":
        r = a <= b
    elif KIND == "eq":
        r = a == b
    elif KIND == "ne":
        r = a != b
    elif KIND == "gt":
        r = a > b
    elif KIND == "min":
        r = tl.minimum(a, b)
    elif KIND == "max":
        r = tl.maximum(a, b)
    elif KIND == "where":
        r = tl.where(a < b, a, b + a)
    else:
        r = -a + ~b
    tl.store(out + i, r)


@triton.jit
def convert(x, out, B: tl.constexpr):
    i = tl.arange(0, B)
    tl.store(out + i, tl.load(x + i).to(out.dtype.element_ty))


@triton.jit
def with_scalars(x, out, a, b, c, B: tl.constexpr):
    """Scalars of the launch in every place where a tile may stand."""
    i = tl.arange(0, B)
    value = tl.load(x + i)
    tl.store(out + i, tl.where(i < a, value * b, c) + tl.where(a > 3, value, b))


def _integers(dtype: str, seed: int, size: int = SIZE) -> np.ndarray:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    values = rng.integers(limits.min, limits.max, size, dtype=dtype, endpoint=True)
    small = rng.integers(0, 12, size).astype(dtype)
    values = np.where(rng.random(size) < 0.5, values, small)
    values[:4] = [limits.min, limits.max, 0, 1]
    return values.astype(dtype)


def _floats(dtype: str, seed: int, size: int = SIZE) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(size) * 10.0 ** rng.integers(-6, 5, size)
    values[:10] = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-40, 65504.0, -2.5]
    return torch.from_numpy(rng.permutation(values)).to(getattr(torch, dtype))


def _wrapped(values: list[int], dtype: str) -> np.ndarray:
    bits = np.iinfo(dtype).bits
    unsigned = np.array([int(v) & ((1 << bits) - 1) for v in values], dtype=f"uint{bits}")
    return unsigned.view(dtype)


EXACT = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
    "mod": lambda a, b: a - b * (abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)),
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b,
    "shr": lambda a, b: a >> b,
    "min": min,
    "max": max,
    "where": lambda a, b: a if a < b else a + b,
    "other": lambda a, b: -a + ~b,
}
COMPARISONS = {"lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal, "gt": np.greater}


def _run(x: torch.Tensor, y: torch.Tensor, out: torch.Tensor, kind: str) -> np.ndarray:
    calculate[(1,)](x, y, out, x.numel(), kind)
    return out.numpy()


@pytest.mark.parametrize("kind", [*EXACT, *COMPARISONS])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(dtype: str, kind: str) -> None:
    """Wraps around; quotients truncate, remainders have the dividend's sign, as in C."""
    a, b = _integers(dtype, 1), _integers(dtype, 2)
    if kind in ("floordiv", "mod"):
        b[b == 0] = 3
        b[:2] = [3, 7]
    if kind in ("shl", "shr"):
        b = np.abs(b.astype(np.int64) % np.iinfo(dtype).bits).astype(dtype)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    if kind in COMPARISONS:
        got = _run(x, y, torch.zeros(SIZE, dtype=torch.bool), kind)
        np.testing.assert_array_equal(got, COMPARISONS[kind](a, b))
        return
    got = _run(x, y, torch.zeros_like(x), kind)
    exact = [EXACT[kind](int(p), int(q)) for p, q in zip(a, b, strict=True)]
    np.testing.assert_array_equal(got, _wrapped(exact, dtype))


def test_division_of_the_smallest_integer_does_not_end_the_process() -> None:
    for dtype in ("int8", "int16", "int32", "int64"):
        for kind in ("floordiv", "mod"):
            x = torch.full((SIZE,), torch.iinfo(getattr(torch, dtype)).min, dtype=getattr(torch, dtype))
            y = torch.tensor([-1, 0, 1, 2] * (SIZE // 4), dtype=x.dtype)
            got = _run(x, y, torch.zeros_like(x), kind)
            expected = x.numpy()[2] if kind == "floordiv" else 0
            assert got[2] == expected


@pytest.mark.parametrize("kind", ["add", "sub", "mul", "div", *COMPARISONS, "where"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_floats(dtype: str, kind: str) -> None:
    """Every result is the one that PyTorch gives: each operation rounds once."""
    x, y = _floats(dtype, 3), _floats(dtype, 4)
    functions = {
        "add": torch.add,
        "sub": torch.sub,
        "mul": torch.mul,
        "div": torch.div,
        "lt": torch.lt,
        "le": torch.le,
        "eq": torch.eq,
        "ne": torch.ne,
        "gt": torch.gt,
        "where": lambda a, b: torch.where(a < b, a, b + a),
    }
    expected = functions[kind](x, y)
    out = torch.zeros_like(expected)
    calculate[(1,)](x, y, out, SIZE, kind)
    torch.testing.assert_close(out, expected, rtol=0, atol=0, equal_nan=True)


TYPES = [*INTEGERS[:5], "uint16", "uint32", *FLOATS, "bool"]


@settings(max_examples=60)
@given(source=st.sampled_from(TYPES), target=st.sampled_from(TYPES), seed=st.integers(0, 9))
def test_conversions(source: str, target: str, seed: int) -> None:
    """Between all types, for numbers that both can hold up to rounding."""
    rng = np.random.default_rng(seed)
    low = 0 if "u" in source or "u" in target or "bool" in (source, target) else -100
    values = torch.from_numpy(rng.integers(low, 2 if "bool" in (source, target) else 120, SIZE))
    x = values.to(torch.float64)
    if source in FLOATS and target in FLOATS:
        x = x * 1.2345
    x = x.to(getattr(torch, source))
    out = torch.zeros(SIZE, dtype=getattr(torch, target))
    convert[(1,)](x, out, SIZE)
    torch.testing.assert_close(out, x.to(out.dtype), rtol=0, atol=0)


@pytest.mark.parametrize("target", ["float16", "bfloat16", "float8_e5m2", "float8_e4m3fn"])
@pytest.mark.parametrize("source", ["float32", "float16", "bfloat16"])
def test_rounding_to_small_floats(source: str, target: str) -> None:
    """Random values of all magnitudes that do not overflow round to nearest, ties to even."""
    rng = np.random.default_rng(5)
    values = rng.standard_normal(4096) * 2.0 ** rng.integers(-20, 7, 4096)
    x = torch.from_numpy(values).to(getattr(torch, source))
    x[:6] = torch.tensor([0.0, -0.0, 1.0, 1.0625, 1.1875, -1.0625], dtype=torch.float64).to(x.dtype)
    out = torch.zeros(4096, dtype=getattr(torch, target))
    convert[(1,)](x, out, 4096)
    bits = torch.int16 if out.element_size() == 2 else torch.uint8
    assert torch.equal(out.view(bits), x.to(out.dtype).view(bits))


@triton.jit
def full_of(out, VALUE: tl.constexpr, B: tl.constexpr, KIND: tl.constexpr):
    i = tl.arange(0, B)
    if KIND == "full":
        tl.store(out + i, tl.full((B,), VALUE, out.dtype.element_ty))
    elif KIND == "cast":
        tl.store(out + i, tl.full((B,), VALUE, tl.float32).to(out.dtype.element_ty))
    elif KIND == "store":
        tl.store(out + i, VALUE)
    else:
        tl.store(out + i, tl.load(out + i, mask=i < 0, other=VALUE))


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_overflow_of_constants_is_that_of_loaded_values(kind: str) -> None:
    """Whoever folds the constant, Triton or LLVM, the byte is PyTorch's; 13 elements leave a tail."""
    edges = [464.0, 465.0, 480.0, 57344.0, 61440.0, 1e6, -1e6, float("inf"), float("nan"), 240.0, 248.0]
    x = torch.tensor([*edges, 0.0, 1.0])
    expected = x.to(getattr(torch, kind)).view(torch.uint8)
    out = torch.zeros(16, dtype=expected.dtype).view(getattr(torch, kind))
    for size in (1, 16):
        for start in range(0, 13, size):
            part = torch.zeros(size)
            part[: len(x[start : start + size])] = x[start : start + size]
            convert[(1,)](part, out[start : start + size], size)
    assert torch.equal(out.view(torch.uint8)[:13], expected)
    ways = {465.0: ["cast"], 61440.0: ["cast"], 1e6: ["full", "cast", "store", "load"], -1e6: ["full"]}
    for value, byte in zip(edges, expected.tolist(), strict=False):
        for way in ways.get(value, ()):
            full_of[(1,)](out, value, 4, way)
            assert out.view(torch.uint8)[:4].tolist() == [byte] * 4, (value, way)


@pytest.mark.parametrize("kind", ["float8_e5m2", "float8_e4m3fn"])
def test_every_small_float_is_read_right(kind: str) -> None:
    x = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(getattr(torch, kind))
    out = torch.zeros(256)
    convert[(1,)](x, out, 256)
    torch.testing.assert_close(out, x.float(), rtol=0, atol=0, equal_nan=True)


@settings(max_examples=15)
@given(
    a=st.integers(-2, 40),
    b=st.floats(-4, 4, width=32),
    c=st.floats(-4, 4, width=32),
    size=st.sampled_from([1, 2, 16, 32]),
)
def test_scalars_of_the_launch(a: int, b: float, c: float, size: int) -> None:
    x = torch.arange(size, dtype=torch.float32)
    out = torch.zeros(size)
    with_scalars[(1,)](x, out, a, b, c, size)
    index = torch.arange(size)
    expected = torch.where(index < a, x * b, torch.tensor(c)) + (x if a > 3 else torch.tensor(b))
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-6)
