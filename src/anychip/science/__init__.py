"""Scientific computing under SciPy's names: `anychip.science.fft` has the transforms (and is a back end of
`scipy.fft`), `sparse` products with sparse matrices, the package itself the solvers and factors of these,
`linalg`, `special`, `signal` and `integrate` what SciPy has under these names.
Arrays of NumPy in, arrays out; tensors of any chip in, tensors out, with gradients where docs/science.md
says so."""

from __future__ import annotations

from typing import Any

from ..packages import require

require("anychip.science", ["torch", "numpy"])

from ..ops.rooms import ROOMS  # noqa: E402
from . import (  # noqa: E402
    blas,
    cluster,
    csgraph,
    fft,
    integrate,
    interpolate,
    linalg,
    qmc,
    quantum,
    signal,
    simulation,
    sparse,
    special,
)
from .factors.direct import splu, spsolve  # noqa: E402
from .factors.incomplete import ilu0  # noqa: E402
from .krylov import bicgstab, cg, eigsh, gmres, lobpcg, lsqr, minres, svds  # noqa: E402
from .multigrid import multigrid  # noqa: E402
from .registry import operators  # noqa: E402
from .smoothers import chebyshev, jacobi  # noqa: E402

__all__ = [
    "bicgstab",
    "blas",
    "cg",
    "chebyshev",
    "cluster",
    "csgraph",
    "eigsh",
    "fft",
    "gmres",
    "ilu0",
    "integrate",
    "interpolate",
    "jacobi",
    "linalg",
    "lobpcg",
    "lsqr",
    "minres",
    "multigrid",
    "operators",
    "qmc",
    "quantum",
    "signal",
    "simulation",
    "sparse",
    "special",
    "splu",
    "spsolve",
    "svds",
]


def __getattr__(name: str) -> Any:
    return ROOMS["science"].attribute(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *operators()})
