"""Sums of many numbers: rounding errors grow with the root of their count at most, not with each addition.
PyTorch in float64 is the oracle. Its own kernels add in a cascade; ours err twice as much at most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts

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
    before = {name: count for name, count in launch_counts.items() if kernel in name}
    with anychip.using("strict"):
        result = function(*operands)
    assert any(count > before.get(name, 0) for name, count in launch_counts.items() if kernel in name)
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


def row_statistics(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.native_layer_norm(x, (x.shape[-1],), None, None, 1e-5)


def group_statistics(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.native_group_norm(x, None, None, x.shape[0], x.shape[1], x[0, 0].numel(), 4, 1e-5)


def channel_statistics(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)


def nearer_channels(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return channel_statistics(x.contiguous(memory_format=torch.channels_last))


NORMALISED: dict[str, tuple[Callable[..., tuple[torch.Tensor, ...]], tuple[int, ...], str]] = {
    "layer_norm": (row_statistics, (20, 1000), "layer_norm"),
    "layer_norm of long rows": (row_statistics, (4, 30000), "layer_norm"),
    "group_norm": (group_statistics, (4, 16, 28, 28), "group_norm"),
    "batch_norm": (channel_statistics, (8, 16, 28, 28), "batch_norm"),
    "batch_norm of channels that lie next to each other": (nearer_channels, (8, 16, 28, 28), "batch_norm"),
    "batch_norm of rows": (channel_statistics, (20000, 32), "batch_norm"),
}


def test_a_groups_mean_is_rounded_once() -> None:
    """Even where it is small beside the elements."""
    x = torch.randn(2, 2, 50, 50, generator=torch.Generator().manual_seed(0))
    true = torch.native_group_norm(x.double(), None, None, 2, 2, 2500, 1, 1e-5)[1]
    before = launch_counts["group_norm_kernel[native_group_norm]"]
    with anychip.using("strict"):
        mean = torch.native_group_norm(x, None, None, 2, 2, 2500, 1, 1e-5)[1]
    assert launch_counts["group_norm_kernel[native_group_norm]"] == before + 1
    assert ((mean.double() - true).abs() <= 0.51 * UNIT * true.abs()).all()


@pytest.mark.parametrize("name", NORMALISED)
def test_normalisation_around_a_large_mean(name: str) -> None:
    """Of the result, an error of the mean's rounding is what PyTorch makes; of the statistics, 2 units."""
    function, shape, kernel = NORMALISED[name]
    x = around(*shape)
    as_exact_as_pytorch(lambda x: function(x)[0], kernel, x)
    as_exact_as_pytorch(lambda x: function(x)[1], kernel, x, units=1)
    as_exact_as_pytorch(lambda x: function(x)[2], kernel, x, units=2)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0])
def test_distances_of_long_rows(order: float) -> None:
    as_exact_as_pytorch(lambda x: torch.pdist(x, order), "pdist", even(12, 10000))


def test_largest_difference_of_long_rows() -> None:
    x = even(6, 1000)
    x[2, 700] = torch.nan
    with anychip.using("strict"):
        result = torch.pdist(x, torch.inf)
    assert torch.equal(result.nan_to_num(-1), torch.pdist(x, torch.inf).nan_to_num(-1))


@pytest.mark.parametrize("count", [5000, 100000])
def test_weights_of_bins(count: int) -> None:
    x = even(count)

    def of_bins(weight: torch.Tensor) -> torch.Tensor:
        return torch.histogram(x.to(weight.dtype), 4, range=(0.0, 1.0), weight=weight)[0]

    as_exact_as_pytorch(of_bins, "combine", x.flip(0).contiguous(), units=1)
    places = torch.arange(count) % 3
    as_exact_as_pytorch(lambda weight: torch.bincount(places, weight), "combine", x, units=1)


def test_products_of_millions_of_factors() -> None:
    factors = 1 + (even(4000000) - 0.5) * 1e-4
    as_exact_as_pytorch(torch.prod, "[prod]", factors, units=1)
    as_exact_as_pytorch(lambda x: torch.prod(x, 0), "[prod]", factors.view(-1, 4), units=1)
