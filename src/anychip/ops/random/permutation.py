"""randperm: the integers below n in random order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from ..errors import ArgumentError
from ..registry import Operator, Overload, Sample, register
from ..samples import sparingly
from ..sorting.radix import KERNELS, TILES, sort_rows
from .philox import random_from


def randperm(n: int, *, generator: Any = None, out: torch.Tensor) -> torch.Tensor:
    """The integers below n in random order: the order of n random 62-bit numbers."""
    if n < 0:
        raise ArgumentError(f"n must be non-negative, got {n}")
    if out.dtype.is_floating_point:
        exact = 1 << round(-math.log2(torch.finfo(out.dtype).eps)) + 1
    else:
        exact = torch.iinfo(out.dtype).max + 1
    if n > exact:
        raise ArgumentError(f"n is too large for result tensor type: {n} for {out.dtype}")
    if out.shape != (n,):
        out.resize_((n,))
    keys = torch.empty((n,), dtype=torch.int64, device=out.device)
    random_from(keys, 0, None, generator=generator)
    return out.copy_(sort_rows(keys, with_values=False)[1])


# ---- record ---------------------------------------------------------------------------------------


@sparingly
def _permutations(dtype: torch.dtype) -> Iterable[Sample]:
    for n in (1, 5, 100):
        yield Sample((n,), {"generator": None, "out": torch.empty((0,), dtype=dtype)})


def _in_order(result: torch.Tensor) -> torch.Tensor:
    """Every permutation of n is the same n numbers."""
    return result.msort()


register(
    Operator(
        name="randperm",
        overloads=(
            Overload("randperm.generator_out", randperm, _permutations, takes_out=False, compared=_in_order),
        ),
        kernels=KERNELS,
        dtypes=(torch.int64, torch.int32, torch.float32),
        differentiable=False,
        tiles=TILES,
    )
)
