"""Fake quantisation on grids where a product with the inverse and a quotient by the scale differ."""

from __future__ import annotations

import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts

SCALES = (0.003, 0.02, 0.7)
aten = torch.ops.aten


def values(scale: float, dtype: torch.dtype) -> torch.Tensor:
    """Half steps of the grid, in the middle between two numbers as they are rounded to `dtype`."""
    return (torch.arange(-300, 300, dtype=dtype) + 0.5) * torch.tensor(scale, dtype=dtype)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_fake_quantisation_is_pytorchs_to_the_bit(scale: float, dtype: torch.dtype) -> None:
    x = values(scale, dtype)
    inverse = 1 / torch.tensor(scale)
    if dtype == torch.float32:
        assert not torch.equal((x / scale).round(), (x * inverse).round())
    grid = (torch.tensor([scale, 1.1 * scale]), torch.tensor([0, 2], dtype=torch.int32), 0)
    calls = [lambda: aten.fake_quantize_per_tensor_affine_cachemask(x, scale, 3, -128, 127)]
    if dtype == torch.float32:
        both = torch.stack([x, x])
        learned = (torch.tensor([scale]), torch.tensor([2.0]), -128, 127)
        calls.append(lambda: aten.fake_quantize_per_channel_affine_cachemask(both, *grid, -128, 127))
        calls.append(lambda: (aten._fake_quantize_learnable_per_tensor_affine(x, *learned),))
    for call in calls:
        expected = call()
        before = launch_counts.total()
        with anychip.using("strict"):
            got = call()
        assert launch_counts.total() > before
        for value, wanted in zip(got, expected, strict=True):
            assert torch.equal(value, wanted)


@pytest.mark.parametrize("symmetric", [False, True])
def test_an_observer_of_rows_begins_without_rows(symmetric: bool) -> None:
    """Extremes, scales and zero points of no element become those of each row."""
    x = torch.randn(5, 33) * torch.arange(1, 6)[:, None]
    on = torch.ones(1, dtype=torch.int64)

    def observed() -> list[torch.Tensor]:
        state = [torch.empty(0), torch.empty(0), torch.empty(0), torch.empty(0, dtype=torch.int32)]
        result = aten._fused_moving_avg_obs_fq_helper(
            x, on, on, *state, 0.25, -128, 127, 0, per_row_fake_quant=True, symmetric_quant=symmetric
        )
        return [*result, *state]

    expected = observed()
    before = launch_counts.total()
    with anychip.using("strict"):
        actual = observed()
    assert launch_counts.total() > before
    assert [len(tensor) for tensor in actual] == [5] * 6
    torch.testing.assert_close(actual, expected)
