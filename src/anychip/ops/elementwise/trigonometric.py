"""Trigonometric and hyperbolic functions and their inverses."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..pointwise import Promotion, pointwise
from ..registry import FLOATING

FLOAT = Promotion.INT_TO_FLOAT


@pointwise("sin", promotion=FLOAT)
@triton.jit
def sin(x):
    return tl.sin(x)


@pointwise("cos", promotion=FLOAT)
@triton.jit
def cos(x):
    return tl.cos(x)


@pointwise("tan", promotion=FLOAT, low=-1.5, high=1.5)
@triton.jit
def tan(x):
    return libdevice.tan(x)


@pointwise("asin", promotion=FLOAT, low=-1.0, high=1.0)
@triton.jit
def asin(x):
    return libdevice.asin(x)


@pointwise("acos", promotion=FLOAT, low=-1.0, high=1.0)
@triton.jit
def acos(x):
    return libdevice.acos(x)


@pointwise("atan", promotion=FLOAT)
@triton.jit
def atan(x):
    return libdevice.atan(x)


@pointwise("atan2", promotion=FLOAT)
@triton.jit
def atan2(y, x):
    return libdevice.atan2(y, x)


@pointwise("sinh", promotion=FLOAT)
@triton.jit
def sinh(x):
    return libdevice.sinh(x)


@pointwise("cosh", promotion=FLOAT)
@triton.jit
def cosh(x):
    return libdevice.cosh(x)


@pointwise("tanh", promotion=FLOAT)
@triton.jit
def tanh(x):
    return libdevice.tanh(x)


@pointwise("tanh_backward", differentiable=False)
@triton.jit
def tanh_backward(gradient, output):
    return gradient * (1 - output * output)


@pointwise("asinh", promotion=FLOAT)
@triton.jit
def asinh(x):
    return libdevice.asinh(x)


@pointwise("acosh", promotion=FLOAT, low=1.01, high=5.0)
@triton.jit
def acosh(x):
    return libdevice.acosh(x)


@pointwise("atanh", promotion=FLOAT, low=-0.95, high=0.95)
@triton.jit
def atanh(x):
    return libdevice.atanh(x)


@pointwise("hypot", accepts=FLOATING)
@triton.jit
def hypot(x, y):
    return libdevice.hypot(x, y)
