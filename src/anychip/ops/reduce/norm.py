"""Vector norms of any order over any dimensions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..complex_pointwise import PARTS
from ..elementwise.arithmetic import absolute
from ..errors import ArgumentError
from ..reduction import TILES, Reduction, accumulator
from ..registry import FLOATING, Operator, Overload, Sample, register
from ..samples import tensor
from .extremes import larger, smaller
from .sums import plus

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def magnitude(value, order):
    return tl.abs(value)


@triton.jit
def squared(value, order):
    return value * value


@triton.jit
def powered(value, order):
    return libdevice.pow(tl.abs(value), order)


@triton.jit
def is_nonzero(value, order):
    return (value != 0).to(value.dtype)


@triton.jit
def root(total, order, count):
    return tl.sqrt(total)


@triton.jit
def rooted(total, order, count):
    return libdevice.pow(total, 1.0 / order)


# ---- forward --------------------------------------------------------------------------------------

NORMS = {
    0.0: Reduction("norm_0", plus, 0, map=is_nonzero),
    1.0: Reduction("norm_1", plus, 0, map=magnitude),
    2.0: Reduction("norm_2", plus, 0, map=squared, finish=root),
    math.inf: Reduction("norm_inf", larger, 0, map=magnitude, exact=True),
    -math.inf: Reduction("norm_-inf", smaller, math.inf, map=magnitude, exact=True),
}
ANY_NORM = Reduction("norm_p", plus, 0, map=powered, finish=rooted)


def linalg_vector_norm(
    self: torch.Tensor,
    ord: float = 2,
    dim: Any = None,
    keepdim: bool = False,
    *,
    dtype: torch.dtype | None = None,
    out: Any = None,
) -> torch.Tensor:
    """(sum |x|^ord)^(1/ord) over `dim` (None: all); orders 0, inf and -inf as in NumPy."""
    if self.is_complex():
        self = absolute(self)
    result = PARTS.get(dtype, dtype) if dtype else self.dtype
    if not result.is_floating_point:
        raise ArgumentError(f"linalg.vector_norm: Expected a floating point tensor as input. Got {result}")
    order = float(ord)
    reduction = NORMS.get(order, ANY_NORM)
    return reduction(self, dim, keepdim, compute=accumulator(result), result=result, parameter=order, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    for order in (2, 1, 0, math.inf, -math.inf, 3, 0.5):
        yield Sample((tensor((5, 9), dtype), order, [1], True))
    for dims in (None, [0], [0, 2]):
        yield Sample((tensor((3, 4, 5), dtype), 2, dims))


register(
    Operator(
        name="linalg_vector_norm",
        overloads=(Overload("linalg_vector_norm", linalg_vector_norm, _samples),),
        kernels=tuple(norm.kernel for norm in (*NORMS.values(), ANY_NORM)),
        dtypes=FLOATING,
        tiles=TILES,
        tolerance=2.0,
    )
)
