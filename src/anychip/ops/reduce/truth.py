"""Whether any, or all, elements are true, over any dimensions."""

from __future__ import annotations

from typing import Any

import torch
import triton

from ..axis import delivered
from ..memory.copy import COPY
from ..reduction import TILES, Reduction
from ..registry import ALL, Operator, Overload, register
from ..samples import reduction_samples

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def either(a, b):
    return a | b


@triton.jit
def both(a, b):
    return a & b


@triton.jit
def is_true(total, parameter, count):
    return total != 0


# ---- forward --------------------------------------------------------------------------------------

ANY = Reduction("any", either, 0)
ALL_OF = Reduction("all", both, 1)


def _truth(reduction: Reduction, self: torch.Tensor, dim: Any, keepdim: bool, out: Any) -> torch.Tensor:
    if self.dtype != torch.bool:
        from ..elementwise.comparison import ne

        result = torch.uint8 if self.dtype == torch.uint8 else torch.bool
        return reduction(ne(self, 0), dim, keepdim, compute=torch.int8, result=result, out=out)
    return reduction(self, dim, keepdim, compute=torch.int8, result=torch.bool, out=out)


def _truth_over(reduction: Reduction, self: torch.Tensor, dim: Any, keepdim: bool, out: Any) -> torch.Tensor:
    """`_truth`, where no dimension at all means none: these two, alone among reductions, then say of
    each element whether it is true."""
    if dim is None or len(dim):
        return _truth(reduction, self, dim, keepdim, out)
    from ..elementwise.comparison import ne

    each = ne(self, 0)
    if self.dtype == torch.uint8:
        each = COPY(each, out=torch.empty(self.shape, dtype=torch.uint8, device=self.device))
    return delivered(each, out)


def any_all(self: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """Whether any element is true, 0-d."""
    return _truth(ANY, self, None, False, out)


def any_dim(self: torch.Tensor, dim: int, keepdim: bool = False, *, out: Any = None) -> torch.Tensor:
    """Whether any element along `dim` is true."""
    return _truth(ANY, self, [dim], keepdim, out)


def any_dims(self: torch.Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> torch.Tensor:
    """Whether any element over `dim` (None: all; empty: each by itself) is true."""
    return _truth_over(ANY, self, dim, keepdim, out)


def all_all(self: torch.Tensor, *, out: Any = None) -> torch.Tensor:
    """Whether all elements are true, 0-d."""
    return _truth(ALL_OF, self, None, False, out)


def all_dim(self: torch.Tensor, dim: int, keepdim: bool = False, *, out: Any = None) -> torch.Tensor:
    """Whether all elements along `dim` are true."""
    return _truth(ALL_OF, self, [dim], keepdim, out)


def all_dims(self: torch.Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> torch.Tensor:
    """Whether all elements over `dim` (None: all; empty: each by itself) are true."""
    return _truth_over(ALL_OF, self, dim, keepdim, out)


# ---- record ---------------------------------------------------------------------------------------

for _name, _whole, _one, _several, _reduction in (
    ("any", any_all, any_dim, any_dims, ANY),
    ("all", all_all, all_dim, all_dims, ALL_OF),
):
    register(
        Operator(
            name=_name,
            overloads=(
                Overload(_name, _whole, reduction_samples(whole=True)),
                Overload(f"{_name}.dim", _one, reduction_samples(single=True)),
                Overload(f"{_name}.dims", _several, reduction_samples()),
            ),
            kernels=(_reduction.kernel,),
            dtypes=ALL,
            differentiable=False,
            tiles=TILES,
        )
    )
