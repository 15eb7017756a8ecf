"""Least squares by bidiagonalization (Paige and Saunders, "LSQR: an algorithm for sparse linear equations and
sparse least squares", 1982), under SciPy's name, signature and results."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ..arrays import inexact, taken
from ..errors import InvalidType, InvalidValue
from ..sparse.products import multiply
from .system import Apply, applied
from .vectors import combine, norm

EPSILON = torch.finfo(torch.float64).eps
ZERO, RESIDUAL, NORMAL, CONDITION, EXACT_RESIDUAL, EXACT_NORMAL, EXACT_CONDITION, LIMIT = range(8)
"""Why it stopped: x = 0 is the solution; |r| or |A^T r| is small enough; A has too large a condition; the
same as far as the precision reaches; iter_lim."""


def _both(A: Any, dtype: torch.dtype) -> tuple[Apply, Apply]:
    apply, _, _, rows = applied(A, "A", dtype)
    if rows is not None:
        turned = rows.transposed()
        return apply, lambda x: multiply(turned, x)
    if not hasattr(A, "rmatvec"):
        raise InvalidType(
            "lsqr needs an operator with rmatvec", "Give a matrix, or a LinearOperator that has one."
        )

    def backward(x: torch.Tensor) -> torch.Tensor:
        return inexact(taken(np.asarray(A.rmatvec(x.numpy())).reshape(-1))[0]).to(x.dtype).contiguous()

    return apply, backward


def _unit(x: torch.Tensor) -> tuple[torch.Tensor, float]:
    """A vector of length one, and its length before."""
    size = norm(x)
    return (combine(1.0 / size, x, 0.0, x) if size > 0 else x), size


def lsqr(
    A: Any,
    b: Any,
    damp: float = 0.0,
    atol: float = 1e-6,
    btol: float = 1e-6,
    conlim: float = 1e8,
    iter_lim: int | None = None,
    show: bool = False,
    calc_var: bool = False,
    x0: Any = None,
) -> tuple[Any, ...]:
    """The x that makes |A x - b|^2 + damp^2 |x - x0|^2 least, for A [m, n] of any shape and b [m]: x, why it
    stopped (0 to 7), iterations, |r|, |r| with damping, estimates of |A|, of the condition, of |A^T r| and
    of |x|, and the diagonal of (A^T A + damp^2 I)^-1 (zeros without `calc_var`). `show` prints nothing.
    float32, float64. Raises InvalidValue, InvalidType."""
    _, shape, known, _ = applied(A, "A")
    right, restore = taken(b, "b")
    if right.shape not in ((shape[0],), (shape[0], 1)):
        raise InvalidValue(f"shapes of A {tuple(shape)} and b {tuple(right.shape)} are incompatible")
    dtype = inexact(right).dtype if known is None else torch.promote_types(known, inexact(right).dtype)
    if dtype.is_complex:
        raise InvalidType("complex systems are not served", "Solve for real and imaginary parts together.")
    forward, backward = _both(A, dtype)
    given = right.detach().reshape(-1).to(dtype).contiguous()
    size_b = norm(given)
    if not math.isfinite(size_b):
        raise InvalidValue("b has elements that are not finite, or too large")
    if x0 is None:
        x = given.new_zeros(shape[1])
        u, beta = _unit(given.clone())
    else:
        x = taken(x0, "x0")[0].detach().reshape(-1).to(dtype).clone()
        u, beta = _unit(combine(1.0, given, -1.0, forward(x)))
    v, alpha = _unit(backward(u)) if beta > 0 else (x.clone(), 0.0)
    variances = torch.zeros_like(x)
    residual = damped = beta
    arnorm = alpha * beta
    if arnorm == 0:
        return restore(x), ZERO, 0, residual, damped, 0.0, 0.0, arnorm, 0.0, restore(variances)
    w, rho_bar, phi_bar = v.clone(), alpha, beta
    squares = size_a = size_d = size_x = squared_x = lost = z = sine_2 = 0.0
    cosine_2, why, iteration, limit = -1.0, ZERO, 0, 2 * shape[1] if iter_lim is None else iter_lim
    bound = 1 / conlim if conlim > 0 else 0.0
    condition = 0.0
    while iteration < limit and why == ZERO:
        iteration += 1
        u, beta = _unit(combine(1.0, forward(v), -alpha, u))
        squares += alpha**2 + beta**2 + damp**2
        if beta > 0:
            v, alpha = _unit(combine(1.0, backward(u), -beta, v))
        if not (math.isfinite(alpha) and math.isfinite(beta)):
            raise InvalidValue("A has elements that are not finite, or too large")
        damped_rho = math.hypot(rho_bar, damp)
        psi = damp / damped_rho * phi_bar
        phi_bar *= rho_bar / damped_rho
        rho = math.hypot(damped_rho, beta)
        cosine, sine = damped_rho / rho, beta / rho
        theta, rho_bar = sine * alpha, -cosine * alpha
        phi, phi_bar = cosine * phi_bar, sine * phi_bar
        scaled = combine(1.0 / rho, w, 0.0, w)
        combine(1.0, x, phi, scaled, out=x)
        w = combine(1.0, v, -theta, scaled)
        size_d += norm(scaled) ** 2
        if calc_var:
            variances += scaled * scaled
        delta, gamma_bar, rest = sine_2 * rho, -cosine_2 * rho, phi - sine_2 * rho * z
        size_x = math.sqrt(squared_x + (rest / gamma_bar) ** 2)
        gamma = math.hypot(gamma_bar, theta)
        cosine_2, sine_2, z = gamma_bar / gamma, theta / gamma, (phi - delta * z) / gamma
        squared_x += z * z
        lost += psi * psi
        size_a, damped = math.sqrt(squares), math.sqrt(phi_bar**2 + lost)
        condition, arnorm = size_a * math.sqrt(size_d), alpha * abs(sine * phi)
        plain = damped**2 - damp**2 * squared_x
        residual = math.copysign(math.sqrt(abs(plain)), plain)
        first = damped / size_b if size_b else math.inf
        second, third = arnorm / (size_a * damped + EPSILON), 1 / (condition + EPSILON)
        relative = size_a * size_x / size_b if size_b else 0.0
        tests = (
            (RESIDUAL, first <= btol + atol * relative),
            (NORMAL, second <= atol),
            (CONDITION, third <= bound),
            (EXACT_RESIDUAL, 1 + first / (1 + relative) <= 1),
            (EXACT_NORMAL, 1 + second <= 1),
            (EXACT_CONDITION, 1 + third <= 1),
            (LIMIT, iteration >= limit),
        )
        why = next((code for code, met in tests if met), ZERO)
    numbers = (residual, damped, size_a, condition, arnorm, size_x)
    return restore(x), why, iteration, *numbers, restore(variances)
