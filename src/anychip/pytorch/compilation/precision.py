"""Decompositions of compiled graphs that are as exact as PyTorch's own kernels, where Inductor's are not.
Flows in: the arguments of an operator while a graph is traced. Flows out: its result, by other operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Tensor = torch.Tensor

WIDE = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
"""Types whose arithmetic is done in another one."""
SUMMED_IN_DOUBLE = (torch.float32, torch.bfloat16)


def floored_quotient(self: Tensor, other: Any, *, rounding_mode: str | None = "floor") -> Tensor:
    """aten::div with "floor", of floats by way of the remainder, so that it agrees with it: 1 // 0.1 is 9, as
    in Python; the floor of the rounded quotient is 10."""
    dtype = torch.result_type(self, other)
    if rounding_mode != "floor" or not dtype.is_floating_point:
        return NotImplemented
    wide = WIDE.get(dtype, dtype)
    x = self.to(wide)
    y = other.to(wide) if isinstance(other, Tensor) else torch.full((), other, dtype=wide, device=x.device)
    rest = torch.fmod(x, y)
    exact = (x - rest) / y
    exact = torch.where((rest != 0) & ((rest < 0) != (y < 0)), exact - 1, exact)
    near = torch.floor(exact)
    near = torch.where(exact - near > 0.5, near + 1, near)
    result = torch.where(exact == 0, 0.0 * (x / y), near)
    return torch.where(y == 0, x / y, result).to(dtype)


def floor_divide(self: Tensor, other: Any) -> Tensor:
    """aten::floor_divide."""
    return torch.div(self, other, rounding_mode="floor")


def _spread(variance: Any, *, root: bool) -> Callable[..., Any]:
    """A variance or deviation with its sums in double. Those without a correction stay as they are: norms are
    made of them, and PyTorch's norms sum in single precision."""

    def spread(self: Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
        wide = torch.float64 if self.dtype in SUMMED_IN_DOUBLE and correction != 0 else self.dtype
        if wide == self.dtype and not root:
            return NotImplemented
        made = variance(self.to(wide), dim, correction=correction, keepdim=keepdim)
        first, *mean = made if isinstance(made, tuple) else (made,)
        results = [(torch.sqrt(first) if root else first).to(self.dtype), *(x.to(self.dtype) for x in mean)]
        return tuple(results) if mean else results[0]

    return spread


def table() -> dict[Any, Callable[..., Any]]:
    """The decompositions by overload."""
    aten = torch.ops.aten
    return {
        **dict.fromkeys((aten.floor_divide.default, aten.floor_divide.Scalar), floor_divide),
        **dict.fromkeys((aten.div.Tensor_mode, aten.div.Scalar_mode), floored_quotient),
        aten.var.correction: _spread(aten.var.correction, root=False),
        aten.std.correction: _spread(aten.var.correction, root=True),
        aten.var_mean.correction: _spread(aten.var_mean.correction, root=False),
        aten.std_mean.correction: _spread(aten.var_mean.correction, root=True),
    }
