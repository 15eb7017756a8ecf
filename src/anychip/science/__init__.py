"""Scientific computing under SciPy's names: `anychip.science.fft` has the transforms (and is a back end of
`scipy.fft`), `anychip.science.sparse` products with sparse matrices, and the package itself the solvers.
Arrays of NumPy in, arrays out; tensors of any chip in, tensors out, with gradients where docs/science.md
says so."""

from __future__ import annotations

from typing import Any

from ..packages import require

require("anychip.science", ["torch", "numpy"])

from ..ops.rooms import ROOMS  # noqa: E402
from . import fft, sparse  # noqa: E402
from .krylov import bicgstab, cg, eigsh, gmres, lobpcg, lsqr, minres  # noqa: E402
from .registry import operators  # noqa: E402

__all__ = ["bicgstab", "cg", "eigsh", "fft", "gmres", "lobpcg", "lsqr", "minres", "operators", "sparse"]


def __getattr__(name: str) -> Any:
    return ROOMS["science"].attribute(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *operators()})
