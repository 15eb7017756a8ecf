"""Totals over long rows, around a large mean and at the ends of the range: against PyTorch in float64, and
no worse than PyTorch's own kernels, which keep most of these totals in double."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts

UNIT = torch.finfo(torch.float32).eps / 2
"""Half a unit in the last place: the error of the one rounding that no result escapes."""

Function = Callable[[torch.Tensor], torch.Tensor]


def normal(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape)).float()


def ours(function: Function, x: torch.Tensor, kernel: str) -> torch.Tensor:
    """The result under the strict policy, of a kernel with `kernel` in its name."""
    before = {name: count for name, count in launch_counts.items() if kernel in name}
    with anychip.using("strict"):
        result = function(x)
    assert any(count > before.get(name, 0) for name, count in launch_counts.items() if kernel in name)
    return result


def worst(result: torch.Tensor, true: torch.Tensor) -> float:
    """The largest relative error of an element (a zero has to be exact)."""
    return float(((result.double() - true).abs() / true.abs().clamp_min(1e-300)).max())


def no_worse(function: Function, x: torch.Tensor, kernel: str) -> None:
    true = function(x.double())
    of_pytorch = max(worst(function(x), true), UNIT)
    assert worst(ours(function, x, kernel), true) <= 2 * of_pytorch


SPREADS: dict[str, Function] = {
    "var": lambda x: torch.var(x, -1),
    "var of columns": lambda x: torch.var(x, 0),
    "std": lambda x: torch.std(x, -1),
    "var_mean": lambda x: torch.var_mean(x, -1)[0],
    "mean of var_mean": lambda x: torch.var_mean(x, -1)[1],
    "std of all": lambda x: torch.std(x),
}


@pytest.mark.parametrize("name", SPREADS)
@pytest.mark.parametrize("mean", [1e3, 1e6])
def test_spread_around_a_large_mean(name: str, mean: float) -> None:
    no_worse(SPREADS[name], normal(300, 400) + mean, "spread_kernel")


def test_spread_of_all_of_a_long_row_in_shares() -> None:
    no_worse(torch.var, normal(4, 100000) + 1e5, "merge_kernel")


def test_spread_where_the_first_element_is_far_from_the_others() -> None:
    x = normal(4, 3000)
    x[:, 0] = 1e6
    no_worse(lambda x: torch.var(x, -1), x, "spread_kernel")


def test_spread_of_single_elements_and_of_none_and_of_infinite_ones() -> None:
    x = torch.tensor([[3.0, math.inf, -math.inf, math.nan]]).t()
    for function in (lambda x: torch.var(x, 1), lambda x: torch.var(x, 1, correction=0), torch.std):
        torch.testing.assert_close(ours(function, x, "spread_kernel"), function(x), equal_nan=True)
    means = ours(lambda x: torch.var_mean(x, 1, correction=0)[1], x, "spread_kernel")
    assert torch.equal(means.nan_to_num(7.0), x[:, 0].nan_to_num(7.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_deviation_of_numbers_whose_squares_leave_the_range(dtype: torch.dtype, scale: float) -> None:
    x = (normal(4, 100) * scale).to(dtype)
    for function in (lambda x: torch.std(x, 1), lambda x: torch.std_mean(x, 1)[0], torch.std):
        actual = ours(function, x, "spread_kernel")
        torch.testing.assert_close(actual.double(), function(x.double()), rtol=torch.finfo(dtype).eps, atol=0)


def test_deviation_of_complex_numbers_whose_squares_leave_the_range() -> None:
    x = torch.complex(normal(4, 100), normal(100, 4).t()) * 1e25
    actual = ours(lambda x: torch.std(x, 1), x, "spread_kernel")
    torch.testing.assert_close(actual.double(), torch.std(x.to(torch.complex128), 1), rtol=1e-6, atol=0)


def test_gradient_of_a_tiny_deviation() -> None:
    x = (normal(3, 50) * 1e-25).requires_grad_()
    true = x.detach().double().requires_grad_()
    torch.std(true, 1).sum().backward()
    with anychip.using("strict"):
        torch.std(x, 1).sum().backward()
    assert x.grad is not None
    assert true.grad is not None
    torch.testing.assert_close(x.grad.double(), true.grad, rtol=1e-4, atol=1e-9)


# ---- running totals -------------------------------------------------------------------------------

RUNNING: dict[str, tuple[Function, torch.Tensor]] = {
    "cumsum of a row": (lambda x: torch.cumsum(x, 0), normal(100000) + 1000),
    "cumsum of rows": (lambda x: torch.cumsum(x, 1), normal(3, 5000)),
    "cumsum of columns": (lambda x: torch.cumsum(x, 0), normal(20000, 2) + 1000),
    "cumprod of a row": (lambda x: torch.cumprod(x, 0), 1 + 1e-4 * normal(200000)),
    "cumprod of columns": (lambda x: torch.cumprod(x, 0), 1 + 1e-4 * normal(20000, 2)),
    "logcumsumexp of a row": (lambda x: torch.logcumsumexp(x, 0), normal(50000)),
    "logcumsumexp of columns": (lambda x: torch.logcumsumexp(x, 0), normal(5000, 3)),
}


@pytest.mark.parametrize("name", RUNNING)
def test_running_totals(name: str) -> None:
    function, x = RUNNING[name]
    no_worse(function, x, name.split()[0])


def test_running_sums_of_what_is_not_negative_never_fall() -> None:
    x = torch.rand(50000, generator=torch.Generator().manual_seed(0))
    assert bool((ours(lambda x: torch.cumsum(x, 0), x, "cumsum").diff() >= 0).all())


SPECIAL = (
    [-math.inf, -math.inf, 1.0, -math.inf, 2.0, math.inf, 3.0, -math.inf, math.inf],
    [-math.inf, 0.0, math.nan, 1.0, math.inf],
    [math.inf, math.inf, -math.inf, 1.0],
    [-2000.0, -3000.0, 0.0, 1000.0, -5.0],
    [-3e38, 3e38, -3e38],
    [-math.inf] * 100,
    [-900.0 + k for k in range(200)] + [0.0] + [-700.0] * 100,
)


@pytest.mark.parametrize("values", SPECIAL, ids=lambda v: f"{len(v)} values")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_logarithm_of_running_sums_of_what_is_far_apart(values: list[float], dtype: torch.dtype) -> None:
    row = torch.tensor(values, dtype=dtype)
    for x, dim in ((row, 0), (torch.stack([row, row.flip(0)]), 1), (torch.stack([row, row.flip(0)], 1), 0)):
        true = torch.logcumsumexp(x.double(), dim)
        actual = ours(lambda x, dim=dim: torch.logcumsumexp(x, dim), x, "logcumsumexp")
        bound = 2 * torch.finfo(dtype).eps
        torch.testing.assert_close(actual.double(), true, rtol=bound, atol=1e-15, equal_nan=True)
