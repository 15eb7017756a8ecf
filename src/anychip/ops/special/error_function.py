"""Relatives of the error function: its inverse, its scaled complement, the inverse of the normal
distribution and the logarithm of the distribution."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..pointwise import Promotion, pointwise

FLOAT = Promotion.INT_TO_FLOAT


@pointwise("erfinv", promotion=FLOAT, low=-0.95, high=0.95, tolerance=4.0)
@triton.jit
def erfinv(x):
    return libdevice.erfinv(x)


@pointwise("special_erfcx", promotion=FLOAT, low=-3.0, high=9.0, tolerance=16.0)
@triton.jit
def special_erfcx(x):
    return tl.where(x < -27.0, float("inf"), libdevice.erfcx(tl.where(x < -27.0, 0.0, x)))


@pointwise("special_ndtri", promotion=FLOAT, low=0.02, high=0.98, tolerance=4.0)
@triton.jit
def special_ndtri(x):
    return libdevice.normcdfinv(x)


@pointwise("special_log_ndtr", promotion=FLOAT, low=-9.0, high=6.0, tolerance=4.0)
@triton.jit
def special_log_ndtr(x):
    """By the scaled complement below -1, where the distribution itself vanishes."""
    low = x < -1.0
    t = x * 0.7071067811865476
    tail = tl.log(libdevice.erfcx(tl.where(low, -t, 1.0)) * 0.5) - t * t
    return tl.where(low, tail, libdevice.log1p(libdevice.erfc(tl.where(low, 0.0, t)) * -0.5))
