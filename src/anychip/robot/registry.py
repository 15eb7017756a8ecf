"""This room's part of the table in `ops/rooms.py`, and the records of operators that are formulas. Flows in:
a function and its formulas. Flows out: records, as for every fused operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..ops.errors import ArgumentError
from ..ops.fused import Fused, Samples
from ..ops.rooms import ROOMS
from .formulas.formula import DTYPES, Formula

register = ROOMS["robot"].register

ORDERS = ("wxyz", "xyzw")
"""Where the real part of a quaternion is: first (MuJoCo, PyTorch3D, Kornia), or last (SciPy, Pinocchio,
roma)."""


def register_formulas(
    name: str,
    family: str,
    function: Callable[..., Any],
    reference: Callable[..., Any],
    samples: Samples,
    formulas: Sequence[Formula],
    tolerance: float = 1.0,
) -> Fused:
    """The record of a function that calls one of these formulas; `reference` is a plain composition."""
    return register(
        Fused(
            name,
            family,
            function,
            reference,
            samples,
            tuple(kernel for each in formulas for kernel in each.kernels),
            DTYPES,
            differentiable=True,
            tolerance=tolerance,
            transforms=True,
        )
    )


def require_order(name: str, order: str) -> str:
    """The order of a quaternion's numbers. Raises ArgumentError for another than two."""
    if order not in ORDERS:
        raise ArgumentError(
            f"{name}: order is {order!r}; say 'wxyz' (real part first) or 'xyzw' (real part last)"
        )
    return order


def unit(shape: Sequence[int], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """Samples of unit vectors, such as quaternions."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    drawn = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    return (drawn / drawn.norm(dim=-1, keepdim=True)).to(dtype)
