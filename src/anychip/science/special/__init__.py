"""Special functions that PyTorch has no name for, under those of `scipy.special`."""

from __future__ import annotations

from .elliptic import ellipe, ellipeinc, ellipk, ellipkinc, ellipkm1, elliprc, elliprd, elliprf
from .integrals import exp1, expi, sici, spence
from .lambert import lambertw
from .modified_bessel import iv, ive, kv, kve

__all__ = [
    "ellipe",
    "ellipeinc",
    "ellipk",
    "ellipkinc",
    "ellipkm1",
    "elliprc",
    "elliprd",
    "elliprf",
    "exp1",
    "expi",
    "iv",
    "ive",
    "kv",
    "kve",
    "lambertw",
    "sici",
    "spence",
]
