"""Reductions made of others: both extremes at once, sums without NaN, counts of what is not zero, the
trace, older forms of norms, and a hash by exclusive or."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..axis import normal_dim
from ..elementwise.comparison import ne
from ..errors import ArgumentError, DimensionError, NotServed
from ..pointwise import Pointwise
from ..pointwise_kernels import flat_kernel, tiled_kernel
from ..reduction import TILES, Reduction, accumulator
from ..registry import ALL, FLOATING, INTEGRAL, Benchmark, Operator, Overload, Sample, register
from ..samples import reduction_samples, sparingly, special, tensor
from .extremes import LARGEST, SMALLEST, amax, amin
from .norm import ANY_NORM, NORMS, is_nonzero, linalg_vector_norm, magnitude, powered, squared
from .sums import SUM, plus

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def number_or_zero(value, parameter):
    """The element, or zero for NaN."""
    return tl.where(value == value, value, 0)


@triton.jit
def exclusive_or(a, b):
    return a ^ b


@triton.jit
def hashed_bits(x):
    """The bits of a double, or an integer as it is."""
    if x.dtype.is_floating():
        bits = x.to(tl.float64).to(tl.int64, bitcast=True)
    else:
        bits = x.to(tl.int64)
    return bits


# ---- forward --------------------------------------------------------------------------------------

NANSUM = Reduction("nansum", plus, 0, map=number_or_zero)
POWERS = {
    0.0: Reduction("powsum_0", plus, 0, map=is_nonzero),
    1.0: Reduction("powsum_1", plus, 0, map=magnitude),
    2.0: Reduction("powsum_2", plus, 0, map=squared),
}
ANY_POWERS = Reduction("powsum", plus, 0, map=powered)
HASH = Reduction("hash_tensor", exclusive_or, 0)
BITS = Pointwise(hashed_bits, raw=1, result=torch.int64)


def aminmax(
    self: torch.Tensor, *, dim: int | None = None, keepdim: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """(smallest, largest) along `dim`, or of all elements."""
    if dim is None:
        if not self.numel():
            raise ArgumentError(
                "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
            )
        dims: Any = list(range(self.ndim)) if keepdim else None
        return amin(self, dims, keepdim), amax(self, dims, keepdim)
    place = normal_dim(dim, self.ndim)
    if self.ndim and self.shape[place] == 0:
        raise DimensionError(f"aminmax(): Expected reduction dim {place} to have non-zero size.")
    return amin(self, [place], keepdim), amax(self, [place], keepdim)


def aminmax_dim(self: torch.Tensor, dim: int, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """(smallest, largest) along `dim`."""
    return aminmax(self, dim=dim, keepdim=keepdim)


def nansum(
    self: torch.Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> torch.Tensor:
    """Sum over `dim` (None: all) of what is not NaN."""
    result = dtype or (out.dtype if out is not None else None)
    if result is None:
        result = self.dtype if self.dtype.is_floating_point or self.dtype.is_complex else torch.int64
    reduction = NANSUM if self.dtype.is_floating_point else SUM
    return reduction(self, dim, keepdim, compute=accumulator(result), result=result, out=out)


def count_nonzero(self: torch.Tensor, dim: Sequence[int]) -> torch.Tensor:
    """How many elements over `dim` (empty: all) are not zero."""
    return SUM(ne(self, 0), list(dim), False, compute=torch.int64, result=torch.int64)


def trace(self: torch.Tensor) -> torch.Tensor:
    """Sum of a matrix's diagonal; integers sum as int64."""
    if self.ndim != 2:
        raise ArgumentError(f"trace: expected a matrix, but got tensor with dim {self.ndim}")
    result = self.dtype if self.dtype.is_floating_point else torch.int64
    return SUM(self.diagonal(), None, False, compute=accumulator(result), result=result)


def _order(p: float | None) -> float:
    return 2.0 if p is None else float(p)


def norm_dim(
    self: torch.Tensor, p: float | None, dim: Any, keepdim: bool = False, *, out: Any = None
) -> torch.Tensor:
    """Vector norm of order p over `dim`."""
    return linalg_vector_norm(self, _order(p), list(dim) or None, keepdim, out=out)


def norm_dtype(
    self: torch.Tensor, p: float | None, dim: Any, keepdim: bool, *, dtype: torch.dtype, out: Any = None
) -> torch.Tensor:
    """Vector norm of order p over `dim`, computed in `dtype`."""
    return linalg_vector_norm(self, _order(p), list(dim) or None, keepdim, dtype=dtype, out=out)


def powsum(
    self: torch.Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> torch.Tensor:
    """Sum of |x|^ord over `dim` (None: all)."""
    result = dtype or self.dtype
    if not result.is_floating_point:
        raise ArgumentError(f"linalg._powsum: Expected a floating point tensor as input. Got {result}")
    if math.isinf(ord):
        raise NotServed("linalg__powsum", f"order {ord} is not served")
    order = float(ord)
    reduction = POWERS.get(order, ANY_POWERS)
    return reduction(self, dim, keepdim, compute=accumulator(result), result=result, parameter=order)


def hash_tensor(
    self: torch.Tensor, dim: Any = (), *, keepdim: bool = False, mode: int = 0, out: Any = None
) -> torch.Tensor:
    """Exclusive or of all elements over `dim` (empty: all), as doubles' bits or 64-bit integers."""
    if mode != 0:
        raise ArgumentError(f"hash_tensor(): mode must be 0 (exclusive or), but is {mode}")
    found = HASH(BITS(self), list(dim), keepdim, compute=torch.int64, result=torch.int64)
    found = found.view(torch.uint64)
    if out is None:
        return found
    if out.shape != found.shape:
        out.resize_(found.shape)
    return out.copy_(found)


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _both(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((33,), dtype),))
    yield Sample((tensor((5, 7), dtype),), {"dim": 1, "keepdim": True})
    yield Sample((tensor((3, 4, 5), dtype),), {"dim": 0})
    if dtype.is_floating_point:
        yield Sample((special(dtype).reshape(2, 4),), {"dim": 0})


@sparingly
def _whole(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 9), dtype),))


@sparingly
def _one(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 9), dtype), 0, True))


@sparingly
def _nansums(dtype: torch.dtype) -> Iterable[Sample]:
    yield from reduction_samples()(dtype)
    yield Sample((tensor((4, 9), dtype), None))


@sparingly
def _counts(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((4, 90), dtype), [1]))
    yield Sample((tensor((2, 3, 4), dtype), [0, 2]))
    yield Sample((tensor((5,), dtype), []))


@sparingly
def _matrices(dtype: torch.dtype) -> Iterable[Sample]:
    for shape in ((4, 4), (3, 6), (0, 3)):
        yield Sample((tensor(shape, dtype),))


@sparingly
def _norms(dtype: torch.dtype) -> Iterable[Sample]:
    for p in (None, 1, 3, math.inf):
        yield Sample((tensor((5, 9), dtype), p, [1], True))
    yield Sample((tensor((5, 9), dtype), 2, []))


@sparingly
def _typed(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 9), dtype), 2, [0], False), {"dtype": dtype})


@sparingly
def _powers(dtype: torch.dtype) -> Iterable[Sample]:
    for order in (2, 1, 3):
        yield Sample((tensor((5, 9), dtype), order, [1]))


@sparingly
def _hashes(dtype: torch.dtype) -> Iterable[Sample]:
    yield Sample((tensor((5, 9), dtype), [1]))
    yield Sample((tensor((5, 9), dtype),))


def _large(dtype: torch.dtype) -> Sample:
    return Sample((tensor((4096, 1024), dtype), [1]))


POINTWISE = (flat_kernel, tiled_kernel)
register(
    Operator(
        name="aminmax",
        overloads=(
            Overload("aminmax", aminmax, _both, takes_out=False),
            Overload("_aminmax", aminmax, _whole, takes_out=False),
            Overload("_aminmax.dim", aminmax_dim, _one, takes_out=False),
        ),
        kernels=(LARGEST.kernel, SMALLEST.kernel),
        dtypes=ALL,
        tiles=TILES,
    )
)
for _name, _overloads, _kernels, _dtypes in (
    ("nansum", (Overload("nansum", nansum, _nansums),), (NANSUM.kernel,), (*FLOATING, *INTEGRAL, torch.bool)),
    (
        "count_nonzero",
        (Overload("count_nonzero.dim_IntList", count_nonzero, _counts, takes_out=False),),
        (SUM.kernel, *POINTWISE),
        ALL,
    ),
    (
        "trace",
        (Overload("trace", trace, _matrices, takes_out=False),),
        (SUM.kernel,),
        (*FLOATING, *INTEGRAL),
    ),
    (
        "norm",
        (
            Overload("norm.ScalarOpt_dim", norm_dim, _norms),
            Overload("norm.ScalarOpt_dim_dtype", norm_dtype, _typed),
        ),
        tuple(norm.kernel for norm in (*NORMS.values(), ANY_NORM)),
        FLOATING,
    ),
    (
        "linalg__powsum",
        (Overload("linalg__powsum", powsum, _powers, takes_out=False),),
        tuple(powers.kernel for powers in (*POWERS.values(), ANY_POWERS)),
        FLOATING,
    ),
    (
        "hash_tensor",
        (Overload("hash_tensor", hash_tensor, _hashes),),
        (HASH.kernel, *POINTWISE),
        (torch.float64, torch.int64, torch.int32),
    ),
):
    register(
        Operator(
            name=_name,
            overloads=_overloads,
            kernels=_kernels,
            dtypes=_dtypes,
            differentiable=_name in ("nansum", "trace", "norm", "linalg__powsum"),
            tiles=TILES,
            benchmarks=(Benchmark("nansum", _large),) if _name == "nansum" else (),
            tolerance=2.0,
        )
    )
