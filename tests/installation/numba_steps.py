"""What numba does in the processes of `test_numba`: each step compiles and runs functions and compares what
they give with NumPy. Every call compiles anew, except `cached`, whose machine code numba keeps on disk."""

from __future__ import annotations

import itertools
from typing import Any

import numba
import numpy as np
import pytest

_numbers = itertools.count(1)


@numba.njit(cache=True)
def _horner(x: float, degree: int) -> float:
    total = 0.0
    for power in range(degree, -1, -1):
        total = total * x + power
    return total


def serial() -> None:
    """Loops, calls of the C library, vectors that LLVM forms from loops, an exception out of a function."""
    number = next(_numbers)

    @numba.njit
    def terms(x: np.ndarray) -> tuple[np.ndarray, float]:
        out = np.empty_like(x)
        total = 0.0
        for i in range(x.size):
            out[i] = np.exp(-x[i] * number) + np.log1p(x[i])
            total += out[i] * x[i]
        if total < 0:
            raise ValueError("a negative total")
        return out, total

    @numba.vectorize(["float32(float32, float32)", "float64(float64, float64)"])
    def bent(x: Any, y: Any) -> Any:
        return x * y + number if x > y else x - y

    x = np.random.default_rng(number).uniform(0, 2, 3001)
    out, total = terms(x)
    right = np.exp(-x * number) + np.log1p(x)
    np.testing.assert_allclose(out, right, rtol=1e-14)
    np.testing.assert_allclose(total, (right * x).sum(), rtol=1e-12)
    with pytest.raises(ValueError, match="a negative total"):
        terms(np.array([-0.9]))
    single, other = x[:1500].astype(np.float32), x[1500:3000].astype(np.float32)
    np.testing.assert_array_equal(
        bent(single, other), np.where(single > other, single * other + np.float32(number), single - other)
    )


def parallel() -> None:
    """Loops over the threads of numba's threading layer, with a reduction."""
    number = next(_numbers)

    @numba.njit(parallel=True)
    def rows(x: np.ndarray) -> tuple[np.ndarray, int]:
        sums = np.zeros(x.shape[0])
        count = 0
        for i in numba.prange(x.shape[0]):
            for j in range(x.shape[1]):
                sums[i] += x[i, j] * number
            count += i
        return sums, count

    x = np.random.default_rng(number).standard_normal((2000, 50))
    for _ in range(5):
        sums, count = rows(x)
        np.testing.assert_allclose(sums, (x * number).sum(1), rtol=1e-12, atol=1e-12)
        assert count == 1999 * 1000


def cached() -> None:
    """A function whose machine code comes from numba's cache on disk, if another process ran it before."""
    assert _horner(2.0, 3) == ((3 * 2 + 2) * 2 + 1) * 2


def cache_hits() -> str:
    """How often this process took machine code from there."""
    compiled: Any = _horner
    return f"{sum(compiled.stats.cache_hits.values())} hits"


def code() -> str:
    """The assembly of a function, which must be the first that this process compiles: names are numbered."""

    @numba.njit(fastmath=True)
    def total(x: np.ndarray) -> float:
        sum = 0.0
        for i in range(x.size):
            sum += np.sqrt(x[i]) * 2
        return sum

    assert total(np.ones(3)) == 6
    compiled: Any = total
    (assembly,) = compiled.inspect_asm().values()
    assert "sqrt" in assembly
    return assembly
