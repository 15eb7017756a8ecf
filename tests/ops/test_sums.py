"""Sums of many numbers: rounding errors grow with the root of their count at most, not with each addition.
PyTorch in float64 is the oracle. Its own kernels add in a cascade; ours err twice as much at most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import anychip
from anychip.ops.launch import launches

UNIT = torch.finfo(torch.float32).eps
"""A unit in the last place of the largest numbers below a power of two, relative to that power."""

Function = Callable[..., torch.Tensor]


def even(*shape: int) -> torch.Tensor:
    """Numbers from 0 to 1, whose sum grows all the way."""
    return torch.from_numpy(np.random.default_rng(0).random(shape, np.float32))


def around(*shape: int) -> torch.Tensor:
    """Normal numbers around 1000."""
    return torch.from_numpy(np.random.default_rng(1).standard_normal(shape)).float() + 1000


def largest_error(result: torch.Tensor, true: torch.Tensor) -> float:
    """The largest error of an element, in units of the largest element."""
    return float((result.double() - true).abs().max() / true.abs().max()) / UNIT


def as_exact_as_pytorch(function: Function, kernel: str, *operands: torch.Tensor, units: float = 4) -> None:
    """Our kernel's largest error is at most `units`, or twice that of PyTorch's."""
    true = function(*(x.double() for x in operands))
    of_pytorch = largest_error(function(*operands), true)
    before = {name: count for name, count in launches.items() if kernel in name}
    with anychip.using("strict"):
        result = function(*operands)
    assert any(count > before.get(name, 0) for name, count in launches.items() if kernel in name)
    assert largest_error(result, true) <= max(2 * of_pytorch, units)


SHAPES: dict[str, tuple[tuple[int, ...], int | tuple[int, ...]]] = {
    "a row": ((1000000,), 0),
    "rows": ((8, 50000), 1),
    "wide columns": ((4096, 1024), 0),
    "narrow columns": ((100000, 30), 0),
    "runs of pixels": ((5000, 8, 7, 7), (0, 2, 3)),
    "images": ((4000, 8, 5, 5), 0),
}


@pytest.mark.parametrize("draw", [even, around])
@pytest.mark.parametrize("name", SHAPES)
def test_sums_and_means(name: str, draw: Callable[..., torch.Tensor]) -> None:
    shape, dim = SHAPES[name]
    as_exact_as_pytorch(lambda x: torch.sum(x, dim), "[sum]", draw(*shape))
    as_exact_as_pytorch(lambda x: torch.mean(x, dim), "[mean]", draw(*shape))


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0])
def test_norms_of_columns(order: float) -> None:
    as_exact_as_pytorch(lambda x: torch.linalg.vector_norm(x, order, 0), "[norm", even(4096, 512))


def test_a_sum_of_columns_that_is_split_among_programs_has_all_of_them() -> None:
    """More blocks than one program adds, some of them not whole, and totals of integers that are exact."""
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (9001, 520)).astype(np.float32))
    with anychip.using("strict"):
        assert torch.equal(x.sum(0), x.double().sum(0).float())


PRODUCTS: dict[str, tuple[Function, tuple[torch.Tensor, ...]]] = {
    "matrices": (torch.mm, (even(16, 10000), even(10000, 16))),
    "a matrix and a vector": (torch.mv, (even(8, 10000), even(10000))),
    "batches": (torch.bmm, (even(2, 16, 5000), even(2, 5000, 16))),
    "covariances": (lambda x, _: torch.cov(x), (around(4, 50000), even(1))),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_a_long_inner_dimension(name: str) -> None:
    function, operands = PRODUCTS[name]
    as_exact_as_pytorch(function, "matmul", *operands)
