"""Solvers of linear systems under SciPy's names, signatures and return codes. Each gives (x, info): info is 0
where the norm of b - A x, computed anew, is at most max(rtol |b|, atol); the number of iterations where that
was not reached; below zero where the method broke down or met a number that is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..errors import InvalidValue
from .implicit import differentiable
from .system import System, system
from .vectors import combine, dot, norm, step

NOT_FINITE = -1
RHO, OMEGA = -10, -11
"""SciPy's codes of the breakdowns of bicgstab."""
STAGNATION = 3
"""How often a solver starts anew from the true residual before it gives up."""


def _tell(callback: Callable[..., Any] | None, problem: System) -> None:
    if callback is not None:
        callback(problem.restore(problem.x))


def _solved(problem: System) -> bool:
    """Whether there is nothing to do: SciPy gives zeros for zeros."""
    if problem.scale == 0:
        problem.x.zero_()
        return True
    return False


def _cg(problem: System, callback: Callable[..., Any] | None) -> int:
    if _solved(problem):
        return 0
    r = problem.residual()
    size, rho, p, anew = norm(r), 0.0, r, 0
    for iteration in range(problem.maxiter):
        if not math.isfinite(size) or math.isnan(problem.target):
            return NOT_FINITE
        if size <= problem.target:
            r = problem.residual()
            size = norm(r)
            if size <= problem.target:
                return 0
            anew, rho = anew + 1, 0.0
            if anew > STAGNATION:
                return iteration
        z = problem.smoothed(r)
        last, rho = rho, dot(r, z) if problem.smooth else size * size
        p = z.clone() if last == 0 else combine(1.0, z, rho / last, p, out=p)
        q = problem.apply(p)
        curvature = dot(p, q)
        if curvature == 0:
            return NOT_FINITE
        size = step(problem.x, r, p, q, rho / curvature)
        _tell(callback, problem)
    return 0 if norm(problem.residual()) <= problem.target else problem.maxiter


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callable[[Any], Any] | None = None,
) -> tuple[Any, int]:
    """Conjugate gradients (Hestenes and Stiefel, 1952) for a symmetric positive definite A [n, n] and b [n];
    `M` approximates the inverse of A. float32, float64. Differentiable in b and in the values of A where
    these are tensors. Raises InvalidValue, InvalidType."""
    problem = system(A, b, x0, rtol, atol, maxiter, M)
    info = _cg(problem, callback)
    return differentiable(
        problem, A, b, lambda A, b: cg(A, b, rtol=rtol, atol=atol, maxiter=maxiter, M=M)
    ), info


def _bicgstab(problem: System, callback: Callable[..., Any] | None) -> int:
    if _solved(problem):
        return 0
    r = problem.residual()
    shadow, size, anew = r.clone(), norm(r), 0
    rho = alpha = omega = 1.0
    p, v = torch.zeros_like(r), torch.zeros_like(r)
    for iteration in range(problem.maxiter):
        if not math.isfinite(size) or math.isnan(problem.target):
            return NOT_FINITE
        if size <= problem.target:
            r = problem.residual()
            size = norm(r)
            if size <= problem.target:
                return 0
            anew += 1
            if anew > STAGNATION:
                return iteration
            shadow, rho, alpha, omega = r.clone(), 1.0, 1.0, 1.0
            p.zero_()
            v.zero_()
        last, rho = rho, dot(shadow, r)
        if abs(rho) < torch.finfo(torch.float64).eps ** 2 * problem.scale**2:
            return RHO
        beta = rho / last * (alpha / omega)
        combine(1.0, p, -omega, v, out=p)
        combine(1.0, r, beta, p, out=p)
        direction = problem.smoothed(p)
        v = problem.apply(direction)
        spread = dot(shadow, v)
        if spread == 0:
            return OMEGA
        alpha = rho / spread
        size = step(problem.x, r, direction, v, alpha)
        if size > problem.target:
            second = problem.smoothed(r)
            t = problem.apply(second)
            squared = dot(t, t)
            omega = dot(t, r) / squared if squared else 0.0
            if omega == 0:
                return OMEGA
            size = step(problem.x, r, second, t, omega)
        _tell(callback, problem)
    return 0 if norm(problem.residual()) <= problem.target else problem.maxiter


def bicgstab(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callable[[Any], Any] | None = None,
) -> tuple[Any, int]:
    """Stabilised biconjugate gradients (van der Vorst, 1992) for any A [n, n] and b [n]; `M` approximates the
    inverse of A. float32, float64. Differentiable in b and in the values of A where these are tensors. Raises
    InvalidValue, InvalidType."""
    problem = system(A, b, x0, rtol, atol, maxiter, M)
    info = _bicgstab(problem, callback)
    return differentiable(
        problem, A, b, lambda A, b: bicgstab(A, b, rtol=rtol, atol=atol, maxiter=maxiter)
    ), info


def _minres(problem: System, shift: float, callback: Callable[..., Any] | None) -> int:
    """Lanczos vectors and rotations (Paige and Saunders, "Solution of sparse indefinite systems of linear
    equations", 1975); starts anew from the true residual where that is larger than the recurrence's."""
    if _solved(problem):
        return 0
    if shift:
        plain = problem.apply
        problem.apply = lambda x: combine(1.0, plain(x), -shift, x)
    iteration, sizes = 0, []
    while True:
        r = problem.residual()
        sizes.append(norm(r))
        if not math.isfinite(sizes[-1]) or math.isnan(problem.target):
            return NOT_FINITE
        if sizes[-1] <= problem.target:
            return 0
        if iteration >= problem.maxiter or (len(sizes) > STAGNATION and sizes[-1] > 0.5 * sizes[-2]):
            return max(iteration, 1)
        iteration = _minres_from(problem, r, iteration, callback)
        if iteration < 0:
            return iteration


def _minres_from(
    problem: System, r: torch.Tensor, iteration: int, callback: Callable[..., Any] | None
) -> int:
    y = problem.smoothed(r)
    squared = dot(r, y)
    if squared < 0:
        raise InvalidValue("the preconditioner M is not positive definite")
    beta = phi = math.sqrt(squared)
    older, newer = r, r.clone()
    before, delta_bar, epsilon, cosine, sine = 0.0, 0.0, 0.0, -1.0, 0.0
    w, w_old = torch.zeros_like(r), torch.zeros_like(r)
    bound = problem.target * (phi / norm(r))
    while iteration < problem.maxiter and phi > bound:
        v = combine(1.0 / beta, y, 0.0, y)
        y = problem.apply(v)
        if before:
            combine(1.0, y, -beta / before, older, out=y)
        alpha = dot(v, y)
        combine(1.0, y, -alpha / beta, newer, out=y)
        older, newer = newer, y
        y = problem.smoothed(newer)
        before, squared = beta, dot(newer, y)
        if squared < 0:
            raise InvalidValue("the preconditioner M is not positive definite")
        beta = math.sqrt(squared)
        last = epsilon
        delta = cosine * delta_bar + sine * alpha
        gamma_bar = sine * delta_bar - cosine * alpha
        epsilon, delta_bar = sine * beta, -cosine * beta
        gamma = math.hypot(gamma_bar, beta)
        if gamma == 0:
            return iteration
        cosine, sine = gamma_bar / gamma, beta / gamma
        step_length, phi = cosine * phi, sine * phi
        oldest, w_old = w_old, w
        w = combine(1.0, v, -last, oldest)
        combine(1.0 / gamma, w, -delta / gamma, w_old, out=w)
        combine(1.0, problem.x, step_length, w, out=problem.x)
        iteration += 1
        _tell(callback, problem)
        if beta == 0:
            break
    return iteration


def minres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    shift: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callable[[Any], Any] | None = None,
    show: bool = False,
    check: bool = False,
) -> tuple[Any, int]:
    """Minimal residuals for a symmetric A - shift I, which may be indefinite; `M` is positive definite. info
    is 0 only where |b - (A - shift I) x| is at most rtol |b|: SciPy compares with |A| |x|, and says 0 with
    much of the residual left. `show` and `check` are taken, and print and test nothing. Differentiable as
    `cg` is. Raises InvalidValue, InvalidType."""
    problem = system(A, b, x0, rtol, 0.0, maxiter, M, 5)
    info = _minres(problem, shift, callback)
    return differentiable(
        problem, A, b, lambda A, b: minres(A, b, rtol=rtol, shift=shift, maxiter=maxiter, M=M)
    ), info
