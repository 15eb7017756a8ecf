"""A system A x = b as a solver sees it. Flows in: matrices of SciPy and PyTorch, `LinearOperator`s, arrays
and tensors. Flows out: products with vectors, a right side, a start, and bounds. The residual that stops a
solver is the true one: where its recurrence says that it is done, b - A x is computed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..arrays import Restore, inexact, taken
from ..errors import InvalidType, InvalidValue
from ..preconditioner import Preconditioner
from ..sparse.matrix import Rows, is_scipy, matrix
from ..sparse.products import multiply
from .vectors import combine, norm

Apply = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class System:
    """`apply` is A, `smooth` the preconditioner, b [n], x the start, which a solver changes. `target` is the
    norm of the residual at which it stops. `rows` is A where that is a matrix."""

    apply: Apply
    smooth: Apply | None
    b: torch.Tensor
    x: torch.Tensor
    target: float
    scale: float
    maxiter: int
    restore: Restore
    rows: Rows | None

    def residual(self) -> torch.Tensor:
        """b - A x."""
        return combine(1.0, self.b, -1.0, self.apply(self.x))

    def smoothed(self, r: torch.Tensor) -> torch.Tensor:
        """The preconditioner's approximation of the solution for r; r itself without one."""
        return r if self.smooth is None else self.smooth(r)


def applied(
    operator: Any, name: str, dtype: torch.dtype | None = None
) -> tuple[Apply, tuple[int, ...], Any, Any]:
    """Products with a matrix or an operator, its shape, its element type if it tells one, and its rows if it
    is a matrix. Raises InvalidType."""
    if is_scipy(operator) or isinstance(operator, torch.Tensor | np.ndarray | list):
        rows, _ = matrix(operator, name)
        if dtype is not None:
            rows = rows.to(dtype)
        fixed = replace(rows, values=rows.values.detach())
        return (lambda x: multiply(fixed, x)), rows.shape, rows.values.dtype, rows
    if isinstance(operator, Preconditioner):
        return (
            (lambda x: operator.apply(x.to(operator.type)).to(x.dtype)),
            operator.shape,
            operator.type,
            None,
        )
    matvec = getattr(operator, "matvec", None)
    if matvec is None:
        raise InvalidType(
            f"{name} is of the type {type(operator).__name__}",
            "Give a matrix, or a scipy.sparse.linalg.LinearOperator.",
        )

    def product(x: torch.Tensor) -> torch.Tensor:
        found = taken(np.asarray(matvec(x.numpy())).reshape(-1), name)[0]
        return inexact(found).to(x.dtype).contiguous()

    known = getattr(operator, "dtype", None)
    given = None if known is None else inexact(taken(np.empty(0, known))[0]).dtype
    return product, tuple(operator.shape), given, None


def system(
    A: Any, b: Any, x0: Any, rtol: float, atol: float, maxiter: int | None, M: Any, each: int = 10
) -> System:
    """The system, of float32 if A, b and x0 are, else of float64; at most `maxiter` steps, or `each` times n.
    Raises InvalidValue for sizes that do not match, InvalidType for complex elements."""
    _, shape, dtype, _ = applied(A, "A")
    if len(shape) != 2 or shape[0] != shape[1]:
        raise InvalidValue(f"expected square matrix, but got shape={tuple(shape)}")
    right, restore = taken(b, "b")
    start = None if x0 is None else taken(x0, "x0")[0]
    for given in (right, start):
        if given is not None and given.shape not in ((shape[0],), (shape[0], 1)):
            raise InvalidValue(f"shapes of A {tuple(shape)} and b {tuple(given.shape)} are incompatible")
    types = [inexact(x).dtype for x in (right, start) if x is not None]
    dtype = types[0] if dtype is None else torch.promote_types(dtype, types[0])
    if dtype.is_complex:
        raise InvalidType("complex systems are not served", "Solve for real and imaginary parts together.")
    apply, _, _, rows = applied(A, "A", dtype)
    smooth = None if M is None else applied(M, "M", dtype)[0]
    vector = right.detach().reshape(-1).to(dtype).contiguous()
    x = torch.zeros_like(vector) if start is None else start.detach().reshape(-1).to(dtype).clone()
    scale = norm(vector)
    target = max(rtol * scale, float(atol))
    if not math.isfinite(scale):
        target = math.nan
    return System(
        apply, smooth, vector, x, target, scale, each * len(x) if maxiter is None else maxiter, restore, rows
    )
