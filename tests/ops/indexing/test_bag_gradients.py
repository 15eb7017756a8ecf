"""Gradients of embedding bags, as they are summed on CPUs and as they are on GPUs (by atomics), against
PyTorch's own kernels in double precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

import anychip
from anychip.ops.launching import launch_counts, launching

KERNELS = {"simd": "bag_gradient_in_turn_kernel", "simt": "bag_gradient_kernel"}
CASES: dict[str, dict[str, Any]] = {
    "sum": {"mode": "sum"},
    "weighted": {"mode": "sum", "per_sample_weights": torch.linspace(-1, 2, 9, dtype=torch.float64)},
    "mean": {"mode": "mean", "padding_idx": 2},
    "by frequency": {"mode": "sum", "scale_grad_by_freq": True},
}


@pytest.mark.parametrize("tiles", list(KERNELS))
@pytest.mark.parametrize("case", list(CASES))
def test_gradients(case: str, tiles: str) -> None:
    indices, offsets = torch.tensor([1, 2, 5, 1, 0, 2, 2, 6, 5]), torch.tensor([0, 3, 3, 5])
    weight = torch.randn(7, 300, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(4, 300, dtype=torch.float64)

    def gradient(**options: Any) -> torch.Tensor:
        bags = F.embedding_bag(indices, weight, offsets, **options)
        return torch.autograd.grad(bags, weight, upstream)[0]

    if case == "by frequency":  # PyTorch takes another row's: findings/embedding_bag_frequencies.sh
        expected = gradient(mode="sum") / indices.bincount(minlength=7).clamp(min=1)[:, None]
    else:
        expected = gradient(**CASES[case])
    before = launch_counts[KERNELS[tiles]]
    with anychip.using("strict"), launching(tile_class=tiles):
        actual = gradient(**CASES[case])
    assert launch_counts[KERNELS[tiles]] == before + 1
    torch.testing.assert_close(actual, expected)
