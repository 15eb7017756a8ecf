"""Simulations of flow on a lattice, of particles and bodies, and Poisson's equation."""

from __future__ import annotations

from .ewald import ewald_energy
from .gravity import gravity_energy
from .lattice_boltzmann import LatticeBoltzmann
from .lennard_jones import LennardJones, lennard_jones_energy, radial_distribution
from .neighbour_lists import Neighbours, neighbours
from .poisson import solve_poisson

__all__ = [
    "LatticeBoltzmann",
    "LennardJones",
    "Neighbours",
    "ewald_energy",
    "gravity_energy",
    "lennard_jones_energy",
    "neighbours",
    "radial_distribution",
    "solve_poisson",
]
