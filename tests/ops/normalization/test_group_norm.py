"""Group norm without a weight: values and the gradient, against PyTorch's own kernels in double precision."""

from __future__ import annotations

import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts


@pytest.mark.parametrize(("channels", "groups"), [(6, 3), (40, 2)])
def test_without_a_weight(channels: int, groups: int) -> None:
    x = torch.randn(2, channels, 5, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, channels, 5, dtype=torch.float64)

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.nn.functional.group_norm(x, groups)
        (gradient,) = torch.autograd.grad(y, x, upstream)
        return y, gradient

    expected = both()
    before = launch_counts["group_norm_gradient_kernel[native_group_norm_backward]"]
    with anychip.using("strict"):
        actual = both()
    assert launch_counts["group_norm_gradient_kernel[native_group_norm_backward]"] == before + 1
    torch.testing.assert_close(actual, expected)
