"""Sparse matrices of SciPy and of PyTorch, in their formats: products and triangular solutions."""

from __future__ import annotations

from .products import addmm, mm, sampled_addmm, spsolve_triangular

__all__ = ["addmm", "mm", "sampled_addmm", "spsolve_triangular"]
