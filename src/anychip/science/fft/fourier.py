"""Transforms of complex and real tensors with gradients, on the library's kernels. Flows in: tensors of
single or double precision, and the sign in the exponent. Flows out: unscaled transforms times a factor."""

from __future__ import annotations

from typing import Any

import torch

from ...ops.fft.transforms import transform_complex, transform_half, transform_real
from .arguments import resized

Dims = tuple[int, ...]


class Complex(torch.autograd.Function):
    """Complex to complex."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, dims: Dims, direction: int, scale: float) -> torch.Tensor:
        """`scale` times the transform over `dims`."""
        ctx.plan = dims, direction, scale
        return transform_complex(x.resolve_conj(), dims, direction, scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The transform with the other sign."""
        dims, direction, scale = ctx.plan
        return Complex.apply(grad_outputs[0], dims, -direction, scale), None, None, None


class Half(torch.autograd.Function):
    """Real to complex: half of the spectrum along the last of the dimensions."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, dims: Dims, scale: float) -> torch.Tensor:
        """`scale` times the transform forward."""
        ctx.plan = dims, scale, x.shape[dims[-1]]
        return transform_half(x, dims, scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The real part of the transform backward, of a spectrum whose other half is zero."""
        dims, scale, length = ctx.plan
        whole = resized(grad_outputs[0], dims[-1:], (length,))
        return Complex.apply(whole, dims, 1, scale).real, None, None


class Real(torch.autograd.Function):
    """Half of a spectrum to a real signal of a given length."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, dims: Dims, length: int, scale: float) -> torch.Tensor:
        """`scale` times the transform backward."""
        ctx.plan = dims, length, scale
        return transform_real(x.resolve_conj(), dims, length, scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Elements that stand for two count twice."""
        dims, length, scale = ctx.plan
        half = Half.apply(grad_outputs[0], dims, scale)
        weights = torch.full((half.shape[dims[-1]],), 2.0, dtype=half.real.dtype, device=half.device)
        weights[0] = 1.0
        if length % 2 == 0:
            weights[-1] = 1.0
        return half * weights.reshape([-1] + [1] * (half.ndim - 1 - dims[-1])), None, None, None
