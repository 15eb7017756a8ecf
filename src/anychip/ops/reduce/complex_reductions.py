"""Reductions, running products and searches of complex numbers that are not linear in their parts: products
by halves, spreads from those of the parts, counts of what is not zero. Random normal numbers are here,
too, as their parts are drawn apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..complex_forms import delivered, parts_of, serve_complex, whole
from ..complex_pointwise import PARTS
from ..elementwise.arithmetic import add
from ..elementwise.complex_arithmetic import PRODUCT, TRUE
from ..elementwise.trigonometric import hypot
from ..indexing.selection import nonzero, nonzero_static
from ..memory.copy import copy_, fill_
from ..random.philox import normal_
from ..reduction import normal_dims
from .spread import std, std_mean, var, var_mean

# ---- forward --------------------------------------------------------------------------------------


def _typed(self: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    """The tensor itself, or converted to the complex `dtype` that was asked for."""
    wanted = dtype or self.dtype
    if wanted == self.dtype or wanted not in PARTS:
        return self
    return copy_(torch.empty(self.shape, dtype=wanted, device=self.device), self)


def prod_over(
    self: torch.Tensor, dim: int, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> torch.Tensor:
    """Product over one dimension: the upper half times the lower one until a single element is left."""
    (place,) = normal_dims([dim], self.ndim) or [0]
    x = _typed(self, dtype)
    x = x[None] if not self.ndim else x
    if not x.shape[place]:
        shape = list(x.shape)
        shape[place] = 1
        x = fill_(torch.empty(shape, dtype=x.dtype, device=x.device), 1)
    while (count := x.shape[place]) > 1:
        half = count // 2
        products = PRODUCT(x.narrow(place, 0, half), x.narrow(place, count - half, half))
        if count % 2:
            products = torch.cat([products, x.narrow(place, half, 1)], place)
        x = products
    result = x if keepdim and self.ndim else x.squeeze(place)
    return result.clone() if out is None else delivered(result, out)


def prod_all(self: torch.Tensor, *, dtype: Any = None, out: Any = None) -> torch.Tensor:
    """Product of all elements, 0-d."""
    return prod_over(self.reshape(-1), 0, dtype=dtype, out=out)


def cumprod(self: torch.Tensor, dim: int, *, dtype: Any = None, out: Any = None) -> torch.Tensor:
    """Running product along `dim`, by products of ever longer runs."""
    (place,) = normal_dims([dim], self.ndim) or [0]
    x = _typed(self, dtype).clone()
    line = x[None] if not self.ndim else x
    count, step = line.shape[place], 1
    while step < count:
        rest = count - step
        later = PRODUCT(line.narrow(place, 0, rest), line.narrow(place, step, rest))
        copy_(line.narrow(place, step, rest), later)
        step *= 2
    return x if out is None else delivered(x, out)


def spread(
    self: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False, out: Any = None
) -> torch.Tensor:
    """The variance, a real number: that of the real parts and that of the imaginary parts."""
    real, imaginary = (var(x, dim, correction=correction, keepdim=keepdim) for x in parts_of(self))
    return add(real, imaginary, 1, out=out)


def deviation(
    self: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False, out: Any = None
) -> torch.Tensor:
    """Root of the variance, from the parts' deviations, whose squares might leave the range of their type."""
    real, imaginary = (std(x, dim, correction=correction, keepdim=keepdim) for x in parts_of(self))
    return hypot(real, imaginary, out=out)


def spread_and_mean(root: bool) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """(variance, mean), or (deviation, mean)."""

    def both(
        self: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        of_parts = std_mean if root else var_mean
        (first, real), (second, imaginary) = (
            of_parts(x, dim, correction=correction, keepdim=keepdim) for x in parts_of(self)
        )
        total = hypot(first, second) if root else add(first, second, 1)
        return total, whole(real, imaginary)

    return both


def _of_truth(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A search for what is not zero, in the booleans that say so."""

    def search(self: torch.Tensor, **keywords: Any) -> torch.Tensor:
        return function(TRUE(self, 0), **keywords)

    return search


def normal(self: torch.Tensor, mean: float = 0, std: float = 1, *, generator: Any = None) -> torch.Tensor:
    """Real and imaginary parts of the same variance, which together make that of `std`."""
    normal_(torch.view_as_real(self), 0, std / math.sqrt(2), generator=generator)
    return self if not mean else copy_(self, add(self, mean, 1))


# ---- record ---------------------------------------------------------------------------------------

for _name, _function in (
    ("prod.dim_int", prod_over),
    ("prod", prod_all),
    ("cumprod", cumprod),
    ("var.correction", spread),
    ("std.correction", deviation),
    ("var_mean.correction", spread_and_mean(False)),
    ("std_mean.correction", spread_and_mean(True)),
    ("nonzero", _of_truth(nonzero)),
    ("nonzero_static", _of_truth(nonzero_static)),
    ("normal_", normal),
):
    serve_complex(_name, _function)
