"""Operators of compiled graphs that Inductor makes less exact than PyTorch's own kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

INF, NAN = float("inf"), float("nan")
Function = Callable[..., torch.Tensor]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled(function: Function) -> Function:
    return torch.compile(function, backend="anychip", dynamic=False, fullgraph=True)


NUMBERS = [0.0, -0.0, 1.0, 0.5, 6.0, -1e-20, -7.0, 0.1, 0.2, 5.0, 2.0, 1e6, INF, -INF, NAN]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_floor_division_and_remainder(dtype: torch.dtype) -> None:
    numbers = torch.tensor(NUMBERS, dtype=dtype)
    x, y = (t.reshape(-1).contiguous() for t in torch.broadcast_tensors(numbers[:, None], numbers))

    def both(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([x // y, torch.div(x, y, rounding_mode="floor"), x % y, x // 0.1])

    actual, expected = compiled(both)(x, y), both(x, y)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)
    if dtype == torch.float32:
        assert compiled(lambda x: x // 0.1)(torch.ones(1)).item() == 9


def test_other_divisions_are_as_they_were() -> None:
    x, y = torch.tensor([7, -7, 6, -1]), torch.tensor([2, 2, -4, 3])

    def several(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([x // y, torch.div(x, y, rounding_mode="trunc"), torch.div(x, y).long(), x // 3])

    assert torch.equal(compiled(several)(x, y), several(x, y))


@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_deviation_of_numbers_whose_squares_leave_the_range(scale: float) -> None:
    x = torch.linspace(-9, 9, 400).sin().view(4, 100) * scale
    for function in (lambda x: torch.std(x, 1), lambda x: torch.std_mean(x, 1)[0]):
        actual = compiled(function)(x)
        torch.testing.assert_close(actual.double(), function(x.double()), rtol=1e-6, atol=0)


def test_variance_around_a_large_mean() -> None:
    x = torch.linspace(-900, 900, 4000).sin().view(4, 1000) + 1e6
    for function in (lambda x: torch.var(x, 1), lambda x: torch.var_mean(x, 1)[0]):
        actual = compiled(function)(x)
        torch.testing.assert_close(actual.double(), function(x.double()), rtol=1e-6, atol=0)
