"""Quadrature and initial value problems under the names of `scipy.integrate`."""

from __future__ import annotations

from .initial_value import solve_ivp
from .quadrature import cumulative_trapezoid, fixed_quad, simpson, trapezoid
from .symplectic import leapfrog

__all__ = ["cumulative_trapezoid", "fixed_quad", "leapfrog", "simpson", "solve_ivp", "trapezoid"]
