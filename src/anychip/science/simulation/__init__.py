"""Steps of simulations on grids."""

from __future__ import annotations

from .lattice_boltzmann import LatticeBoltzmann

__all__ = ["LatticeBoltzmann"]
