"""Comparisons, tests for special values, and the larger or smaller of two."""

from __future__ import annotations

import triton
import triton.language as tl

from ..pointwise import Promotion, pointwise
from ..registry import ALL, FLOATING, INTEGRAL

BOOL = Promotion.ALWAYS_BOOL
NUMERIC = (*FLOATING, *INTEGRAL)


@pointwise("eq.Tensor", "eq.Scalar", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def eq(x, y):
    return x == y


@pointwise("ne.Tensor", "ne.Scalar", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def ne(x, y):
    return x != y


@pointwise("lt.Tensor", "lt.Scalar", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def lt(x, y):
    return x < y


@pointwise("le.Tensor", "le.Scalar", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def le(x, y):
    return x <= y


@pointwise("gt.Tensor", "gt.Scalar", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def gt(x, y):
    return x > y


@pointwise("ge.Tensor", "ge.Scalar", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def ge(x, y):
    return x >= y


@pointwise("isnan", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def isnan(x):
    return x != x


@pointwise("isposinf", promotion=BOOL, dtypes=FLOATING, differentiable=False)
@triton.jit
def isposinf(x):
    return x == float("inf")


@pointwise("isneginf", promotion=BOOL, dtypes=FLOATING, differentiable=False)
@triton.jit
def isneginf(x):
    return x == float("-inf")


@pointwise("maximum", dtypes=ALL)
@triton.jit
def maximum(x, y):
    if x.dtype.is_floating():
        result = tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)
    else:
        result = tl.maximum(x, y)
    return result


@pointwise("minimum", dtypes=ALL)
@triton.jit
def minimum(x, y):
    if x.dtype.is_floating():
        result = tl.minimum(x, y, propagate_nan=tl.PropagateNan.ALL)
    else:
        result = tl.minimum(x, y)
    return result


@pointwise("fmax", dtypes=NUMERIC)
@triton.jit
def fmax(x, y):
    return tl.maximum(x, y)


@pointwise("fmin", dtypes=NUMERIC)
@triton.jit
def fmin(x, y):
    return tl.minimum(x, y)
