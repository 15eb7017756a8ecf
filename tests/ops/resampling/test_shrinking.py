"""Images that shrink so much that an output has many taps, against PyTorch's own kernels in f64."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import anychip
from anychip.ops.launching import launch_counts
from anychip.ops.resampling.axis import UNROLLED_TAPS


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(3, 40), (80, 3), (2, 5)])
def test_smoothed(mode: str, size: tuple[int, int]) -> None:
    x = torch.randn(2, 2, 80, 40, dtype=torch.float64)
    assert UNROLLED_TAPS < 80 // 3
    expected = F.interpolate(x, size, mode=mode, antialias=True)
    before = launch_counts.total()
    with anychip.using("strict"):
        actual = F.interpolate(x, size, mode=mode, antialias=True)
    assert launch_counts.total() > before
    torch.testing.assert_close(actual, expected)
