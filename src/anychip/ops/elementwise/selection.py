"""Selection by a condition and limits: where, masked_fill, clamp and its one-sided forms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..iteration import broadcast_shape
from ..pointwise import TILES, Pointwise, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import ALL, FLOATING, INTEGRAL, Operator, Overload, Sample, register
from ..samples import BROADCASTS, pointwise_samples, special, tensor

NUMERIC = (*FLOATING, *INTEGRAL)


def _conditions(dtype: torch.dtype) -> Iterable[Sample]:
    for first, second in BROADCASTS:
        yield Sample((tensor(first, torch.bool), tensor(second, dtype), tensor(first, dtype, seed=1)))
    if dtype.is_floating_point:
        yield Sample((tensor((8,), torch.bool), special(dtype), tensor((8,), dtype)))


@pointwise("where.self", dtypes=ALL, raw=1, samples=_conditions)
@triton.jit
def where(condition, x, y):
    return tl.where(condition, x, y)


@triton.jit
def filled(x, mask, value):
    return tl.where(mask, value, x)


FILLED = Pointwise(filled, raw=2, converts=True)


def masked_fill(self: torch.Tensor, mask: torch.Tensor, value: Any, *, out: Any = None) -> torch.Tensor:
    """`value` (a number or a 0-d tensor) where `mask`, else self; the result has self's dtype."""
    if isinstance(value, torch.Tensor) and value.ndim:
        raise ArgumentError(f"masked_fill needs a 0-dimensional value, not {value.ndim} dimensions")
    if not self.is_complex() and (value.is_complex() if isinstance(value, torch.Tensor) else value.imag):
        raise ArgumentError(f"masked_fill: {value} cannot be converted to {self.dtype} without overflow")
    if out is None:
        shape = broadcast_shape(self.shape, mask.shape)
        out = torch.empty(shape, dtype=self.dtype, device=self.device)
    return FILLED(self, mask, value, out=out)


def _fills(dtype: torch.dtype) -> Iterable[Sample]:
    for first, second in BROADCASTS:
        yield Sample((tensor(first, dtype), tensor(second, torch.bool), 1))


def _fills_in_place(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 5), dtype), tensor((5,), torch.bool), torch.tensor(1, dtype=dtype)))


register(
    Operator(
        name="masked_fill",
        overloads=(
            Overload("masked_fill.Scalar", masked_fill, _fills),
            Overload("masked_fill.Tensor", masked_fill, _fills_in_place),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=ALL,
        tiles=TILES,
    )
)


# ---- clamp ----------------------------------------------------------------------------------------


@triton.jit
def at_least(x, low):
    if x.dtype.is_floating():
        result = tl.maximum(x, low, propagate_nan=tl.PropagateNan.ALL)
    else:
        result = tl.maximum(x, low)
    return result


@triton.jit
def at_most(x, high):
    if x.dtype.is_floating():
        result = tl.minimum(x, high, propagate_nan=tl.PropagateNan.ALL)
    else:
        result = tl.minimum(x, high)
    return result


@triton.jit
def within(x, low, high):
    return at_most(at_least(x, low), high)


AT_LEAST, AT_MOST, WITHIN = Pointwise(at_least), Pointwise(at_most), Pointwise(within)


def clamp(self: torch.Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> torch.Tensor:
    """self limited to [min, max]; either limit may be None, not both."""
    if min is not None and max is not None:
        return WITHIN(self, min, max, out=out)
    if min is not None:
        return AT_LEAST(self, min, out=out)
    if max is not None:
        return AT_MOST(self, max, out=out)
    raise ArgumentError("torch.clamp: At least one of 'min' or 'max' must not be None")


def _limits(dtype: torch.dtype) -> Iterable[Sample]:
    for limits in ((1, 2), (1, None), (None, 2)):
        for shape in ((17,), (3, 4), (), (0,)):
            yield Sample((tensor(shape, dtype), *limits))
    if dtype.is_floating_point:
        yield Sample((special(dtype), -0.5, 0.5))


def _tensor_limits(dtype: torch.dtype) -> Iterable[Sample]:
    low, high = tensor((4,), dtype, 0, 1), tensor((3, 1), dtype, 1, 3)
    yield Sample((tensor((3, 4), dtype), low, high))
    yield Sample((tensor((3, 4), dtype), None, high))


register(
    Operator(
        name="clamp",
        overloads=(
            Overload("clamp", clamp, _limits),
            Overload("clamp.Tensor", clamp, _tensor_limits),
            Overload("clamp_min", AT_LEAST, pointwise_samples("clamp_min", ("self", "min"))),
            Overload("clamp_min.Tensor", AT_LEAST, pointwise_samples("clamp_min.Tensor", ("self", "min"))),
            Overload("clamp_max", AT_MOST, pointwise_samples("clamp_max", ("self", "max"))),
            Overload("clamp_max.Tensor", AT_MOST, pointwise_samples("clamp_max.Tensor", ("self", "max"))),
        ),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=NUMERIC,
        tiles=TILES,
    )
)
