"""Steps of action heads: denoising (J. Song and others, Denoising diffusion implicit models, 2021), flow
matching (Y. Lipman and others, 2023), and the mean of overlapping chunks of actions (T. Zhao and others,
Learning fine-grained bimanual manipulation, 2023). Flows in: what a network predicted. Flows out: the next
actions."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ...ops.errors import ArgumentError
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import Formula
from ..formulas.graph import Number, add, div, exp, mul, neg, select, sqrt, sub
from ..formulas.small import total
from ..registry import register_formulas

LARGEST = 128
"""Chunks that one formula takes the mean of at most."""


def _denoised(
    x: Number, noise: Number, now: Number, after: Number, eta: Number, fresh: Number
) -> list[Number]:
    clean = div(sub(x, mul(sqrt(sub(1.0, now)), noise)), sqrt(now))
    spread = mul(mul(eta, eta), mul(div(sub(1.0, after), sub(1.0, now)), sub(1.0, div(now, after))))
    kept = sub(sub(1.0, after), spread)
    known: Any = kept > 0.0  # type: ignore[operator]
    # The last step is to a level without noise, where roots have no derivative.
    direction = select(known, sqrt(select(known, kept, 1.0)), 0.0)
    some: Any = spread > 0.0  # type: ignore[operator]
    again = select(some, sqrt(select(some, spread, 1.0)), 0.0)
    return [add(add(mul(sqrt(after), clean), mul(direction, noise)), mul(again, fresh))]


def _flowed(x: Number, velocity: Number, step: Number) -> list[Number]:
    return [add(x, mul(step, velocity))]


def _mean(chunks: Sequence[Number], valid: Sequence[Number], rate: Number) -> list[Number]:
    weights = [mul(present, exp(mul(float(k), neg(rate)))) for k, present in enumerate(valid)]
    return [div(total([mul(w, x) for w, x in zip(weights, chunks, strict=True)]), total(weights))]


_DDIM = Formula("ddim_step", _denoised, [()] * 6, [()])
_FLOW = Formula("flow_step", _flowed, [()] * 3, [()])


@functools.cache
def _ensemble(count: int) -> Formula:
    return Formula(f"temporal_ensemble_{count}", _mean, [(count,), (count,), ()], [()])


def ddim_step(
    sample: torch.Tensor,
    noise: torch.Tensor,
    alpha: torch.Tensor,
    next_alpha: torch.Tensor,
    eta: torch.Tensor,
    fresh: torch.Tensor,
) -> torch.Tensor:
    """The less noisy sample (...): `noise` (...) is what the network predicts to be in it, `alpha` and
    `next_alpha` (...) are the products of alphas up to this step and the next, in (0, 1]; `eta` (...) is 0
    for no `fresh` noise (...) and 1 for that of diffusion (DDPM). Differentiable."""
    return _DDIM(sample, noise, alpha, next_alpha, eta, fresh)  # type: ignore[no-any-return]


def flow_step(sample: torch.Tensor, velocity: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """The sample (...) after a step of Euler's along a flow's velocity (...); `step` (...) is below 0 where
    time goes from noise at 1 to actions at 0. Differentiable."""
    return _FLOW(sample, velocity, step)  # type: ignore[no-any-return]


def temporal_ensemble(chunks: torch.Tensor, valid: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    """The action (..., n) of a time for which chunks predicted actions (..., count, n), oldest first: their
    mean, weighted by exp(-rate k) of their place k and by `valid` (..., count), 1 where there is one.
    Up to 128 chunks. Differentiable."""
    count = valid.shape[-1] if valid.dim() else 0
    if chunks.dim() < 2 or chunks.shape[-2] != count or not 1 <= count <= LARGEST:
        raise ArgumentError(
            f"temporal_ensemble: chunks are {tuple(chunks.shape)}, valid {tuple(valid.shape)}; give "
            f"(..., count, n) and (..., count), of up to {LARGEST} chunks"
        )
    return _ensemble(count)(chunks.mT, valid[..., None, :], rate)  # type: ignore[no-any-return]


# ---- records -----------------------------------------------------------------------------------------


def _ddim_plain(
    x: torch.Tensor,
    noise: torch.Tensor,
    now: torch.Tensor,
    after: torch.Tensor,
    eta: Any,
    fresh: torch.Tensor,
) -> torch.Tensor:
    clean = (x - (1 - now).sqrt() * noise) / now.sqrt()
    deviation = eta * ((1 - after) / (1 - now) * (1 - now / after)).sqrt()
    return after.sqrt() * clean + (1 - after - deviation**2).sqrt() * noise + deviation * fresh


def _mean_plain(chunks: torch.Tensor, valid: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    weights = valid * torch.exp(-rate * torch.arange(valid.shape[-1], dtype=valid.dtype))
    return (weights[..., None] * chunks).sum(-2) / weights.sum(-1, keepdim=True)


def _levels(dtype: torch.dtype) -> Iterable[Sample]:
    now, after = (torch.tensor(x, dtype=dtype) for x in (0.4, 0.55))
    eta = torch.tensor(0.6, dtype=dtype)
    batch = [tensor((3, 30), dtype, seed=k) for k in range(3)]
    yield Sample((batch[0], batch[1], now, after, eta, batch[2]))
    # The sample's gradient is a root of 1.7 times a weight of 50 / 64: just above 1, it moves by one unit.
    one = [torch.tensor([x], dtype=dtype) for x in (1.0, -0.5, 0.3, 0.51, 0.5, 0.25)]
    yield Sample(tuple(one))


def _steps(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 30), dtype), tensor((3, 30), dtype, seed=1), torch.tensor(-0.1, dtype=dtype)))


def _chunks(dtype: torch.dtype) -> Iterable[Sample]:
    valid = torch.ones(2, 5, dtype=dtype)
    valid[1, :2] = 0.0
    yield Sample((tensor((2, 5, 7), dtype), valid, torch.tensor(0.1, dtype=dtype)))


for _name, _function, _plain, _samples, _formulas in (
    ("ddim_step", ddim_step, _ddim_plain, _levels, [_DDIM]),
    ("flow_step", flow_step, lambda x, v, step: x + step * v, _steps, [_FLOW]),
    ("temporal_ensemble", temporal_ensemble, _mean_plain, _chunks, [_ensemble(5)]),
):
    register_formulas(_name, "control", _function, _plain, _samples, _formulas)
