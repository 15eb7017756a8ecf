"""`tl.dot_scaled` against float64 products of numbers decoded from the tables of the OCP Microscaling Formats
specification: every format, both packing axes, missing scales, NaN scales, batches, nvfp4's groups of 16."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
DTYPES = {
    "e4m3": torch.float8_e4m3fn,
    "e5m2": torch.float8_e5m2,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@triton.jit
def scaled_product(
    a,
    b,
    scale_a,
    scale_b,
    c,
    out,
    M: tl.constexpr,
    N: tl.constexpr,
    K: tl.constexpr,
    MA: tl.constexpr,
    KA: tl.constexpr,
    KB: tl.constexpr,
    NB: tl.constexpr,
    GROUP: tl.constexpr,
    A: tl.constexpr,
    B: tl.constexpr,
    PACK_A: tl.constexpr,
    PACK_B: tl.constexpr,
    SCALE_A: tl.constexpr,
    SCALE_B: tl.constexpr,
):
    groups = tl.arange(0, K // GROUP)
    x = tl.load(a + tl.arange(0, MA)[:, None] * KA + tl.arange(0, KA))
    y = tl.load(b + tl.arange(0, KB)[:, None] * NB + tl.arange(0, NB))
    sx = None
    if SCALE_A:
        sx = tl.load(scale_a + tl.arange(0, M)[:, None] * (K // GROUP) + groups)
    sy = None
    if SCALE_B:
        sy = tl.load(scale_b + tl.arange(0, N)[:, None] * (K // GROUP) + groups)
    place = tl.arange(0, M)[:, None] * N + tl.arange(0, N)
    start = tl.load(c + place)
    total = tl.dot_scaled(x, sx, A, y, sy, B, acc=start, lhs_k_pack=PACK_A, rhs_k_pack=PACK_B)
    tl.store(out + place, total)


def _operand(
    rng: np.random.Generator, shape: tuple[int, int], kind: str, axis: int
) -> tuple[torch.Tensor, np.ndarray]:
    """A random operand as it is stored, and its numbers; e2m1 pairs share a byte along `axis`."""
    if kind == "e2m1":
        codes = rng.integers(0, 16, shape)
        low, high = (
            np.take(codes, range(0, shape[axis], 2), axis),
            np.take(codes, range(1, shape[axis], 2), axis),
        )
        return torch.from_numpy((low | high << 4).astype(np.uint8)), FP4[codes]
    values = torch.from_numpy(rng.standard_normal(shape).astype(np.float32)).to(DTYPES[kind])
    return values, values.to(torch.float64).numpy()


def _check(
    a: str, b: str, pack_a: bool, pack_b: bool, scale_a: bool, scale_b: bool, nan: bool = False
) -> None:
    m, n, k, group = 32, 16, 64, 32
    rng = np.random.default_rng(7)
    x, x_numbers = _operand(rng, (m, k), a, 1 if pack_a else 0)
    y, y_numbers = _operand(rng, (k, n), b, 0 if pack_b else 1)
    exponents = [rng.integers(120, 134, (size, k // group)).astype(np.uint8) for size in (m, n)]
    if nan:
        exponents[0][3, 1] = 255
    factors = [np.where(e == 255, np.nan, np.exp2(e.astype(np.float64) - 127)) for e in exponents]
    if scale_a:
        x_numbers = x_numbers * np.repeat(factors[0], group, 1)
    if scale_b:
        y_numbers = y_numbers * np.repeat(factors[1], group, 1).T
    start = torch.from_numpy(rng.standard_normal((m, n)).astype(np.float32))
    out = torch.full((m, n), 123.0)
    scaled_product[(1,)](
        x,
        y,
        torch.from_numpy(exponents[0]),
        torch.from_numpy(exponents[1]),
        start,
        out,
        m,
        n,
        k,
        *x.shape,
        *y.shape,
        group,
        a,
        b,
        pack_a,
        pack_b,
        scale_a,
        scale_b,
    )
    expected = start.numpy() + x_numbers @ y_numbers
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-5, atol=1e-4 * np.nanmax(np.abs(expected)))


@pytest.mark.parametrize("other", ["e2m1", "e4m3", "e5m2", "bf16", "fp16"])
@pytest.mark.parametrize("kind", ["e2m1", "e4m3", "e5m2"])
def test_formats(kind: str, other: str) -> None:
    _check(kind, other, True, True, True, other in ("e2m1", "e4m3", "e5m2"))
    _check(other, kind, True, True, False, True)


@pytest.mark.parametrize(("pack_a", "pack_b"), [(False, True), (True, False), (False, False)])
def test_packed_along_the_outer_axis(pack_a: bool, pack_b: bool) -> None:
    _check("e2m1", "e2m1", pack_a, pack_b, True, True)


def test_a_scale_of_all_ones_is_nan() -> None:
    _check("e2m1", "bf16", True, True, True, False, nan=True)


@triton.jit
def upcast_extremes(a, scale, b, out):
    row, inner, groups = tl.arange(0, 16), tl.arange(0, 32), tl.arange(0, 1)
    x = tl.load(a + row[:, None] * 32 + inner)
    s = tl.load(scale + row[:, None] + groups)
    y = tl.load(b + inner[:, None] * 16 + row)
    tl.store(out + row[:, None] * 16 + row, tl.dot_scaled(x, s, "e4m3", y, None, "bf16"))


def test_extreme_scales() -> None:
    """Scales 2**-127 and 2**127 on ones: the products are exact, subnormal and near overflow."""
    a = torch.zeros(16, 32)
    a[:, 0] = 1
    scale = torch.tensor([0, 1, 2, 126, 127, 128, 253, 254] * 2, dtype=torch.uint8)
    b = torch.zeros(32, 16, dtype=torch.bfloat16)
    b[0] = 1
    out = torch.empty(16, 16)
    upcast_extremes[(1,)](a.to(torch.float8_e4m3fn), scale, b, out)
    expected = np.ldexp(np.float64(1), scale.numpy().astype(int) - 127)
    np.testing.assert_array_equal(out.numpy().astype(np.float64), np.repeat(expected[:, None], 16, 1))
