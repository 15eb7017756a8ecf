"""Distributions by SciPy's tests, with fixed seeds; derivatives of samples by differences of SciPy's
quantile functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

import anychip
from anychip.ops.launching import launch_counts

COUNT = 20_000
SMALLEST_P = 1e-4
CONTINUOUS = {
    "log_normal": (lambda x: x.log_normal_(0.5, 0.75), stats.lognorm(0.75, scale=np.exp(0.5))),
    "cauchy": (lambda x: x.cauchy_(1.0, 2.0), stats.cauchy(1, 2)),
    "uniform": (lambda x: x.uniform_(-1.0, 3.0), stats.uniform(-1, 4)),
    "normal": (lambda x: x.normal_(1.0, 3.0), stats.norm(1, 3)),
    "exponential": (lambda x: x.exponential_(1.5), stats.expon(scale=1 / 1.5)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", list(CONTINUOUS))
def test_fills(name: str, dtype: torch.dtype) -> None:
    fill, distribution = CONTINUOUS[name]
    torch.manual_seed(11)
    before = launch_counts[f"random_kernel[{name}]"]
    with anychip.using("strict"):
        x = fill(torch.empty(COUNT, dtype=dtype))
    assert launch_counts[f"random_kernel[{name}]"] == before + 1
    assert stats.kstest(x.numpy(), distribution.cdf).pvalue > SMALLEST_P


def assert_counts(drawn: torch.Tensor, probability: Callable[[np.ndarray], np.ndarray], last: int) -> None:
    """A chi-square test of counts from 0 up to `last`, and of all beyond it."""
    values = drawn.numpy().astype(np.int64)
    assert values.min() >= 0
    observed = np.bincount(np.minimum(values, last + 1), minlength=last + 2)
    expected = probability(np.arange(last + 1))
    expected = np.append(expected, 1 - expected.sum()) * len(values)
    kept = expected > 5
    observed = np.append(observed[kept], observed[~kept].sum())
    expected = np.append(expected[kept], expected[~kept].sum())
    used = expected > 1e-6
    assert observed[~used].sum() == 0
    if used.sum() == 1:
        return
    assert (
        stats.chisquare(observed[used], expected[used] * (len(values) / expected[used].sum())).pvalue
        > SMALLEST_P
    )


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_geometric(p: float) -> None:
    torch.manual_seed(12)
    with anychip.using("strict"):
        x = torch.empty(COUNT, dtype=torch.int64).geometric_(p)
    assert_counts(x, lambda k: stats.geom.pmf(k, p), int(5 / p))


@pytest.mark.parametrize("rate", [0.3, 4.0, 9.9, 10.5, 80.0, 3000.0])
def test_poisson(rate: float) -> None:
    torch.manual_seed(13)
    with anychip.using("strict"):
        x = torch.poisson(torch.full((COUNT,), rate))
    assert_counts(x, lambda k: stats.poisson.pmf(k, rate), int(2 * rate) + 5)


@pytest.mark.parametrize(
    ("trials", "p"), [(8, 0.3), (50, 0.1), (40, 0.5), (1000, 0.02), (1000, 0.85), (5, 1.0)]
)
def test_binomial(trials: int, p: float) -> None:
    torch.manual_seed(14)
    with anychip.using("strict"):
        x = torch.binomial(torch.full((COUNT,), float(trials)), torch.full((COUNT,), p))
    assert_counts(x, lambda k: stats.binom.pmf(k, trials, p), trials)


@pytest.mark.parametrize("shape", [0.2, 1.0, 3.5, 200.0])
def test_gamma(shape: float) -> None:
    torch.manual_seed(15)
    with anychip.using("strict"):
        x = torch.ops.aten._standard_gamma(torch.full((COUNT,), shape, dtype=torch.float64))
    assert stats.kstest(x.numpy(), stats.gamma(shape).cdf).pvalue > SMALLEST_P


def test_dirichlet_is_beta_in_each_place() -> None:
    torch.manual_seed(16)
    concentration = torch.tensor([0.5, 2.0, 4.0])
    with anychip.using("strict"):
        x = torch.ops.aten._sample_dirichlet(concentration.expand(COUNT, 3).contiguous())
    torch.testing.assert_close(x.sum(1), torch.ones(COUNT))
    for place, a in enumerate(concentration.tolist()):
        assert stats.kstest(x[:, place].numpy(), stats.beta(a, 6.5 - a).cdf).pvalue > SMALLEST_P


def test_coins_with_probabilities() -> None:
    torch.manual_seed(17)
    p = torch.tensor([0.0, 0.2, 0.7, 1.0])
    with anychip.using("strict"):
        x = torch.bernoulli(p.expand(COUNT, 4))
        y = torch.empty(4, COUNT).t().bernoulli_(p)
    for coins in (x, y):
        counts = coins.sum(0).tolist()
        assert counts[0] == 0
        assert counts[3] == COUNT
        for k in (1, 2):
            assert stats.binomtest(int(counts[k]), COUNT, p[k].item()).pvalue > SMALLEST_P


def test_normal_with_tensors() -> None:
    torch.manual_seed(18)
    mean = torch.linspace(-2, 2, COUNT)
    with anychip.using("strict"):
        x = torch.normal(mean, torch.tensor(2.0))
        y = torch.normal(mean, 0.5)
        z = torch.normal(1.0, mean.abs())
    assert stats.kstest(((x - mean) / 2).numpy(), "norm").pvalue > SMALLEST_P
    assert stats.kstest(((y - mean) / 0.5).numpy(), "norm").pvalue > SMALLEST_P
    assert stats.kstest(((z - 1) / mean.abs()).numpy(), "norm").pvalue > SMALLEST_P


@pytest.mark.parametrize("rows", [1, 3])
def test_multinomial_with_replacement(rows: int) -> None:
    torch.manual_seed(19)
    weights = torch.tensor([0.0, 1.0, 4.0, 0.0, 3.0, 2.0]).expand(rows, 6)
    with anychip.using("strict"):
        x = torch.multinomial(weights, COUNT, replacement=True)
    for row in x:
        assert_counts(row, lambda k: weights[0].numpy()[k] / 10, 5)


def test_multinomial_without_replacement() -> None:
    torch.manual_seed(20)
    weights = torch.tensor([0.5, 0.2, 0.0, 0.3])
    with anychip.using("strict"):
        x = torch.multinomial(weights.expand(COUNT, 4), 3)
    assert torch.equal(x.sort(1).values, torch.tensor([0, 1, 3]).expand(COUNT, 3))
    pair = x[:, 0] * 4 + x[:, 1]
    p = weights.numpy()
    expected = np.array(
        [p[i // 4] * p[i % 4] / (1 - p[i // 4]) if i // 4 != i % 4 else 0.0 for i in range(16)]
    )
    assert_counts(pair, lambda k: expected[k], 15)


def test_bad_probabilities_raise() -> None:
    with anychip.using("strict"):
        for weights in ([-1.0, 2.0], [0.0, 0.0], [float("nan"), 1.0]):
            with pytest.raises(RuntimeError, match="multinomial"):
                torch.multinomial(torch.tensor(weights), 1)
        with pytest.raises(RuntimeError, match="bernoulli"):
            torch.bernoulli(torch.tensor([1.5]))
        with pytest.raises(RuntimeError, match="normal"):
            torch.normal(torch.zeros(3), torch.tensor([1.0, -1.0, 1.0]))


def test_random_covers_the_dtype() -> None:
    torch.manual_seed(21)
    with anychip.using("strict"):
        small = torch.empty(COUNT, dtype=torch.int8).random_()
        wide = torch.empty(COUNT, dtype=torch.int64).random_(-(1 << 63), None)
        coins = torch.empty(COUNT, dtype=torch.bool).random_()
    assert (small.min().item(), small.max().item()) == (0, 127)
    assert (
        stats.kstest(wide.numpy().astype(np.float64), stats.uniform(-(2.0**63), 2.0**64).cdf).pvalue
        > SMALLEST_P
    )
    assert abs(coins.float().mean().item() - 0.5) < 0.02


@pytest.mark.parametrize("fill", [lambda x: x.normal_(), lambda x: torch.poisson(x.fill_(20.0))])
def test_an_element_does_not_depend_on_how_many_there_are(
    fill: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    drawn = []
    for count in (100, 5000):
        torch.manual_seed(22)
        with anychip.using("strict"):
            drawn.append(fill(torch.empty(count)))
    assert torch.equal(drawn[0], drawn[1][:100])


def test_gamma_derivative() -> None:
    shapes = np.array([0.3, 1.0, 4.0, 50.0, 700.0])
    step = 1e-5 * shapes
    for share in (0.05, 0.5, 0.98):
        samples = stats.gamma.ppf(share, shapes)
        expected = (stats.gamma.ppf(share, shapes + step) - stats.gamma.ppf(share, shapes - step)) / (
            2 * step
        )
        with anychip.using("strict"):
            actual = torch.ops.aten._standard_gamma_grad(torch.tensor(shapes), torch.tensor(samples))
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-5)


def test_dirichlet_derivative() -> None:
    a, b = np.array([0.4, 1.0, 3.0, 60.0]), np.array([2.0, 0.7, 5.0, 30.0])
    step = 1e-5 * a
    for share in (0.05, 0.5, 0.95):
        x = stats.beta.ppf(share, a, b)
        slope = (stats.beta.ppf(share, a + step, b) - stats.beta.ppf(share, a - step, b)) / (2 * step)
        with anychip.using("strict"):
            actual = torch.ops.aten._dirichlet_grad(torch.tensor(x), torch.tensor(a), torch.tensor(a + b))
        np.testing.assert_allclose(actual.numpy(), slope / (1 - x), rtol=1e-5)
