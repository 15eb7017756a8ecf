"""Largest and smallest values over any dimensions; NaN wins, as in PyTorch."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import ArgumentError
from ..launching import compute_dtype
from ..reduction import TILES, Reduction, normal_dims
from ..registry import ALL, Operator, Overload, register
from ..samples import reduction_samples

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def larger(a, b):
    if a.dtype.is_floating():
        result = tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)
    else:
        result = tl.maximum(a, b)
    return result


@triton.jit
def smaller(a, b):
    if a.dtype.is_floating():
        result = tl.minimum(a, b, propagate_nan=tl.PropagateNan.ALL)
    else:
        result = tl.minimum(a, b)
    return result


# ---- forward --------------------------------------------------------------------------------------

LARGEST = Reduction("amax", larger, 0, exact=True)
SMALLEST = Reduction("amin", smaller, 0, exact=True)


def _extreme(reduction: Reduction, self: torch.Tensor, dim: Any, keepdim: bool, out: Any) -> torch.Tensor:
    if any(self.shape[d] == 0 for d in normal_dims(dim, self.ndim)):
        raise ArgumentError(
            f"{reduction.name}(): Expected reduction dim to be non-empty, shape {list(self.shape)}"
        )
    compute = compute_dtype(self.dtype)
    limits = torch.finfo(compute) if compute.is_floating_point else torch.iinfo(compute)
    infinite = float("inf") if compute.is_floating_point else None
    if reduction is LARGEST:
        identity = -infinite if infinite else limits.min
    else:
        identity = infinite if infinite else limits.max
    return reduction(self, dim, keepdim, compute=compute, result=self.dtype, identity=identity, out=out)


def amax(self: torch.Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> torch.Tensor:
    """Largest value over `dim` (empty: all)."""
    return _extreme(LARGEST, self, dim, keepdim, out)


def amin(self: torch.Tensor, dim: Any = (), keepdim: bool = False, *, out: Any = None) -> torch.Tensor:
    """Smallest value over `dim` (empty: all)."""
    return _extreme(SMALLEST, self, dim, keepdim, out)


def max_all(self: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """Largest of all elements, 0-d."""
    return _extreme(LARGEST, self, None, False, out)


def min_all(self: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """Smallest of all elements, 0-d."""
    return _extreme(SMALLEST, self, None, False, out)


# ---- record ---------------------------------------------------------------------------------------

for _name, _over, _whole, _function, _reduction in (
    ("amax", amax, "max", max_all, LARGEST),
    ("amin", amin, "min", min_all, SMALLEST),
):
    register(
        Operator(
            name=_name,
            overloads=(
                Overload(_name, _over, reduction_samples(empty=False)),
                Overload(_whole, _function, reduction_samples(whole=True, empty=False)),
            ),
            kernels=(_reduction.kernel,),
            dtypes=ALL,
            tiles=TILES,
        )
    )
