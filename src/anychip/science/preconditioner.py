"""An approximate inverse as solvers take it. Flows in: a function of tensors. Flows out: something with the
names of SciPy's `LinearOperator`, for SciPy's solvers too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .arrays import taken


class Preconditioner:
    """x of M x = b, for M near a matrix [n, n] that is easy to solve with. `apply` takes
    tensors [n] of `type`."""

    def __init__(
        self, apply: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, int], type: torch.dtype
    ):
        self.apply, self.shape, self.type = apply, shape, type

    @property
    def dtype(self) -> Any:
        """The element type, as NumPy's."""
        return np.dtype(str(self.type).removeprefix("torch."))

    def matvec(self, b: Any) -> Any:
        """x for b [n] or [n, 1], an array or a tensor."""
        given, restore = taken(b, "b")
        return restore(self.apply(given.reshape(-1).to(self.type)).reshape(given.shape))

    def matmat(self, b: Any) -> Any:
        """x [n, k] for b [n, k], an array or a tensor, column by column."""
        given, restore = taken(b, "b")
        columns = given.to(self.type).unbind(1)
        return restore(torch.stack([self.apply(one.contiguous()) for one in columns], 1))

    solve = matvec

    def __matmul__(self, b: Any) -> Any:
        return self.matmat(b) if getattr(b, "ndim", 1) == 2 and b.shape[1] != 1 else self.matvec(b)
