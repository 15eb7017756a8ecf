"""Functions in the place of PyTorch's kernels: without a warning, and until they are removed."""

from __future__ import annotations

import warnings

import torch

from anychip.pytorch.overrides import Overrides


def test_an_override_lasts_until_it_is_removed() -> None:
    x, y = torch.full((2,), 3.0), torch.full((2,), 4.0)

    def least(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.minimum(x, y)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        overrides = Overrides([("hypot", "CPU", least), ("hypot", "Meta", least)])
    try:
        assert torch.hypot(x, y).tolist() == [3.0, 3.0]
    finally:
        overrides.remove()
    assert torch.hypot(x, y).tolist() == [5.0, 5.0]
