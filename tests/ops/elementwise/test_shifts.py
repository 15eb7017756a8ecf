"""Shifts by any count: PyTorch on a CPU and NumPy give nothing, or the sign, beyond the width."""

from __future__ import annotations

import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts
from anychip.ops.registry import INTEGRAL


@pytest.mark.parametrize("dtype", INTEGRAL, ids=str)
def test_counts_below_zero_and_beyond_the_width(dtype: torch.dtype) -> None:
    x = torch.tensor([-3, -1, 0, 1, 100, 200]).to(dtype)[:, None]
    counts = torch.tensor([0, 1, 7, 8, 15, 16, 31, 32, 63, 64, 100, -1]).to(dtype)
    for shift in (torch.bitwise_left_shift, torch.bitwise_right_shift):
        expected = shift(x, counts)
        before = sum(launch_counts.values())
        with anychip.using("strict"):
            assert torch.equal(shift(x, counts), expected)
            for count in (-1, 5, 8, 9, 64):
                assert torch.equal(shift(x, count), shift(x, torch.tensor(count)))
        assert sum(launch_counts.values()) > before
        for count in (-1, 5, 8, 9, 64):
            theirs = shift(x, count)
            with anychip.using("strict"):
                assert torch.equal(shift(x, count), theirs)
