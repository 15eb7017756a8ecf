"""Batches of matrices as the functions of this folder take them. Flows in: arrays and tensors [..., n, m].
Flows out: checked tensors, and products on the library's kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...ops.linalg.matmul import product
from ...ops.linalg.matrices import flat
from ..arrays import Restore, inexact, taken
from ..errors import InvalidType, InvalidValue

TINIEST = torch.finfo(torch.float64).tiny


def batch(x: Any, name: str, square: bool = False, check_finite: bool = True) -> tuple[torch.Tensor, Restore]:
    """Real matrices as a tensor of float32 or float64, and the way back. Raises InvalidValue for other
    shapes, and for NaN and infinities; InvalidType for complex elements."""
    given, restore = taken(x, name)
    tensor = inexact(given)
    if tensor.ndim < 2 or (square and tensor.shape[-1] != tensor.shape[-2]):
        kind = "square matrices" if square else "matrices"
        raise InvalidValue(f"{name} must be {kind}, not of the shape {tuple(tensor.shape)}")
    if tensor.is_complex():
        raise InvalidType(f"{name} has complex elements, which are not served")
    if check_finite and not bool(torch.isfinite(tensor.detach()).all()):
        raise InvalidValue(f"{name} must not contain infs or NaNs")
    return tensor, restore


def times(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a b, of [..., n, k] and [..., k, m]."""
    lead = a.shape[:-2]
    return product(flat(a), flat(b)).view(*lead, a.shape[-2], b.shape[-1])


def identity(like: torch.Tensor) -> torch.Tensor:
    """The identity [n, n] for matrices [..., n, n]."""
    return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)


class Times(torch.autograd.Function):
    """a b with gradients."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The product."""
        ctx.save_for_backward(a, b)
        return times(a, b)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Products with the transposed factors."""
        a, b = ctx.saved_tensors
        return Times.apply(grad_outputs[0], b.mT), Times.apply(a.mT, grad_outputs[0])


def restored(restore: Restore, *results: torch.Tensor) -> tuple[Any, ...]:
    """Each of several results in the kind that was given."""
    return tuple(restore(x) for x in results)


def is_symmetric(a: torch.Tensor) -> bool:
    """Whether every matrix equals its transpose."""
    return bool((a == a.mT).all())


def eps(a: torch.Tensor) -> float:
    """The distance from one to the next number."""
    return float(np.finfo(np.float32 if a.dtype == torch.float32 else np.float64).eps)
