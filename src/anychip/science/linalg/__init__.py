"""Dense linear algebra that PyTorch has no name for, under the names and signatures of `scipy.linalg`."""

from __future__ import annotations

from .functions import expm, logm, sqrtm
from .pivoted import qr
from .polar import polar, spectral_projector
from .symmetric import eigh, ldl

__all__ = ["eigh", "expm", "ldl", "logm", "polar", "qr", "spectral_projector", "sqrtm"]
