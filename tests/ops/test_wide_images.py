"""Images of more rows and columns than a program's tile: tiles have to meet, at every step and margin, as in
PyTorch's own kernels in double precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.launched import launched

from anychip.ops.registry import overloads
from anychip.ops.schemas import overload_of

ATEN = torch.ops.aten
IMAGE = (1, 2, 37, 291)


def drawn(*shape: int) -> torch.Tensor:
    """Small integers, so that sums are exact and maxima repeat."""
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    return torch.randint(-9, 10, shape, generator=generator).float()


def in_double(value: Any) -> Any:
    return value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def agrees(name: str, *arguments: Any, tolerance: float = 1e-5) -> None:
    """Our overload and PyTorch's in double precision give the same, and a kernel of its record ran."""
    with launched(name):
        ours = overloads()[name][1].implementation(*arguments)
    theirs = overload_of(name)(*(in_double(x) for x in arguments))
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
    for actual, expected in pairs:
        torch.testing.assert_close(actual.double(), expected.double(), rtol=tolerance, atol=tolerance)


def slow(*values: Any) -> list[Any]:
    """Values of parameters that are tried by slow tests alone: one tuple, or one list, a case."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow)
        for value in values
    ]


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(2, 2, 0, 1), (3, 2, 1, 2), *slow((3, 2, 1, 1), (3, 1, 1, 1), (3, 3, 0, 1), (5, 4, 2, 1))],
)
def test_pooling(kernel: int, stride: int, padding: int, dilation: int) -> None:
    x = drawn(*IMAGE)
    window = ([kernel] * 2, [stride] * 2, [padding] * 2, [dilation] * 2, True)
    agrees("max_pool2d_with_indices", x, *window)
    values, places = ATEN.max_pool2d_with_indices(x, *window)
    agrees("max_pool2d_with_indices_backward", drawn(*values.shape), x, *window, places)
    if dilation == 1:
        for counted in (True, False):
            rest = ([kernel] * 2, [stride] * 2, [padding] * 2, True, counted, None)
            agrees("avg_pool2d", x, *rest)
            agrees("avg_pool2d_backward", drawn(*ATEN.avg_pool2d(x, *rest).shape), x, *rest)


@pytest.mark.parametrize("size", [[5, 97], *slow([1, 3], [37, 40])])
def test_adaptive_pooling(size: list[int]) -> None:
    x = drawn(1, 2, 40, 291) if size == [5, 97] else drawn(*IMAGE)
    agrees("_adaptive_avg_pool2d", x, size)
    agrees("_adaptive_avg_pool2d_backward", drawn(1, 2, *size), x)
    spoiled = x.clone()
    spoiled[..., ::50] = float("nan")
    for image in (x, spoiled):
        values, places = overloads()["adaptive_max_pool2d"][1].implementation(image, size)
        expected = ATEN.adaptive_max_pool2d(image, size)
        torch.testing.assert_close(values, expected[0], equal_nan=True)
        assert torch.equal(places, expected[1])
    agrees("adaptive_max_pool2d_backward", drawn(1, 2, *size), x, ATEN.adaptive_max_pool2d(x, size)[1])


@pytest.mark.parametrize("padding", [[20, 3, 0, 30], *slow([1, 1, 1, 1], [-4, 7, 2, -1])])
@pytest.mark.parametrize("kind", ["reflection_pad2d", "replication_pad2d"])
def test_padding(kind: str, padding: list[int]) -> None:
    x = drawn(*IMAGE)
    agrees(kind, x, padding)
    agrees(f"{kind}_backward", drawn(*getattr(ATEN, kind)(x, padding).shape), x, padding)


@pytest.mark.parametrize("size", [[60, 300], *slow([74, 582], [20, 140])])
def test_nearest_neighbours(size: list[int]) -> None:
    agrees("upsample_nearest2d", drawn(*IMAGE), size, None, None)
    agrees("upsample_nearest2d_backward", drawn(1, 2, *size), size, list(IMAGE), None, None)


@pytest.mark.parametrize("size", [[74, 300], [20, 140]])
def test_bilinear_interpolation(size: list[int]) -> None:
    """Places along 291 columns are known to some 2e-5 in single precision."""
    agrees("upsample_bilinear2d", drawn(*IMAGE), size, False, None, None, tolerance=2e-3)


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(3, 0, 2), *slow((1, 1, 1), (2, 1, 1))])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(groups: int, stride: int, padding: int, dilation: int) -> None:
    x, weight, bias = drawn(*IMAGE), drawn(4, 2 // groups, 3, 3), drawn(4)
    rest = ([stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], groups)
    agrees("convolution", x, weight, bias, *rest)
    gradient = drawn(*ATEN.convolution(x, weight, bias, *rest).shape)
    agrees("convolution_backward", gradient, x, weight, [4], *rest, [True, True, True])


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_gather_over_tiles(dim: int) -> None:
    x = drawn(5, 90, 300)
    shape = [3, 70, 260]
    generator = torch.Generator().manual_seed(dim)
    index = torch.randint(0, x.shape[dim], shape, generator=generator)
    agrees("gather", x, dim, index)
    agrees("gather", x.transpose(0, 2), dim, index.transpose(0, 2) % x.transpose(0, 2).shape[dim])


def test_runs_of_repeats() -> None:
    repeats = torch.arange(700) % 5
    agrees("repeat_interleave.Tensor", repeats)
    agrees("repeat_interleave.Tensor", torch.tensor([0, 3000, 1]))


def test_bags_of_many_indices() -> None:
    table, indices = drawn(50, 70), torch.arange(900) * 7 % 50
    offsets = torch.tensor([0, 0, 400, 401, 850])
    for mode in (0, 1):
        ours = overloads()["_embedding_bag"][1].implementation(table, indices, offsets, False, mode)
        theirs = ATEN._embedding_bag(table.double(), indices, offsets, False, mode)
        torch.testing.assert_close(ours[0].double(), theirs[0], rtol=1e-5, atol=1e-5)
        assert torch.equal(ours[1], torch.searchsorted(offsets, torch.arange(900), right=True) - 1)
