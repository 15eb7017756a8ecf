"""Mathematical functions as LLVM IR: one file a family, no call into a library.

`emit` turns a canonical name and argument registers into a call of a function that this package
writes into the module; `FUNCTIONS` lists the names.
"""

from __future__ import annotations

from . import (
    bessel,
    directed,
    error_function,
    exponential,
    gamma,
    hyperbolic,
    integer,
    logarithm,
    manipulation,
    power,
    remainder,
    root,
    rounding,
    trigonometric,
)
from .table import FUNCTIONS, MathFunction, emit

__all__ = [
    "FUNCTIONS",
    "MathFunction",
    "bessel",
    "directed",
    "emit",
    "error_function",
    "exponential",
    "gamma",
    "hyperbolic",
    "integer",
    "logarithm",
    "manipulation",
    "power",
    "remainder",
    "root",
    "rounding",
    "trigonometric",
]
