"""Targets just outside of the classes are refused, those at either end are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

import anychip

LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "multi_margin_loss": F.multi_margin_loss,
    "multilabel_margin_loss": lambda x, target: F.multilabel_margin_loss(x, target[:, None].expand_as(x)),
    "nll_loss": F.nll_loss,
    "cross_entropy": F.cross_entropy,
}


@pytest.mark.parametrize("name", list(LOSSES))
def test_targets_at_the_ends(name: str) -> None:
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).sin().view(3, 4).log_softmax(1)
    inside = torch.tensor([0, 3, 1])
    expected = LOSSES[name](x, inside)
    with anychip.using("strict"):
        torch.testing.assert_close(LOSSES[name](x, inside), expected)
        for label in (-1 if name != "multilabel_margin_loss" else -2, 4):
            with pytest.raises((IndexError, RuntimeError)):
                LOSSES[name](x, torch.tensor([0, label, 1]))
