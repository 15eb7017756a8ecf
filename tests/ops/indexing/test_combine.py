"""Sums and extremes of repeated places along every dimension, by PyTorch's own kernels in f64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts

COMBINE: dict[str, Callable[..., Any]] = {
    "sum": lambda out, dim, index, x: out.scatter_add(dim, index, x),
    "prod": lambda out, dim, index, x: out.scatter_reduce(dim, index, x, "prod"),
    "amax": lambda out, dim, index, x: out.scatter_reduce(dim, index, x, "amax", include_self=False),
}


@pytest.mark.parametrize("kind", list(COMBINE))
@pytest.mark.parametrize(
    ("shape", "dim"),
    [((7,), 0), ((3, 5000), 0), ((5, 3), 1), ((3, 4, 5), 0), ((3, 4, 5), 1), ((2, 3, 4, 5), 2)],
    ids=str,
)
def test_repeated_places(kind: str, shape: tuple[int, ...], dim: int) -> None:
    x = torch.randn(shape, dtype=torch.float64)
    index = torch.randint(0, 2, shape)
    out = torch.randn([2 if d == dim else size for d, size in enumerate(shape)], dtype=torch.float64)
    expected = COMBINE[kind](out, dim, index, x)
    before = launch_counts.total()
    with anychip.using("strict"):
        actual = COMBINE[kind](out, dim, index, x)
        padded = COMBINE[kind](out, dim, index, torch.stack([x, x], -1)[..., 0])
    assert launch_counts.total() > before
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(padded, expected)
