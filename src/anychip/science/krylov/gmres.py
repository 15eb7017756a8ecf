"""Generalised minimal residuals with restarts (Saad and Schultz, 1986), under SciPy's name and signature.
Bases are made orthogonal by classical Gram-Schmidt, once or twice, each two kernels over all vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..errors import InvalidValue
from .implicit import differentiable
from .solvers import NOT_FINITE
from .system import System, system
from .vectors import combine, gather, norm, orthogonal

EPSILON = torch.finfo(torch.float64).eps


def _cycle(problem: System, basis: torch.Tensor, r: torch.Tensor, tell: Callable[[float], None]) -> bool:
    """Up to as many steps as the basis has room for; changes x. Returns whether the space was exhausted."""
    first = problem.smoothed(r)
    size = rest = norm(first)
    if size == 0:
        return True
    bound = problem.target * size / norm(r)
    most = basis.shape[0] - 1
    combine(1.0 / size, first, 0.0, first, out=basis[0])
    triangle = torch.zeros((most, most), dtype=torch.float64)
    right = torch.zeros(most + 1, dtype=torch.float64)
    right[0] = size
    rotations: list[tuple[float, float]] = []
    exhausted = False
    while len(rotations) < most and rest > bound and not exhausted:
        k = len(rotations)
        w = problem.smoothed(problem.apply(basis[k]))
        if w.data_ptr() == r.data_ptr() or problem.smooth is not None:
            w = w.clone()
        found, length, below = orthogonal(basis[: k + 1], w)
        column = found.tolist()
        exhausted = below <= EPSILON * length
        if not exhausted:
            combine(1.0 / below, w, 0.0, w, out=basis[k + 1])
        else:
            below = 0.0
        for j, (c, s) in enumerate(rotations):
            column[j], column[j + 1] = c * column[j] + s * column[j + 1], c * column[j + 1] - s * column[j]
        diagonal = math.hypot(column[k], below)
        if diagonal == 0:
            break
        c, s = column[k] / diagonal, below / diagonal
        rotations.append((c, s))
        triangle[:k, k] = torch.tensor(column[:k], dtype=torch.float64)
        triangle[k, k] = diagonal
        right[k + 1] = -s * right[k]
        right[k] = c * right[k]
        rest = abs(float(right[k + 1]))
        tell(rest / problem.scale)
    count = len(rotations)
    if count:
        weights = torch.linalg.solve_triangular(triangle[:count, :count], right[:count, None], upper=True)[
            :, 0
        ]
        gather(problem.x, basis[:count], weights.to(problem.x.device))
    return exhausted


def _gmres(problem: System, restart: int, callback: Callable[..., Any] | None, kind: str) -> int:
    if problem.scale == 0:
        problem.x.zero_()
        return 0
    by_norm = callback if kind != "x" else None

    def tell(size: float) -> None:
        if by_norm is not None:
            by_norm(size)

    n = problem.x.numel()
    basis = torch.empty((restart + 1, n), dtype=problem.x.dtype, device=problem.x.device)
    for _ in range(problem.maxiter):
        r = problem.residual()
        size = norm(r)
        if not math.isfinite(size) or math.isnan(problem.target):
            return NOT_FINITE
        if size <= problem.target:
            return 0
        exhausted = _cycle(problem, basis, r, tell)
        if callback is not None and kind == "x":
            callback(problem.restore(problem.x))
        if exhausted:
            break
    size = norm(problem.residual())
    if not math.isfinite(size):
        return NOT_FINITE
    return 0 if size <= problem.target else problem.maxiter


def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    restart: int | None = None,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callable[[Any], Any] | None = None,
    callback_type: str | None = None,
) -> tuple[Any, int]:
    """(x, info) for any A [n, n] and b [n], by cycles of `restart` (20) steps, at most `maxiter` cycles; `M`
    approximates the inverse of A, and the norm that a cycle makes small is that of M (b - A x). `callback`
    gets the relative norm at each step ("pr_norm", "legacy" or nothing), or x after each cycle ("x"): unlike
    SciPy's, one without a type does not change what `maxiter` counts. float32, float64. Differentiable as
    `cg` is. Raises InvalidValue, InvalidType."""
    kind = "legacy" if callback_type is None else callback_type
    if kind not in ("x", "pr_norm", "legacy"):
        raise InvalidValue(f"Unknown callback_type: {callback_type!r}; it is x, pr_norm or legacy")
    problem = system(A, b, x0, rtol, atol, maxiter, M)
    size = max(1, min(20 if restart is None else restart, problem.x.numel()))
    info = _gmres(problem, size, callback, kind)
    again = {"rtol": rtol, "atol": atol, "restart": restart, "maxiter": maxiter}
    return differentiable(problem, A, b, lambda A, b: gmres(A, b, **again)), info
