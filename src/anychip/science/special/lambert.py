"""Both real branches of Lambert's W, w exp(w) = x, under SciPy's name: Halley's iteration, and a series about
the branch point at -1/e, where x is compared with it in twice the precision (Corless, Gonnet, Hare, Jeffrey
and Knuth, "On the Lambert W function", 1996; DLMF 4.13). Computed in double precision."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import InvalidType, NotProvided
from .function import recorded, special

E_HIGH, E_LOW = tl.constexpr(2.718281828459045), tl.constexpr(1.4456468917292502e-16)
TERMS = tl.constexpr(18)


def _coefficients(count: int) -> list[float]:
    """Of powers of sqrt(2 (e x + 1)), by the recurrence of Corless and others (their 4.23)."""
    mu, alpha = [Fraction(-1), Fraction(1)], [Fraction(2), Fraction(-1)]
    for k in range(2, count):
        alpha.append(sum((mu[j] * mu[k + 1 - j] for j in range(2, k)), Fraction(0)))
        fading = Fraction(k - 1, k + 1) * (mu[k - 2] / 2 + alpha[k - 2] / 4)
        mu.append(fading - alpha[k] / 2 - mu[k - 1] / (k + 1))
    return [float(one) for one in mu]


SERIES = tl.constexpr(tuple(reversed(_coefficients(TERMS.value))))
"""The highest power's first."""
NEAR = tl.constexpr(0.1)

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def from_branch_point(x):
    """sqrt(2 (e x + 1)), NaN left of -1/e."""
    rest = tl.fma(x, tl.full(x.shape, E_HIGH, tl.float64), tl.full(x.shape, 1.0, tl.float64)) + E_LOW * x
    # the double next to -1/e lies a little left of it
    rest = tl.where((rest < 0) & (rest > -2e-16), 0.0, rest)
    return tl.sqrt(2.0 * rest)


@triton.jit
def series(p):
    """W by its expansion about the branch point."""
    value = tl.zeros_like(p)
    for coefficient in tl.static_range(TERMS):
        value = value * p + SERIES[coefficient]
    return value


@triton.jit
def polished(w, x):
    """Halley's iteration from w."""
    for _ in range(6):
        power = tl.exp(w)
        rest = w * power - x
        slope = power * (w + 1.0) - 0.5 * (w + 2.0) * rest / (w + 1.0)
        w -= rest / slope
    return w


@triton.jit
def principal(x):
    """The branch of W that is at least -1."""
    x = x.to(tl.float64)
    p = from_branch_point(x)
    usual = tl.where((x > -0.36) & (x < float("inf")), x, 1.0)
    q = tl.sqrt(2.0 * (E_HIGH * usual + 1.0))
    low = -1.0 + q - q * q / 3.0 + 0.15 * q * q * q
    large = tl.log(tl.maximum(usual, 3.0))
    high = large - tl.log(large) * (1.0 - 1.0 / large)
    middle = tl.log(1.0 + tl.maximum(usual, 0.0)) * 0.75
    small = usual * (1.0 - usual * (1.0 - 1.5 * usual))
    start = tl.where(usual > 3.0, high, tl.where(usual > 0.25, middle, tl.where(usual > -0.2, small, low)))
    value = polished(start, usual)
    value = tl.where(x <= -0.36, polished(series(tl.maximum(p, 0.1)), tl.maximum(x, -0.36605)), value)
    value = tl.where(p < NEAR, series(p), value)
    value = tl.where(x == float("inf"), x, value)
    return tl.where((p == p) & (x == x), value, float("nan"))


@triton.jit
def lower(x):
    """The branch of W that is at most -1, of -1/e <= x <= 0."""
    x = x.to(tl.float64)
    p = from_branch_point(x)
    inside = (x < 0) & (p == p)
    usual = tl.where(inside & (p >= NEAR), x, -0.1)
    first = tl.log(-usual)
    second = tl.log(-first)
    far = first - second + second / first
    q = tl.sqrt(2.0 * tl.maximum(E_HIGH * usual + 1.0, 0.0))
    near = -1.0 - q - q * q / 3.0 - 11.0 / 72.0 * q * q * q - 43.0 / 540.0 * q * q * q * q
    value = polished(tl.where(usual < -0.2, near, far), usual)
    value = tl.where(p < NEAR, series(-p), value)
    value = tl.where(x == 0, float("-inf"), value)
    return tl.where(inside | (x == 0), value, float("nan"))


# ---- names ----------------------------------------------------------------------------------------


def _principal_slope(x: torch.Tensor) -> torch.Tensor:
    w = _principal(x)
    return torch.exp(-w) / (1 + w)


def _lower_slope(x: torch.Tensor) -> torch.Tensor:
    w = _lower(x)
    return torch.exp(-w) / (1 + w)


_principal = special("lambertw", principal, ("z",), "Lambert's W.", (_principal_slope,))
_lower = special("lambertw", lower, ("z",), "Lambert's W.", (_lower_slope,))


def lambertw(z: Any, k: int = 0, tol: float = 1e-8) -> Any:
    """Lambert's W, w exp(w) = z, on its real branches: `k` 0 for z >= -1/e, -1 for -1/e <= z < 0; NaN
    elsewhere. Full precision whatever `tol`. Differentiable. float32, float64; integers in double. Raises
    InvalidType for complex numbers, NotProvided for other branches."""
    if k not in (0, -1):
        raise NotProvided(f"the branch {k} of W has no real values, which are served only")
    if not tol > 0:
        raise InvalidType(f"tol must be above 0, not {tol}")
    return (_principal if k == 0 else _lower)(z)


# ---- records --------------------------------------------------------------------------------------


def _reference(z: torch.Tensor) -> torch.Tensor:
    """By bisection, and a step of Newton's, which has the derivative."""
    x = z.detach().double()
    low, high = torch.full_like(x, -1.0), torch.full_like(x, 20.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = middle * middle.exp() < x
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low - (low * low.exp() - z) / (low.exp() * (1 + low))


recorded(lambertw, "Lambert's W", _reference, ((0.5, 30.0),), calm=(8.0,))
