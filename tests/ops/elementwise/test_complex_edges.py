"""Complex functions where a part is infinite, not a number, a zero of either sign or large: by Annex G of the
C standard, which PyTorch and NumPy both keep to, on a grid of such parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts

INF, NAN = float("inf"), float("nan")
LARGE = {torch.complex64: (90.0, 1e30), torch.complex128: (720.0, 1e300)}
BOUND = {torch.complex64: 2e-6, torch.complex128: 1e-13}

BY_NUMPY: dict[str, Callable[..., Any]] = {
    "acos": np.arccos,
    "log1p": np.log1p,
}
"""Functions whose oracle is NumPy: PyTorch 2.13 differs from it in log1p, and its acos of complex128 loses a
real part of 1e-300."""

NAMES = (
    "abs",
    "acos",
    "acosh",
    "angle",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "cos",
    "cosh",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log10",
    "log1p",
    "log2",
    "reciprocal",
    "rsqrt",
    "sgn",
    "sigmoid",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
)


def grid(dtype: torch.dtype) -> torch.Tensor:
    large, huge = LARGE[dtype]
    parts = (INF, -INF, NAN, 0.0, -0.0, 1.0, -1.0, 0.3, large, huge, -100.0, -huge)
    return torch.tensor([complex(a, b) for a in parts for b in parts], dtype=dtype)


def parts(x: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(x) if x.is_complex() else x[:, None]


def differing(actual: torch.Tensor, expected: torch.Tensor, bound: float, *, signs: bool) -> list[int]:
    """Where results differ: in NaN and infinity, beyond the bound, or in a zero's sign."""
    a, b = parts(actual), parts(expected)
    same = torch.isclose(a, b, rtol=bound, atol=0, equal_nan=True)
    if signs:
        same &= (a != 0) | (b != 0) | (a.signbit() == b.signbit())
    return (~same).any(1).nonzero().flatten().tolist()


@pytest.mark.parametrize("dtype", LARGE, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_functions(name: str, dtype: torch.dtype) -> None:
    z = grid(dtype)
    with np.errstate(all="ignore"):
        expected = (
            torch.from_numpy(BY_NUMPY[name](z.numpy())) if name in BY_NUMPY else getattr(torch, name)(z)
        )
    before = sum(n for kernel, n in launch_counts.items() if kernel.startswith("complex_kernel"))
    with anychip.using("strict"):
        actual = getattr(torch, name)(z)
    assert sum(n for kernel, n in launch_counts.items() if kernel.startswith("complex_kernel")) > before
    wrong = differing(actual, expected, BOUND[dtype], signs=name != "sinc")
    assert [(z[i], actual[i], expected[i]) for i in wrong] == []


@pytest.mark.parametrize("dtype", LARGE, ids=str)
@pytest.mark.parametrize("name", ["div", "mul"])
def test_division_and_product_are_pytorchs(name: str, dtype: torch.dtype) -> None:
    z = grid(dtype)
    x, y = (t.reshape(-1).contiguous() for t in torch.broadcast_tensors(z[:, None], z[None, :]))
    if name == "div":  # a quotient of large numbers that cancel is lost in either formula
        kept = (parts(y).abs() < 1e29).all(1) | parts(y).isinf().any(1)
        x, y = x[kept], y[kept]
    expected = getattr(torch, name)(x, y)
    with anychip.using("strict"):
        actual = getattr(torch, name)(x, y)
    a, b = parts(actual), parts(expected)
    beside = BOUND[dtype] * b.abs().nan_to_num(0.0, 0.0).amax(1, keepdim=True)
    same = torch.isclose(a, b, rtol=BOUND[dtype], atol=0, equal_nan=True) | ((a - b).abs() <= beside)
    wrong = (~same).any(1).nonzero().flatten().tolist()
    assert [(x[i], y[i], actual[i], expected[i]) for i in wrong[:5]] == []


def test_division_by_infinity_and_by_zero() -> None:
    with anychip.using("strict"):
        result = torch.tensor([1 + 2j, 1 + 1j]) / torch.tensor([complex(INF, 0), 0j])
    assert torch.view_as_real(result).tolist() == [[0.0, 0.0], [INF, INF]]
