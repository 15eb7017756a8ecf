"""Control by sampled motions: the update of model predictive path integrals (G. Williams and others,
Information theoretic MPC, ICRA 2017). Flows in: controls, the noise that was tried on them, and what each
trial cost. Flows out: controls that lean to the cheap trials."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import torch

from ...ops.errors import ArgumentError
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import Formula
from ..formulas.graph import Number, detached, div, exp, minimum, sub
from ..formulas.small import dot, total
from ..registry import register_formulas

LARGEST = 256
"""Trials of one formula at most."""


def _updated(control: Number, noise: Sequence[Number], costs: Sequence[Number], heat: Number) -> list[Number]:
    least = costs[0]
    for cost in costs[1:]:
        least = minimum(least, cost)
    # Any shift gives the same shares, so that it has no derivative.
    least = detached(least)
    weights = [exp(div(sub(least, cost), heat)) for cost in costs]
    return [control + div(dot(weights, noise), total(weights))]


@functools.cache
def _formula(samples: int) -> Formula:
    return Formula(f"mppi_update_{samples}", _updated, [(), (samples,), (samples,), ()], [()])


def mppi_update(
    controls: torch.Tensor, noise: torch.Tensor, costs: torch.Tensor, temperature: torch.Tensor
) -> torch.Tensor:
    """Controls (..., horizon, n) moved by the mean of `noise` (..., samples, horizon, n), each trial
    weighted by exp(-cost / temperature) of its cost (..., samples); temperature is a number above 0 or
    (...) of them. Up to 256 samples. Differentiable."""
    samples = costs.shape[-1] if costs.dim() else 0
    if (
        controls.dim() < 2
        or not 1 <= samples <= LARGEST
        or noise.shape[-3:] != (samples, *controls.shape[-2:])
    ):
        raise ArgumentError(
            f"mppi_update: controls are {tuple(controls.shape)}, noise {tuple(noise.shape)}, costs "
            f"{tuple(costs.shape)}; give (..., horizon, n), (..., samples, horizon, n) and (..., samples), "
            f"with up to {LARGEST} samples"
        )
    by_trial = noise.movedim(-3, -1)
    return _formula(samples)(  # type: ignore[no-any-return]
        controls, by_trial, costs[..., None, None, :], temperature[..., None, None]
    )


# ---- records -----------------------------------------------------------------------------------------


def _plain(
    controls: torch.Tensor, noise: torch.Tensor, costs: torch.Tensor, temperature: torch.Tensor
) -> torch.Tensor:
    weights = torch.softmax(-costs / temperature[..., None], -1)
    return controls + torch.einsum("...s,...stn->...tn", weights, noise)


def _trials(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample(
        (
            tensor((2, 5, 3), dtype),
            tensor((2, 16, 5, 3), dtype, -1.0, 1.0),
            tensor((2, 16), dtype, 0.0, 4.0),
            torch.tensor(0.7, dtype=dtype),
        )
    )


register_formulas("mppi_update", "control", mppi_update, _plain, _trials, [_formula(16)])
