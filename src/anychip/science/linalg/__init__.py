"""Dense linear algebra that PyTorch has no name for, under the names and signatures of `scipy.linalg`."""

from __future__ import annotations

from .banded import fwht, khatri_rao, kron, solve_banded
from .functions import expm, logm, sqrtm
from .pivoted import qr
from .polar import polar, spectral_projector
from .symmetric import eigh, ldl

__all__ = [
    "eigh",
    "expm",
    "fwht",
    "khatri_rao",
    "kron",
    "ldl",
    "logm",
    "polar",
    "qr",
    "solve_banded",
    "spectral_projector",
    "sqrtm",
]
