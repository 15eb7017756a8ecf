"""A CTC loss of targets with a label twice in a row, and its gradient where no alignment gives the target."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

import anychip
from anychip.ops.launching import launch_counts

SCORES = torch.linspace(-2, 2, 36).sin().view(3, 3, 4).log_softmax(-1)


def gradients(zero_infinity: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(losses, gradient) of three targets: too long, possible, too long for its inputs' length."""
    scores = SCORES.clone().requires_grad_()
    targets = torch.tensor([[1, 1, 1, 2], [1, 2, 0, 0], [2, 3, 1, 1]])
    losses = torch.nn.functional.ctc_loss(
        scores,
        targets,
        torch.tensor([3, 3, 2]),
        torch.tensor([4, 2, 3]),
        reduction="none",
        zero_infinity=zero_infinity,
    )
    losses.sum().backward()
    assert scores.grad is not None
    return losses.detach(), scores.grad


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_impossible_targets(zero_infinity: bool) -> None:
    expected = gradients(zero_infinity)
    before = launch_counts["ctc_backward_kernel"]
    with anychip.using("strict"):
        actual = gradients(zero_infinity)
    assert launch_counts["ctc_backward_kernel"] > before
    for mine, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(mine, theirs, equal_nan=True)
    assert bool(actual[1][:, 0].isnan().all()) is not zero_infinity


@pytest.mark.parametrize("target", [[1, 1], [2, 1, 1], [3, 3, 3], [1, 2, 1]])
def test_a_label_twice_in_a_row_needs_a_blank_between(target: list[int]) -> None:
    """By the sum over all alignments: a path of labels with neighbours merged and blanks left out."""
    scores = torch.linspace(-1, 3, 24, dtype=torch.float64).cos().view(6, 4).log_softmax(-1)
    total = 0.0
    for path in itertools.product(range(4), repeat=6):
        if [label for label, _ in itertools.groupby(path) if label] == target:
            total += math.exp(sum(float(scores[t, label]) for t, label in enumerate(path)))
    with anychip.using("strict"):
        loss = torch.nn.functional.ctc_loss(
            scores[:, None],
            torch.tensor([target]),
            torch.tensor([6]),
            torch.tensor([len(target)]),
            reduction="sum",
        )
    assert loss.item() == pytest.approx(-math.log(total), rel=1e-12)
