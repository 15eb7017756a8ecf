"""Products with packed weights that do not change, with the gradient of what is multiplied: for adapters
beside them. Flows in: rows of floating numbers, a `PackedWeight` or a `DenseWeight`. Flows out: rows, and
their gradient."""

from __future__ import annotations

from typing import Any

import torch

from .dense import DenseWeight, dense_matmul
from .products import packed_matmul, rounded_rows, unpacked_rows
from .weights import PackedWeight

AT_A_TIME = 1 << 21
"""Elements of a weight that are numbers at a time in backward, which bounds its memory."""


class FrozenProduct(torch.autograd.Function):
    """Backward multiplies by the weight's own numbers; that forward rounds its rows to 8 bits counts as no
    change (Bengio et al., arXiv:1308.3432)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: PackedWeight | DenseWeight, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """x [rows, columns] contiguous to [rows, the weight's rows]."""
        ctx.weight, ctx.dtype = weight, x.dtype
        if isinstance(weight, PackedWeight):
            return packed_matmul(rounded_rows(x), weight, bias)
        return dense_matmul(x.float(), weight, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient of x, a slab of the weight's rows after the other."""
        weight: PackedWeight | DenseWeight = ctx.weight
        gradient = grad_outputs[0].float()
        step = max(AT_A_TIME // weight.columns, 1)
        total = gradient.new_zeros((gradient.shape[0], weight.columns))
        for first in range(0, weight.rows, step):
            last = min(first + step, weight.rows)
            total.addmm_(gradient[:, first:last], numbers_of(weight, first, last))
        return total.to(ctx.dtype), None, None


def numbers_of(weight: PackedWeight | DenseWeight, first: int, last: int) -> torch.Tensor:
    """Rows `first` to `last` - 1 of a weight as float32 [rows, columns]."""
    if isinstance(weight, PackedWeight):
        return unpacked_rows(weight, torch.arange(first, last, device=weight.low.device))
    return weight.numbers.movedim(-1, 1).reshape(-1, weight.columns)[first:last].float()


def frozen_linear(
    x: torch.Tensor, weight: PackedWeight | DenseWeight, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """x weight^T + bias in float32 for x [..., columns] floating, bias [weight's rows]; x has a gradient, the
    weight none. Raises ArgumentError."""
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    return FrozenProduct.apply(rows, weight, bias).view(*x.shape[:-1], weight.rows)
