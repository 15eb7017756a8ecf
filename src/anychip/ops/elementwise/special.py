"""Special functions: the error function and its relatives."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..pointwise import Promotion, pointwise

FLOAT = Promotion.INT_TO_FLOAT


@pointwise("erf", promotion=FLOAT)
@triton.jit
def erf(x):
    return tl.erf(x)


@pointwise("erfc", promotion=FLOAT)
@triton.jit
def erfc(x):
    return libdevice.erfc(x)


@pointwise("sinc", promotion=FLOAT)
@triton.jit
def sinc(x):
    angle = x * 3.141592653589793
    return tl.where(x == 0, 1.0, tl.sin(angle) / angle)
