"""Reductions over no dimensions, `dim=()`: for most that means all, for `all` and `any` none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts

REDUCTIONS: dict[str, Callable[[torch.Tensor], Any]] = {
    "all": lambda x: torch.all(x > 0, dim=()),
    "all of floats": lambda x: torch.all(x, dim=()),
    "all of bytes": lambda x: torch.all(x.to(torch.uint8), dim=()),
    "any": lambda x: torch.any(x, dim=()),
    "any, kept": lambda x: torch.any(x, dim=(), keepdim=True),
    "any into out": lambda x: torch.any(x, dim=(), out=torch.empty(0, dtype=torch.bool)),
    "any of complex numbers": lambda x: torch.any(torch.complex(x, x), dim=()),
    "sum": lambda x: x.sum(()),
    "sum, kept": lambda x: x.sum((), keepdim=True),
    "mean": lambda x: x.mean(()),
    "nansum": lambda x: torch.nansum(x, ()),
    "var": lambda x: torch.var(x, ()),
    "std_mean": lambda x: torch.std_mean(x, ())[0],
    "amax": lambda x: torch.amax(x, ()),
    "amin": lambda x: torch.amin(x, ()),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, 2, ()),
    "norm": lambda x: torch.ops.aten.norm.ScalarOpt_dim(x, 2, []),
    "count_nonzero": lambda x: torch.count_nonzero(x, ()),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_no_dimensions(name: str) -> None:
    x = torch.arange(-3.0, 9.0).view(3, 4)
    expected = REDUCTIONS[name](x)
    before = sum(launch_counts.values())
    with anychip.using("strict"):
        actual = REDUCTIONS[name](x)
    assert sum(launch_counts.values()) > before
    torch.testing.assert_close(actual, expected)
