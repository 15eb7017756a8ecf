"""Quantum circuits on state vectors and density matrices, with gradients."""

from __future__ import annotations

from .circuits import Circuit, DensityMatrix, fourier
from .states import expectation

__all__ = ["Circuit", "DensityMatrix", "expectation", "fourier"]
