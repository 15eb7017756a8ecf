"""A step of Kalman's filter, in one kernel: prediction and correction of a few states by a few measurements,
with the gain by Cholesky's factors (R. Kalman, 1960). An extended filter gives its Jacobians as matrices."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import torch

from ...ops.errors import ArgumentError
from ...ops.registry import Sample
from ...ops.samples import tensor
from ..formulas.formula import Formula
from ..formulas.graph import Number
from ..formulas.linear import solved
from ..formulas.small import Matrix, apply, matrix_plus, minus, plus, product, transpose
from ..registry import register_formulas

LARGEST = 12
"""States and measurements of one formula at most: its length grows with their third power."""


def _step(
    x: Sequence[Number],
    covariance: Matrix,
    transition: Matrix,
    process: Matrix,
    measured: Sequence[Number],
    observation: Matrix,
    noise: Matrix,
) -> list[object]:
    ahead = apply(transition, x)
    spread = matrix_plus(product(product(transition, covariance), transpose(transition)), process)
    seen = product(observation, spread)
    innovation = matrix_plus(product(seen, transpose(observation)), noise)
    # Columns of the gain's transpose: what the innovation's matrix takes to what is seen of each state.
    gain = [solved(innovation, column) for column in transpose(seen)]
    corrected = plus(ahead, apply(gain, minus(measured, apply(observation, ahead))))
    left = product(gain, seen)
    return [corrected, [minus(row, less) for row, less in zip(spread, left, strict=True)]]


@functools.cache
def _formula(states: int, measurements: int) -> Formula:
    n, m = states, measurements
    return Formula(
        f"kalman_step_{n}_{m}",
        _step,
        [(n,), (n, n), (n, n), (n, n), (m,), (m, n), (m, m)],
        [(n,), (n, n)],
    )


def kalman_step(
    state: torch.Tensor,
    covariance: torch.Tensor,
    transition: torch.Tensor,
    process_noise: torch.Tensor,
    measurement: torch.Tensor,
    observation: torch.Tensor,
    measurement_noise: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next state (..., n) and its covariance (..., n, n): the state moves by `transition` (..., n, n)
    with `process_noise` (..., n, n), and is corrected by a measurement (..., m) of `observation` (..., m,
    n) times it with `measurement_noise` (..., m, m); n and m are at most 12. Covariances are symmetric,
    that of the measurement positive definite. Differentiable."""
    n, m = state.shape[-1] if state.dim() else 0, measurement.shape[-1] if measurement.dim() else 0
    if not (1 <= n <= LARGEST and 1 <= m <= LARGEST):
        raise ArgumentError(
            f"kalman_step: state is {tuple(state.shape)}, measurement {tuple(measurement.shape)}; the last "
            f"dimensions must be 1 to {LARGEST}"
        )
    return _formula(n, m)(  # type: ignore[no-any-return]
        state, covariance, transition, process_noise, measurement, observation, measurement_noise
    )


# ---- records -----------------------------------------------------------------------------------------


def _plain(
    x: torch.Tensor,
    p: torch.Tensor,
    f: torch.Tensor,
    q: torch.Tensor,
    z: torch.Tensor,
    h: torch.Tensor,
    r: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    ahead = (f @ x[..., None])[..., 0]
    spread = f @ p @ f.mT + q
    seen = h @ spread
    innovation = seen @ h.mT + r
    lower = torch.tril(innovation)
    # Only the lower half is read, as the operator does.
    gain = torch.linalg.solve(lower + torch.tril(innovation, -1).mT, seen).mT
    corrected = ahead + (gain @ (z - (h @ ahead[..., None])[..., 0])[..., None])[..., 0]
    return corrected, spread - gain @ seen


def _covariance(shape: Sequence[int], size: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    root = tensor((*shape, size, size), torch.float64, -0.5, 0.5, seed)
    return (root @ root.mT + torch.eye(size, dtype=torch.float64)).to(dtype)


def _tracks(dtype: torch.dtype) -> Iterable[Sample]:
    n, m, rows = 4, 2, (9,)
    move = torch.eye(n, dtype=dtype) + 0.1 * tensor((n, n), dtype, -1.0, 1.0)
    yield Sample(
        (
            tensor((*rows, n), dtype),
            _covariance(rows, n, dtype, 0),
            move,
            0.1 * _covariance((), n, dtype, 1),
            tensor((*rows, m), dtype),
            tensor((m, n), dtype, -1.0, 1.0),
            _covariance((), m, dtype, 2),
        )
    )
    # Two of four states are measured, by themselves: gradients of the others' noise are weights, which no
    # rounding moves.
    one = torch.eye(n, dtype=dtype)
    state = torch.tensor([[1.0, -0.5, 2.0, 0.25]], dtype=dtype)
    measured = torch.tensor([[1.0, 0.5]], dtype=dtype)
    yield Sample(
        (state, one[None].clone(), one.clone(), one.clone(), measured, one[:m].clone(), 2.0 * one[:m, :m])
    )


register_formulas("kalman_step", "control", kalman_step, _plain, _tracks, [_formula(4, 2)])
