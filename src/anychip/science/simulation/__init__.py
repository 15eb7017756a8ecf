"""Simulations of flow on a lattice, and of particles."""

from __future__ import annotations

from .ewald import ewald_energy
from .lattice_boltzmann import LatticeBoltzmann
from .lennard_jones import LennardJones, lennard_jones_energy, radial_distribution
from .neighbours import Neighbours, neighbours

__all__ = [
    "LatticeBoltzmann",
    "LennardJones",
    "Neighbours",
    "ewald_energy",
    "lennard_jones_energy",
    "neighbours",
    "radial_distribution",
]
