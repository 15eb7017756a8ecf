"""Rounding to whole numbers. Integers are returned as they are."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..pointwise import pointwise
from ..registry import FLOATING, INTEGRAL

NUMERIC = (*FLOATING, *INTEGRAL)


@pointwise("floor", domain="elementwise", dtypes=NUMERIC)
@triton.jit
def floor(x):
    if x.dtype.is_floating():
        x = tl.floor(x)
    return x


@pointwise("ceil", domain="elementwise", dtypes=NUMERIC)
@triton.jit
def ceil(x):
    if x.dtype.is_floating():
        x = tl.ceil(x)
    return x


@pointwise("trunc", domain="elementwise", dtypes=NUMERIC)
@triton.jit
def trunc(x):
    if x.dtype.is_floating():
        x = tl.where(x < 0, tl.ceil(x), tl.floor(x))
    return x


@pointwise("round", domain="elementwise", dtypes=NUMERIC)
@triton.jit
def round_to_even(x):
    if x.dtype.is_floating():
        x = libdevice.rint(x)
    return x


@pointwise("frac", domain="elementwise")
@triton.jit
def frac(x):
    return x - tl.where(x < 0, tl.ceil(x), tl.floor(x))
