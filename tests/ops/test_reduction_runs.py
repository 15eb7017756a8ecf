"""Reductions of runs longer than a block, whatever lies between their elements: exactly, in integers."""

from __future__ import annotations

import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts

LENGTH = 20011
NUMBERS = (torch.arange(6 * LENGTH) * 7919) % 1009 - 500
LAYOUTS = {
    "rows": (NUMBERS.view(6, LENGTH), 1),
    "every third of a row": (NUMBERS.view(2, 3 * LENGTH)[:, ::3], 1),
    "columns": (NUMBERS.view(LENGTH, 6), 0),
    "every second of the columns": (NUMBERS.view(LENGTH, 6)[:, ::2], 0),
    "a dimension in the middle": (NUMBERS.view(3, LENGTH, 2), 1),
    "turned": (NUMBERS.view(3, LENGTH, 2).permute(2, 1, 0), 1),
    "two dimensions": (NUMBERS.view(3, LENGTH, 2).transpose(1, 2), (0, 2)),
}


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_runs(layout: str) -> None:
    x, dims = LAYOUTS[layout]
    before = sum(n for name, n in launch_counts.items() if name.startswith("reduce_kernel"))
    with anychip.using("strict"):
        total, largest = x.sum(dims), x.amax(dims)
    assert sum(n for name, n in launch_counts.items() if name.startswith("reduce_kernel")) >= before + 2
    assert total.tolist() == x.numpy().sum(dims).tolist()
    assert largest.tolist() == x.numpy().max(dims).tolist()
