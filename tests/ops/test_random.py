"""Random numbers: distributions by SciPy's Kolmogorov-Smirnov test, repeatability, independence."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

import anychip

COUNT = 20_000
SMALLEST_P = 1e-4


def test_uniform() -> None:
    torch.manual_seed(1)
    with anychip.using("strict"):
        x = torch.empty(COUNT).uniform_(2, 5)
    assert x.min() >= 2
    assert x.max() < 5
    assert stats.kstest(x.numpy(), stats.uniform(2, 3).cdf).pvalue > SMALLEST_P


def test_normal() -> None:
    torch.manual_seed(2)
    with anychip.using("strict"):
        x = torch.randn(COUNT)
        y = torch.empty(COUNT).normal_(3, 2)
    assert stats.kstest(x.numpy(), "norm").pvalue > SMALLEST_P
    assert stats.kstest(y.numpy(), stats.norm(3, 2).cdf).pvalue > SMALLEST_P
    assert abs(torch.corrcoef(torch.stack((x, y)))[0, 1]) < 0.05


def test_exponential() -> None:
    torch.manual_seed(3)
    with anychip.using("strict"):
        x = torch.empty(COUNT).exponential_(2.0)
    assert stats.kstest(x.numpy(), stats.expon(scale=0.5).cdf).pvalue > SMALLEST_P


def test_integers() -> None:
    torch.manual_seed(4)
    with anychip.using("strict"):
        x = torch.randint(-3, 4, (COUNT,))
        wide = torch.randint(0, 1 << 50, (COUNT,))
    assert x.unique().tolist() == list(range(-3, 4))
    assert stats.chisquare(torch.bincount(x + 3).numpy()).pvalue > SMALLEST_P
    assert stats.kstest(wide.numpy(), stats.uniform(0, float(1 << 50)).cdf).pvalue > SMALLEST_P


@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_dropout_in_training(p: float) -> None:
    torch.manual_seed(5)
    x = torch.full((COUNT,), 3.0, requires_grad=True)
    with anychip.using("strict"):
        y = torch.nn.functional.dropout(x, p, training=True)
        y.sum().backward()
    share = (y != 0).float().mean().item()
    assert abs(share - (1 - p)) < 0.02
    assert x.grad is not None
    if p < 1:
        torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], 3 / (1 - p)))
        torch.testing.assert_close(x.grad, (y != 0) / (1 - p))


def test_native_dropout() -> None:
    torch.manual_seed(6)
    x = torch.ones(COUNT)
    with anychip.using("strict"):
        y, mask = torch.ops.aten.native_dropout(x, 0.5, True)
    assert torch.equal(y, mask * 2.0)
    assert abs(mask.float().mean().item() - 0.5) < 0.02


def test_seed_repeats_and_draws_differ() -> None:
    with anychip.using("strict"):
        torch.manual_seed(7)
        first, second = torch.randn(100), torch.randn(100)
        torch.manual_seed(7)
        again = torch.randn(100)
        generator = torch.Generator().manual_seed(7)
        by_generator = torch.empty(100).normal_(generator=generator)
    assert torch.equal(first, again)
    assert torch.equal(first, by_generator)
    assert not torch.equal(first, second)
