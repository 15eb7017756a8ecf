"""BLAS 1 to 3 under the names and signatures of `scipy.linalg.blas`, with gradients: `daxpy`, and `axpy` of
whatever type its arguments have, half types too."""

from __future__ import annotations

from typing import Any

from .level1 import (
    asum,
    axpy,
    copy,
    dot,
    dotc,
    dotu,
    iamax,
    iamin,
    nrm2,
    rot,
    rotg,
    rotm,
    rotmg,
    scal,
    swap,
)
from .level2 import (
    gbmv,
    gemv,
    ger,
    gerc,
    geru,
    hbmv,
    hemv,
    her,
    her2,
    hpmv,
    hpr,
    hpr2,
    sbmv,
    spmv,
    spr,
    spr2,
    symv,
    syr,
    syr2,
    tbmv,
    tbsv,
    tpmv,
    tpsv,
    trmv,
    trsv,
)
from .level3 import gemm, hemm, her2k, herk, symm, syr2k, syrk, trmm, trsm
from .typed import ROUTINES, get_blas_funcs

__all__ = [
    "asum",
    "axpy",
    "copy",
    "dot",
    "dotc",
    "dotu",
    "gbmv",
    "gemm",
    "gemv",
    "ger",
    "gerc",
    "geru",
    "get_blas_funcs",
    "hbmv",
    "hemm",
    "hemv",
    "her",
    "her2",
    "her2k",
    "herk",
    "hpmv",
    "hpr",
    "hpr2",
    "iamax",
    "iamin",
    "nrm2",
    "rot",
    "rotg",
    "rotm",
    "rotmg",
    "sbmv",
    "scal",
    "spmv",
    "spr",
    "spr2",
    "swap",
    "symm",
    "symv",
    "syr",
    "syr2",
    "syr2k",
    "syrk",
    "tbmv",
    "tbsv",
    "tpmv",
    "tpsv",
    "trmm",
    "trmv",
    "trsm",
    "trsv",
]


def __getattr__(name: str) -> Any:
    if name in ROUTINES:
        return ROUTINES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *ROUTINES})
