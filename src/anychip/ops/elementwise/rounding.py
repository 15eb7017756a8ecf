"""Rounding to whole numbers. Integers are returned as they are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

from ..errors import UnsupportedDtype
from ..pointwise import TILES, Pointwise, pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..registry import FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import pointwise_benchmark, pointwise_samples, tensor

NUMERIC = (*FLOATING, *INTEGRAL)


@pointwise("floor", dtypes=NUMERIC)
@triton.jit
def floor(x):
    if x.dtype.is_floating():
        x = tl.floor(x)
    return x


@pointwise("ceil", dtypes=NUMERIC)
@triton.jit
def ceil(x):
    if x.dtype.is_floating():
        x = tl.ceil(x)
    return x


@pointwise("trunc", dtypes=NUMERIC)
@triton.jit
def trunc(x):
    if x.dtype.is_floating():
        x = tl.where(x < 0, tl.ceil(x), tl.floor(x))
    return x


# ---- round, to whole numbers or to decimals ------------------------------------------------------------


@triton.jit
def round_to_even(x):
    if x.dtype.is_floating():
        x = libdevice.rint(x)
    return x


@triton.jit
def round_to_decimals(x, power):
    return libdevice.rint(x * power) / power


@triton.jit
def round_to_powers(x, power):
    return libdevice.rint(x / power) * power


ROUND = Pointwise(round_to_even, accepts=(*FLOATING, *INTEGRAL))
TO_DECIMALS = Pointwise(round_to_decimals, accepts=FLOATING)
TO_POWERS = Pointwise(round_to_powers, accepts=FLOATING)


def round_decimals(self: torch.Tensor, *, decimals: int, out: torch.Tensor | None = None) -> torch.Tensor:
    """Nearest multiple of 10 ** -decimals, ties to even; floating types only."""
    if not self.dtype.is_floating_point:
        raise UnsupportedDtype("round.decimals", self.dtype)
    if decimals == 0:
        return ROUND(self, out=out)
    return (TO_DECIMALS if decimals > 0 else TO_POWERS)(self, 10.0 ** abs(decimals), out=out)


def _decimals(dtype: torch.dtype) -> Iterable[Sample]:
    for decimals in (0, 2, -1):
        yield Sample((tensor((4, 7), dtype, -90.0, 90.0).floor() / 8,), {"decimals": decimals})


register(
    Operator(
        name="round",
        overloads=(Overload("round", ROUND, pointwise_samples("round", ("self",))),),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=NUMERIC,
        tiles=TILES,
        benchmarks=(pointwise_benchmark("round", ("self",)),),
    )
)
register(
    Operator(
        name="round_decimals",
        overloads=(Overload("round.decimals", round_decimals, _decimals),),
        kernels=(flat_kernel, tiled_kernel),
        dtypes=FLOATING,
        tiles=TILES,
        benchmarks=(
            Benchmark(
                "round.decimals", lambda dtype: Sample((tensor((4096, 1024), dtype),), {"decimals": 2})
            ),
        ),
    )
)


@pointwise("frac")
@triton.jit
def frac(x):
    return x - tl.where(x < 0, tl.ceil(x), tl.floor(x))
