"""Places that a grid names: what is left of a cancellation is as exact as the grid's numbers are."""

from __future__ import annotations

import torch
from torch.nn.functional import grid_sample

import anychip
from anychip.ops.launching import launch_counts

PIXELS, POINTS = 7, 512


def neighbours_weight(grid: torch.Tensor) -> torch.Tensor:
    """The weight of the second pixel in each point of a grid: the gradient of the image there."""
    image = torch.zeros(POINTS, 1, PIXELS, PIXELS, dtype=grid.dtype, requires_grad=True)
    result = grid_sample(image, grid, align_corners=False).sum()
    return torch.autograd.grad(result, image)[0][:, 0, 0, 1].double()


def gradients_launched() -> int:
    """How many kernels for the gradient of a sampled grid have been launched."""
    return sum(count for name, count in launch_counts.items() if "grid" in name and "gradient" in name)


def test_places_just_beside_the_first_pixels_middle() -> None:
    beside = torch.rand(POINTS, generator=torch.Generator().manual_seed(0)) * 1e-3 + 1e-5
    line = ((beside.double() + 0.5) * 2 / PIXELS - 1).float()
    grid = torch.stack([line, line], -1)[:, None, None]
    true = neighbours_weight(grid.double())
    assert (true > 0).all()
    before = gradients_launched()
    with anychip.using("strict"):
        found = neighbours_weight(grid)
    assert gradients_launched() > before
    assert ((found - true).abs() <= 2e-7 * true).all()
