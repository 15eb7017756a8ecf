"""Operators on the representation of numbers: sign, neighbour, mantissa and exponent, and what stands
for values that are no numbers. Tensors and numbers in, tensors out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import ArgumentError
from ..pointwise import TILES, Pointwise, Promotion, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import ALL, COPYING, FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import BROADCASTS, layouts, pointwise_benchmark, special, tensor

FLOAT = Promotion.INT_TO_FLOAT
BOOL = Promotion.ALWAYS_BOOL
NUMERIC = (*FLOATING, *INTEGRAL)


# ---- sign -----------------------------------------------------------------------------------------


@pointwise("copysign.Tensor", promotion=FLOAT)
@triton.jit
def copysign(x, y):
    return libdevice.copysign(x, y)


@pointwise("signbit", promotion=BOOL, dtypes=ALL, differentiable=False)
@triton.jit
def signbit(x):
    if x.dtype == tl.float64:
        result = x.to(tl.int64, bitcast=True) < 0
    elif x.dtype.is_floating():
        result = x.to(tl.float32).to(tl.int32, bitcast=True) < 0
    else:
        result = x < 0
    return result


@pointwise("angle", promotion=FLOAT)
@triton.jit
def angle(x):
    """Of a real number: 0, or pi below zero."""
    return tl.where(x != x, x, (x < 0).to(x.dtype) * 3.141592653589793)


@triton.jit
def step(x, at_zero):
    return tl.where(x == 0, at_zero, (x > 0).to(at_zero.dtype))


STEP = Pointwise(step)


def heaviside(self: Any, values: Any, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """0 below zero, 1 above, `values` at zero; both of one dtype."""
    dtypes = {x.dtype for x in (self, values, out) if isinstance(x, torch.Tensor)}
    if len(dtypes) > 1:
        raise ArgumentError("heaviside is not yet implemented for tensors with different dtypes.")
    return STEP(self, values, out=out)


# ---- the next number ------------------------------------------------------------------------------


@triton.jit
def nextafter(x, y):
    return libdevice.nextafter(x, y)


@triton.jit
def nextafter_of_half(x, y):
    """16-bit floats: their patterns, as whole numbers from zero on, are in the order of their values."""
    bits = x.to(tl.int16, bitcast=True)
    up = (y.to(tl.float32) > x.to(tl.float32)) == (x.to(tl.float32) > 0)
    moved = tl.where(up, bits + 1, bits - 1).to(tl.int16)
    smallest = tl.where(y.to(tl.float32) > 0, 1, -32767).to(tl.int16)
    moved = tl.where(x.to(tl.float32) == 0, smallest, moved)
    result = tl.where(x.to(tl.float32) == y.to(tl.float32), y, moved.to(x.dtype, bitcast=True))
    result = tl.where(y != y, y, result)
    return tl.where(x != x, x, result)


NEXT = Pointwise(nextafter, accepts=FLOATING)
NEXT_OF_HALF = Pointwise(nextafter_of_half, raw=3)


def next_after(self: Any, other: Any, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """The number next to self on the way to `other`, in their own floating type."""
    dtype = torch.result_type(self, other)
    if dtype not in (torch.float16, torch.bfloat16):
        return NEXT(self, other, out=out)
    first, second = (
        x.to(dtype) if isinstance(x, torch.Tensor) else torch.full((), x, dtype=dtype) for x in (self, other)
    )
    return NEXT_OF_HALF(first, second, out=out)


# ---- mantissa and exponent ------------------------------------------------------------------------


@triton.jit
def exponent_of(x):
    """e with |x| = m 2^e and 0.5 <= m < 1; 0 for zero, infinity and NaN."""
    ordinary = (x != 0) & (tl.abs(x) < float("inf"))
    return tl.where(ordinary, libdevice.ilogb(tl.where(ordinary, x, 1.0)) + 1, 0)


@triton.jit
def mantissa(x):
    ordinary = (x != 0) & (tl.abs(x) < float("inf"))
    exponent = libdevice.ilogb(tl.where(ordinary, x, 1.0)) + 1
    half = exponent // 2
    return tl.where(ordinary, libdevice.ldexp(libdevice.ldexp(x, -half), half - exponent), x)


MANTISSA = Pointwise(mantissa)
EXPONENT = Pointwise(exponent_of, result=torch.int32)


def frexp(self: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(mantissa, exponent) with self = mantissa * 2 ** exponent."""
    if not self.dtype.is_floating_point:
        raise ArgumentError("torch.frexp() only supports floating-point dtypes")
    return MANTISSA(self), EXPONENT(self)


# ---- values that are no numbers -------------------------------------------------------------------


@triton.jit
def finite(x, for_nan, for_positive, for_negative):
    result = tl.where(x != x, for_nan, x)
    result = tl.where(x == float("inf"), for_positive, result)
    return tl.where(x == float("-inf"), for_negative, result)


@triton.jit
def same(x):
    return x


FINITE = Pointwise(finite)
SAME = Pointwise(same)


def nan_to_num(
    self: torch.Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """NaN and the infinities replaced: by 0 and the largest and smallest finite numbers by default."""
    if not self.dtype.is_floating_point:
        return SAME(self, out=out)
    limits = torch.finfo(self.dtype)
    return FINITE(
        self,
        0.0 if nan is None else nan,
        limits.max if posinf is None else posinf,
        limits.min if neginf is None else neginf,
        out=out,
    )


def conj_physical_out(self: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
    """The conjugate; that of a real number is itself."""
    if self.is_complex():
        return out.resize_(self.shape).copy_(self.conj())
    return SAME(self, out=out)


# ---- record ---------------------------------------------------------------------------------------


def _steps(dtype: torch.dtype) -> Iterable[Sample]:
    for first, second in BROADCASTS:
        yield Sample((tensor(first, dtype), tensor(second, dtype, seed=1)))


def _neighbours(dtype: torch.dtype) -> Iterable[Sample]:
    x = torch.tensor([0.0, -0.0, 1.0, -1.0, 1.0, 0.0, 2.0, float("inf"), float("nan")], dtype=dtype)
    y = torch.tensor([1.0, -1.0, 2.0, 1.0, 1.0, -0.0, -9.0, 0.0, 1.0], dtype=dtype)
    yield Sample((x, y))
    yield Sample((tensor((3, 4), dtype), tensor((4,), dtype, seed=1)))


def _parts(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 5), dtype),))
    yield Sample((next(layouts(tensor((3, 5), dtype))),))
    yield Sample((torch.tensor([0.0, 1.0, -1.0, 0.75, 3.0, 8.0, 1e-4], dtype=dtype),))


def _replacements(dtype: torch.dtype) -> Iterable[Sample]:
    values = special(dtype) if dtype.is_floating_point else tensor((8,), dtype)
    yield Sample((values, 2.0, 9.0, -9.0))
    yield Sample((values[:2],))
    yield Sample((next(layouts(tensor((3, 4, 5), dtype))), 1.0))


def _conjugates(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((3, 5), dtype),), {"out": torch.zeros((3, 5), dtype=dtype)})


def _record(
    name: str,
    overloads: tuple[Overload, ...],
    dtypes: tuple[torch.dtype, ...],
    *,
    differentiable: bool,
    benchmarks: tuple[Benchmark, ...] = (),
    labels: tuple[str, ...] = (),
) -> None:
    register(
        Operator(
            name=name,
            overloads=overloads,
            kernels=(flat_kernel, tiled_kernel),
            dtypes=dtypes,
            differentiable=differentiable,
            tiles=TILES,
            benchmarks=benchmarks,
            labels=labels,
        )
    )


_record("heaviside", (Overload("heaviside", heaviside, _steps),), ALL, differentiable=False)
_record(
    "nextafter",
    (Overload("nextafter", next_after, _neighbours),),
    (torch.float64,),
    differentiable=False,
    benchmarks=(pointwise_benchmark("nextafter", ("self", "other")),),
)
_record("frexp", (Overload("frexp.Tensor", frexp, _parts, takes_out=False),), FLOATING, differentiable=True)
_record(
    "nan_to_num",
    (Overload("nan_to_num", nan_to_num, _replacements),),
    NUMERIC,
    differentiable=True,
    benchmarks=(Benchmark("nan_to_num", lambda dtype: Sample((tensor((4096, 1024), dtype), 0.0))),),
    labels=(FINITE.name, COPYING),  # integers are copied
)
_record(
    "conj_physical",
    (Overload("conj_physical.out", conj_physical_out, _conjugates, takes_out=False),),
    ALL,
    differentiable=True,
    labels=(COPYING,),  # real numbers are copied
)
