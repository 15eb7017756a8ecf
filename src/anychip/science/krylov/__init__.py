"""Solvers of linear systems, least squares and eigenvalues by products with the matrix alone, under SciPy's
names."""

from __future__ import annotations

from .block_eigenvalues import lobpcg
from .eigenvalues import eigsh
from .gmres import gmres
from .least_squares import lsqr
from .singular import svds
from .solvers import bicgstab, cg, minres

__all__ = ["bicgstab", "cg", "eigsh", "gmres", "lobpcg", "lsqr", "minres", "svds"]
