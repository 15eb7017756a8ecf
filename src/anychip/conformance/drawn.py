"""Trials of the operators whose records have no samples: random numbers, and the helpers of running extremes.

PyTorch's draws differ from ours by design, so random results on a chip are compared with what the same
kernels drew on this machine from the same seed; that those follow their distributions is tested elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from ..evidence.inputs import SEED
from ..evidence.trial import Trial
from ..pytorch import using

Ready = Callable[[torch.dtype], Callable[[], Any]]
"""Makes the inputs in a dtype, and gives the call."""

_SHAPE = (6, 7)


def _between(low: float, high: float, dtype: torch.dtype) -> torch.Tensor:
    """Values in no order, so that running extremes change more than once."""
    steps = torch.arange(42, dtype=torch.float64) * 17 % 42 / 41
    return (low + (high - low) * steps).reshape(_SHAPE).to(dtype)


def _filled(name: str, *parameters: float) -> Ready:
    """A method that fills a tensor."""
    return lambda dtype: lambda: getattr(torch.empty(_SHAPE, dtype=dtype), name)(*parameters)


def _bernoulli_by(dtype: torch.dtype) -> Callable[[], Any]:
    odds = _between(0.1, 0.9, dtype)
    return lambda: (torch.empty(_SHAPE, dtype=dtype).bernoulli_(odds), torch.bernoulli(odds))


def _binomial(dtype: torch.dtype) -> Callable[[], Any]:
    count, odds = torch.full(_SHAPE, 9, dtype=dtype), _between(0.1, 0.9, dtype)
    return lambda: torch.binomial(count, odds)


def _gamma(dtype: torch.dtype) -> Callable[[], Any]:
    shape = _between(0.5, 4.0, dtype)
    return lambda: (
        torch.ops.aten._standard_gamma(shape),
        torch.ops.aten._sample_dirichlet(shape),
    )


def _multinomial(dtype: torch.dtype) -> Callable[[], Any]:
    weights = _between(0.1, 0.9, dtype)
    return lambda: (torch.multinomial(weights, 3), torch.multinomial(weights, 9, replacement=True))


def _normal_by(dtype: torch.dtype) -> Callable[[], Any]:
    mean, deviation = _between(-2.0, 2.0, dtype), _between(0.1, 3.0, dtype)
    return lambda: (
        torch.normal(mean, deviation),
        torch.normal(mean, 2.0),
        torch.normal(1.0, deviation),
    )


def _poisson(dtype: torch.dtype) -> Callable[[], Any]:
    rates = _between(0.5, 20.0, dtype)
    return lambda: torch.poisson(rates)


def _random(dtype: torch.dtype) -> Callable[[], Any]:
    return lambda: (
        torch.empty(_SHAPE, dtype=dtype).random_(3, 90),
        torch.empty(_SHAPE, dtype=dtype).random_(50),
        torch.empty(_SHAPE, dtype=dtype).random_(),
    )


def _extreme(function: Callable[[torch.Tensor, int], Any]) -> Ready:
    def ready(dtype: torch.dtype) -> Callable[[], Any]:
        x = _between(-3.0, 3.0, dtype)
        return lambda: tuple(function(x, 0)) + tuple(function(x, 1))

    return ready


DRAWN: dict[str, Ready] = {
    "bernoulli": _filled("bernoulli_", 0.3),
    "bernoulli_by": _bernoulli_by,
    "binomial": _binomial,
    "cauchy": _filled("cauchy_", 1.0, 2.0),
    "exponential": _filled("exponential_", 1.5),
    "gamma": _gamma,
    "geometric": _filled("geometric_", 0.3),
    "log_normal": _filled("log_normal_", 0.5, 0.25),
    "multinomial": _multinomial,
    "normal": _filled("normal_", 1.0, 2.0),
    "normal_by": _normal_by,
    "poisson": _poisson,
    "random": _random,
    "uniform": _filled("uniform_", -1.0, 2.0),
}
"""Operator -> its call; what this machine draws is what a chip must draw."""

TOLD: dict[str, Ready] = {"cummax": _extreme(torch.cummax), "cummin": _extreme(torch.cummin)}
"""Operator -> its call; PyTorch tells the result."""


def trials(name: str, dtype: torch.dtype) -> Iterator[Trial]:
    """The trial of an operator of these tables, if it is in one. No policy may be in force."""
    if name in TOLD:
        call = TOLD[name](dtype)
        yield _trial(name, dtype, call, call())
    elif name in DRAWN:
        call = DRAWN[name](dtype)
        torch.manual_seed(SEED)
        with using("strict"):
            native = call()
        yield _trial(name, dtype, call, native)


def _trial(name: str, dtype: torch.dtype, call: Callable[[], Any], native: Any) -> Trial:
    words = f"{name} {str(dtype).removeprefix('torch.')}{list(_SHAPE)}"
    return Trial("record", words, (call,), native, elements=42)
