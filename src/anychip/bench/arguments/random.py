"""Arguments of operators that draw random numbers, and of those that take a step of an optimizer.

Flows in: a size. Flows out: arguments by overload; which of them give other numbers than PyTorch does.
"""

from __future__ import annotations

from typing import Any

import torch

from ...ops.registry import Sample
from .size import Size, Table, call, uniform


def _memory(s: Size, *more: object) -> Sample:
    return call(torch.empty(s.matrix()), *more)


def _noise(s: Size) -> Sample:
    return call(s.normal(), torch.empty(s.matrix()), 0.1, 0.3, True)


DRAWN: Table = {
    "uniform_": _memory,
    "log_normal_": lambda s: call(torch.empty(s.matrix(4))),
    "cauchy_": lambda s: call(torch.empty(s.matrix(4))),
    "geometric_": lambda s: call(torch.empty(s.matrix(4)), 0.5),
    "normal_": _memory,
    "exponential_": lambda s: call(torch.empty(s.matrix(2))),
    "bernoulli_.float": _memory,
    "random_.from": lambda s: _memory(s, 0, 1000),
    "random_.to": lambda s: _memory(s, 1000),
    "random_": _memory,
    "native_dropout": lambda s: call(s.normal(cost=2), 0.1, True),
    "rrelu_with_noise": _noise,
    "randperm.generator_out": lambda s: call(
        s.rows * 64, generator=None, out=torch.empty(s.rows * 64, dtype=torch.int64)
    ),
    "poisson": lambda s: call(s.uniform(0.5, 5.0, cost=16)),
    "binomial": lambda s: call(torch.full(s.matrix(32), 20.0), s.uniform(0.2, 0.8, cost=32)),
    "_standard_gamma": lambda s: call(s.uniform(0.5, 5.0, cost=32)),
    "_sample_dirichlet": lambda s: call(s.uniform(0.5, 5.0, cost=32)),
    "multinomial": lambda s: call(s.uniform(0.1, 1.0, cost=64), 16, True),
    "bernoulli_.Tensor": lambda s: _memory(s, s.uniform(0.0, 1.0)),
    "bernoulli.out": lambda s: call(s.uniform(0.0, 1.0), out=torch.empty(s.matrix())),
    "normal.Tensor_Tensor": lambda s: call(s.normal(), s.uniform(0.5, 2.0)),
    "normal.Tensor_float": lambda s: call(s.normal(), 2.0),
    "normal.float_Tensor": lambda s: call(0.5, s.uniform(0.5, 2.0)),
}
RANDOM = frozenset(DRAWN)
"""Results are compared in their mean and their spread."""


def _gamma_gradient(s: Size) -> Sample:
    alpha = s.uniform(0.5, 5.0, cost=32)
    return call(alpha, s.uniform(0.5, 5.0, cost=32, seed=1))


def _dirichlet_gradient(s: Size) -> Sample:
    alpha, total = s.uniform(0.5, 5.0, cost=64), s.uniform(6.0, 12.0, cost=64, seed=1)
    x = (alpha / total * s.uniform(0.5, 1.5, cost=64, seed=2)).clamp(max=0.95)
    return call(x, alpha, total)


APPROXIMATE = {"_standard_gamma_grad": 1e-3, "_dirichlet_grad": 2e-2}
"""What PyTorch computes by approximations that are this far off, in every type; ours are exact."""


PARTS = 4
"""Parameters that an optimizer steps."""


def _parameters(s: Size, seed: int = 0, low: float = -1.0) -> list[torch.Tensor]:
    rows, columns = s.matrix()
    return [uniform(low, 1.0, rows // PARTS, columns, seed=seed + k) for k in range(PARTS)]


def _steps() -> list[torch.Tensor]:
    return [torch.tensor(3.0) for _ in range(PARTS)]


def _adam(s: Size, rate: Any) -> Sample:
    lists = [_parameters(s), _parameters(s, 10), _parameters(s, 20), _parameters(s, 30, 0.1), [], _steps()]
    return call(
        *lists, lr=rate, beta1=0.9, beta2=0.999, weight_decay=0.01, eps=1e-8, amsgrad=False, maximize=False
    )


def _sgd(s: Size, rate: Any) -> Sample:
    return call(
        _parameters(s),
        _parameters(s, 10),
        _parameters(s, 20),
        weight_decay=0.01,
        momentum=0.9,
        lr=rate,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    )


def _adagrad(s: Size, rate: Any) -> Sample:
    lists = [_parameters(s), _parameters(s, 10), _parameters(s, 20, 0.1), _steps()]
    return call(*lists, lr=rate, lr_decay=0.0, weight_decay=0.01, eps=1e-8, maximize=False)


def _optimizers() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, make in (("adam", _adam), ("adamw", _adam), ("sgd", _sgd), ("adagrad", _adagrad)):
        for ending in ("", "_"):
            found[f"_fused_{name}{ending}"] = lambda s, make=make: make(s, 1e-3)
            found[f"_fused_{name}{ending}.tensor_lr"] = lambda s, make=make: make(
                s, torch.tensor(1e-3, dtype=torch.float64)
            )
    return found


def _unscale(s: Size) -> Sample:
    return call(_parameters(s), torch.tensor(0.0), torch.tensor(1.0))


def _update(s: Size) -> Sample:
    return call(torch.tensor(2.0), torch.tensor(0, dtype=torch.int32), torch.tensor(0.0), 1.0, 0.5, 2000)


TABLE: Table = {
    **DRAWN,
    "native_dropout_backward": lambda s: call(s.normal(), s.coins(), 1.25),
    "_standard_gamma_grad": _gamma_gradient,
    "_dirichlet_grad": _dirichlet_gradient,
    **_optimizers(),
    "_amp_foreach_non_finite_check_and_unscale": _unscale,
    "_amp_foreach_non_finite_check_and_unscale_": _unscale,
    "_amp_update_scale": _update,
    "_amp_update_scale_": _update,
}
