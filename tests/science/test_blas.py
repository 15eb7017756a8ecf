"""BLAS under SciPy's names, against `scipy.linalg.blas` in all four types, with increments, offsets and
triangles; gradients against finite differences; norms at the ends of the range."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.linalg.blas as peer
import torch

from anychip.ops.launching import launch_counts
from anychip.science import blas

TYPES = {"s": np.float32, "d": np.float64, "c": np.complex64, "z": np.complex128}
N, M, K = 11, 7, 2
ALPHA, BETA = 1.5, -0.5


def drawn(letter: str, *shape: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed + sum(shape))
    x = generator.uniform(0.5, 1.5, shape) * generator.choice([-1, 1], shape)
    if letter in "cz":
        x = x + 1j * generator.standard_normal(shape)
    return x.astype(TYPES[letter])


def factors(letter: str) -> tuple[Any, Any]:
    return (ALPHA + 0.5j, BETA + 1j) if letter in "cz" else (ALPHA, BETA)


def calls(letter: str) -> Iterator[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Name without its letter, arguments and keywords."""
    a, b = factors(letter)
    x, y = drawn(letter, N), drawn(letter, N, seed=1)
    wide, tall = drawn(letter, 3 * N), drawn(letter, 3 * N, seed=1)
    square, other = drawn(letter, N, N), drawn(letter, N, N, seed=1)
    square = square + 4 * np.eye(N, dtype=square.dtype)
    rectangle, band, packed = drawn(letter, M, N), drawn(letter, 2 * K, N), drawn(letter, N * (N + 1) // 2)
    narrow = drawn(letter, K + 1, N) + 3
    steps = {"incx": 2, "offx": 1, "incy": -1, "offy": 3}
    yield "axpy", (x, y), {"a": a}
    yield "axpy", (wide, tall), {"a": a, "n": 5, **steps}
    yield "scal", (a, x), {}
    yield "scal", (a, wide), {"n": 4, "offx": 2, "incx": 3}
    yield "copy", (wide, tall), {"n": 5, **steps}
    yield "swap", (wide, tall), {"n": 5, **steps}
    for name in ("nrm2", "asum"):
        yield name, (wide,), {"n": 6, "incx": 2, "offx": 1}
    if letter in "sd":
        yield "rot", (wide, tall, 0.6, 0.8), {"n": 5, **steps}
        for flag in (-2.0, -1.0, 0.0, 1.0):
            yield "rotm", (x, y, np.array([flag, 0.5, -0.25, 2.0, 1.5])), {}
        yield "dot", (wide, tall), {"n": 5, **steps}
        yield "ger", (a, x, y[:M]), {}
    else:
        for name in ("dotu", "dotc"):
            yield name, (wide, tall), {"n": 5, **steps}
        for name in ("geru", "gerc"):
            yield name, (a, x, y), {"a": square}
    for trans in (0, 1, 2):
        rows, columns = (M, N) if trans == 0 else (N, M)
        yield "gemv", (a, rectangle, wide), {
            "beta": b, "y": y[:rows], "trans": trans, "incx": 2, "offx": 1,
        }  # fmt: skip
        yield "gemv", (a, rectangle, drawn(letter, columns)), {"trans": trans}
        yield "gbmv", (M, N, 1, K, a, band, drawn(letter, columns)), {
            "beta": b, "y": tall, "incy": 2, "trans": trans,
        }  # fmt: skip
        for lower in (0, 1):
            for diag in (0, 1):
                options = {"lower": lower, "trans": trans, "diag": diag}
                for name in ("trmv", "trsv"):
                    yield name, (square, wide), {**options, "incx": 2, "offx": 1}
                for name in ("tbmv", "tbsv"):
                    yield name, (K, narrow, x), options
                for name in ("tpmv", "tpsv"):
                    yield name, (N, packed + 2, x), options
                for side in (0, 1):
                    matrix = drawn(letter, M, N) if side else drawn(letter, N, M)
                    more = {"side": side, "lower": lower, "trans_a": trans, "diag": diag}
                    yield "trmm", (a, square, matrix), more
                    yield "trsm", (a, square, matrix), more
    for lower in (0, 1):
        alone = {"lower": lower}
        sum_ = {"beta": b, "y": y, "lower": lower}
        for name in ("symv", "hemv"):
            yield name, (a, square, x), sum_
        for name in ("sbmv", "hbmv"):
            yield name, (K, a, narrow, x), sum_
        for name in ("spmv", "hpmv"):
            yield name, (N, a, packed, x), sum_
        yield "syr", (a, wide), {"n": N, "incx": 2, "offx": 1, "a": square, **alone}
        yield "her", (ALPHA, x), {"a": square, **alone}
        yield "spr", (N, a, x, packed), alone
        yield "hpr", (N, ALPHA, x, packed), alone
        for name in ("syr2", "her2"):
            yield name, (a, x, y), {"a": square, **alone}
        for name in ("spr2", "hpr2"):
            yield name, (N, a, x, y, packed), alone
        for side in (0, 1):
            for name in ("symm", "hemm"):
                matrix = drawn(letter, M, N) if side else drawn(letter, N, M)
                yield name, (a, square, matrix), {"beta": b, "c": matrix, "side": side, **alone}
        for trans in (0, 2 if letter in "cz" else 1):
            size = M if trans == 0 else N
            c = other[:size, :size]
            for name in ("syrk", "herk"):
                if name == "syrk" and trans == 2:
                    trans = 1
                real = (ALPHA, BETA) if name == "herk" else (a, b)
                if name == "herk" and trans == 1:
                    trans = 2
                yield name, (real[0], rectangle), {"beta": real[1], "c": c, "trans": trans, **alone}
            yield "syr2k", (a, rectangle, rectangle * 0.5), {
                "beta": b, "c": c, "trans": int(trans > 0), **alone,
            }  # fmt: skip
            yield "her2k", (a, rectangle, rectangle[::-1] * 0.5), {
                "beta": BETA, "c": c, "trans": trans, **alone,
            }  # fmt: skip
    for trans_a in (0, 1, 2):
        for trans_b in (0, 1, 2):
            yield "gemm", (a, square, other), {"beta": b, "c": x[:, None] + y, "trans_a": trans_a,
                                              "trans_b": trans_b}  # fmt: skip


def copied(x: Any) -> Any:
    return np.array(x, order="F") if isinstance(x, np.ndarray) else x


SPELLED = {"nrm2": {"c": "scnrm2", "z": "dznrm2"}, "asum": {"c": "scasum", "z": "dzasum"}}


@pytest.mark.parametrize("letter", [pytest.param(one, marks=pytest.mark.slow) for one in TYPES])
def test_against_scipy(letter):
    tried = set()
    for name, arguments, keywords in calls(letter):
        spelled = SPELLED.get(name, {}).get(letter, letter + name)
        if not hasattr(peer, spelled):
            continue
        tried.add(name)
        before = sum(launch_counts.values())
        ours = getattr(blas, spelled)(
            *map(copied, arguments), **{key: copied(value) for key, value in keywords.items()}
        )
        assert sum(launch_counts.values()) > before, spelled
        wanted = getattr(peer, spelled)(
            *map(copied, arguments), **{key: copied(value) for key, value in keywords.items()}
        )
        for found, right in zip(*(x if isinstance(x, tuple) else (x,) for x in (ours, wanted)), strict=True):
            eps = np.finfo(TYPES[letter]).eps
            scale = max(1.0, float(np.abs(right).max()))
            np.testing.assert_allclose(
                found, right, atol=100 * eps * scale, rtol=0, err_msg=f"{spelled} {keywords.keys()}"
            )
            if isinstance(right, np.ndarray):
                assert found.dtype == right.dtype
            else:
                assert type(found) is type(right)
    assert len(tried) > 25


def test_some_routines():
    x, y = drawn("d", 9), drawn("d", 9, seed=1)
    before = launch_counts["plane_kernel"]
    held = blas.axpy(x, y2 := y.copy(), a=2.0)
    assert held is y2
    np.testing.assert_allclose(y2, peer.daxpy(x, y.copy(), a=2.0), rtol=1e-15)
    assert launch_counts["plane_kernel"] == before + 1
    a = drawn("d", 9, 9)
    np.testing.assert_allclose(blas.dsymv(1.0, a, x, lower=1), peer.dsymv(1.0, a, x, lower=1), rtol=1e-13)
    found = blas.symv(1.0, a, torch.from_numpy(x), lower=1)
    assert isinstance(found, torch.Tensor)


@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200, 5e-324])
def test_norms_at_the_ends_of_the_range(scale):
    x = np.array([3.0, 4.0, 0.0, 12.0]) * scale
    assert blas.dnrm2(x) == pytest.approx(13 * scale, rel=1e-15)
    assert blas.nrm2(torch.tensor([3e3, 4e3], dtype=torch.float16)).item() == 5e3


def test_norms_of_what_is_not_finite():
    assert blas.dnrm2(np.array([1.0, np.inf])) == math.inf
    assert math.isnan(blas.dnrm2(np.array([1.0, np.nan])))
    assert blas.dnrm2(np.zeros(0)) == 0
    assert blas.idamax(np.array([1.0, -3.0, 3.0])) == 1
    assert blas.idamin(np.array([1.0, -0.5, 0.5, 3.0])) == 1


def test_a_factor_of_zero_reads_nothing():
    nan = np.full((3, 3), np.nan)
    a, x = np.eye(3), np.arange(3.0)
    np.testing.assert_array_equal(blas.dgemv(1.0, a, x, 0.0, nan[0]), x)
    # beyond the diagonals that are stored nothing is read either
    lower = np.tril(np.ones((3, 3))) + np.triu(nan, 1)
    np.testing.assert_array_equal(blas.dtrmv(lower, x, lower=1), [0, 1, 3])


@pytest.mark.parametrize(
    "pair", [(3.0, 4.0), (-1.0, 2.0), (0.0, 2.0), (1.0, 0.0), (1e300, 1e300), (5e-324, 0.0)]
)
def test_rotations_of_two_numbers(pair):
    assert blas.drotg(*pair) == pytest.approx(peer.drotg(*pair), rel=1e-14)
    a, b = pair[0] * (1 + 2j), pair[1] * (0.5 - 1j)
    c, s = blas.zrotg(a, b)
    assert abs(c * b - complex(s).conjugate() * a) <= 1e-15 * max(abs(a), abs(b))
    assert c**2 + abs(s) ** 2 == pytest.approx(1)


def test_modified_rotations():
    generator = np.random.default_rng(0)
    for _ in range(200):
        d1, d2, x, y = generator.standard_normal(4) * 10.0 ** generator.integers(-5, 6, 4)
        np.testing.assert_allclose(
            blas.drotmg(d1, d2, x, y), peer.drotmg(d1, d2, x, y), rtol=1e-13, err_msg=str((d1, d2, x, y))
        )


GRADIENTS = {
    "hemv": lambda a, x, y: blas.hemv(1.5 + 1j, a, x, lower=1),
    "gbmv": lambda a, x, y: blas.gbmv(4, 4, 1, 2, 1.5, a, x, trans=2),
    "hbmv": lambda a, x, y: blas.hbmv(2, 0.5j, a[:3], x),
    "hpmv": lambda a, x, y: blas.hpmv(4, 1.5, a.reshape(-1)[:10], x, lower=1),
    "symv": lambda a, x, y: blas.symv(1.5, a, x),
    "trmv": lambda a, x, y: blas.trmv(a, x, trans=2, diag=1),
    "trsv": lambda a, x, y: blas.trsv(a, x, lower=1, trans=1),
    "tpsv": lambda a, x, y: blas.tpsv(4, a.reshape(-1)[:10], x, trans=2, lower=1),
    "her": lambda a, x, y: blas.her(1.5, x, a=a),
    "her2": lambda a, x, y: blas.her2(1.5 + 1j, x, y, a=a, lower=1),
    "rot": lambda a, x, y: blas.rot(x, y, 0.6, 0.8j),
    "nrm2": lambda a, x, y: blas.nrm2(x),
    "asum": lambda a, x, y: blas.asum(x),
    "dotc": lambda a, x, y: blas.dotc(x, y),
    "herk": lambda a, x, y: blas.herk(1.5, a, 0.5, x[:, None] * y, lower=1),
    "her2k": lambda a, x, y: blas.her2k(1.5j, a, x[:, None] * y),
    "hemm": lambda a, x, y: blas.hemm(1.5, a, x[:, None] * y, side=1),
    "trsm": lambda a, x, y: blas.trsm(1.5, a, x[:, None] * y, side=1, trans_a=2),
}


@pytest.mark.parametrize(
    "name", [one if one == "hemv" else pytest.param(one, marks=pytest.mark.slow) for one in GRADIENTS]
)
def test_gradients(name):
    a = torch.tensor(drawn("z", 4, 4) + 3 * np.eye(4), requires_grad=True)
    x, y = (torch.tensor(drawn("z", 4, seed=seed), requires_grad=True) for seed in (0, 1))
    assert torch.autograd.gradcheck(GRADIENTS[name], (a, x, y))


@pytest.mark.slow
def test_halves_of_a_product_with_itself():
    a = drawn("d", 300, 20)
    np.testing.assert_allclose(blas.dsyrk(1.0, a, lower=1), np.tril(a @ a.T), atol=1e-12)


def test_what_is_refused():
    with pytest.raises(TypeError, match="Complex"):
        blas.daxpy(np.ones(2) * 1j, np.ones(2))
    with pytest.raises(ValueError, match="shorter"):
        blas.daxpy(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="square"):
        blas.dsymv(1.0, np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="could not be found"):
        blas.get_blas_funcs("nothing")
    assert blas.get_blas_funcs("gemv", (np.ones(1, np.float32),)).keywords == {"dtype": torch.float32}
    assert blas.get_blas_funcs(["ger", "symv"], dtype=np.complex128)[0].func is blas.geru
