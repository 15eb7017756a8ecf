"""Approximate inverses by the diagonal and by polynomials. Flows in: matrices of SciPy and PyTorch. Flows
out: `Preconditioner`s, and steps of smoothing for multigrid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import triton
import triton.language as tl

from ..ops.distinct import distinct
from ..ops.kernels.numbers import double
from ..ops.launching import cdiv, launch, scalar_bits
from .errors import InvalidValue, SingularMatrix
from .krylov.vectors import combine, norm
from .preconditioner import Preconditioner
from .sparse.matrix import Rows, matrix
from .sparse.products import multiply

SAFETY = 1.1
"""The largest eigenvalue is taken as this times its estimate (Adams, Brezina, Hu and Tuminaro, 2003)."""
ITERATIONS = 15
BLOCK = 1024


@triton.jit(do_not_specialize=["a", "b"])
def scaled_step_kernel(x, d, r, diagonal, count, a: tl.int64, b: tl.int64, BLOCK: tl.constexpr):
    """d = a d + b r / diagonal, x += d."""
    distinct(x, d)
    distinct(x, r)
    distinct(d, r)
    TYPE: tl.constexpr = x.dtype.element_ty
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = at < count
    step = tl.load(r + at, mask=mask, other=0) / tl.load(diagonal + at, mask=mask, other=1)
    step = double(b).to(TYPE) * step + double(a).to(TYPE) * tl.load(d + at, mask=mask, other=0)
    tl.store(d + at, step, mask=mask)
    tl.store(x + at, tl.load(x + at, mask=mask, other=0) + step, mask=mask)


def _scaled_step(
    x: torch.Tensor, d: torch.Tensor, r: torch.Tensor, diagonal: torch.Tensor, a: float, b: float
) -> None:
    count = x.numel()
    bits = scalar_bits(a, True), scalar_bits(b, True)
    launch(scaled_step_kernel, cdiv(count, BLOCK), x, d, r, diagonal, count, *bits, BLOCK=BLOCK)


def diagonal_of(a: Rows, name: str) -> torch.Tensor:
    """The diagonal of a square matrix. Raises InvalidValue, and SingularMatrix where it has a zero."""
    if a.shape[0] != a.shape[1]:
        raise InvalidValue(f"{name} needs a square matrix, not one of the shape {a.shape}")
    row = a.rows()
    on = row == a.columns
    out = a.values.new_zeros(a.shape[0]).index_add_(0, row[on], a.values[on])
    if bool((out == 0).any()):
        raise SingularMatrix(f"{name}: row {int((out == 0).nonzero()[0])} has no diagonal element")
    return out


def jacobi(A: Any) -> Preconditioner:
    """The inverse of the diagonal of A [n, n]. float32, float64. Raises SingularMatrix, InvalidValue."""
    a = matrix(A)[0]
    diagonal = diagonal_of(replace(a, values=a.values.detach()), "jacobi")

    def apply(b: torch.Tensor) -> torch.Tensor:
        x, d = torch.zeros_like(b), torch.zeros_like(b)
        _scaled_step(x, d, b.contiguous(), diagonal, 0.0, 1.0)
        return x

    return Preconditioner(apply, a.shape, diagonal.dtype)


def largest(a: Rows, diagonal: torch.Tensor) -> float:
    """About the largest eigenvalue of a symmetric matrix divided by its diagonal, from below."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(a.shape[0], dtype=torch.float64, generator=generator).to(a.values)
    size = 1.0
    for _ in range(ITERATIONS):
        x = combine(1 / norm(x), x, 0.0, x)
        y = torch.zeros_like(x)
        _scaled_step(y, torch.zeros_like(x), multiply(a, x), diagonal, 0.0, 1.0)
        x, size = y, norm(y)
        if size == 0:
            return 1.0
    return size


class Chebyshev:
    """Steps towards x of a x = b, a symmetric and positive definite, by the polynomial that is small for
    eigenvalues of a divided by its diagonal between `low` and `high` (Saad, 2003, 12.1)."""

    def __init__(self, a: Rows, diagonal: torch.Tensor, low: float, high: float):
        self.a, self.diagonal, self.low, self.high = a, diagonal, low, high

    def smooth(self, x: torch.Tensor, b: torch.Tensor, degree: int, zero: bool = False) -> None:
        """`degree` steps, into x; `zero`: x is zero."""
        middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
        sigma = middle / half
        rho, d = 1 / sigma, torch.zeros_like(x)
        for k in range(degree):
            r = b if zero and k == 0 else multiply(self.a, x, b, -1.0, 1.0)
            if k == 0:
                _scaled_step(x, d, r, self.diagonal, 0.0, 1 / middle)
                continue
            last, rho = rho, 1 / (2 * sigma - rho)
            _scaled_step(x, d, r, self.diagonal, rho * last, 2 * rho / half)


def chebyshev(A: Any, degree: int = 3, ratio: float = 30.0) -> Preconditioner:
    """A polynomial of `degree` in A divided by its diagonal, A [n, n] symmetric and positive definite, for
    eigenvalues down to the `ratio`-th part of the largest, which is estimated. float32, float64. Raises
    SingularMatrix, InvalidValue."""
    a = matrix(A)[0]
    a = replace(a, values=a.values.detach())
    if degree < 1 or ratio <= 1:
        raise InvalidValue(f"degree must be at least 1 and ratio above 1, not {degree} and {ratio}")
    diagonal = diagonal_of(a, "chebyshev")
    high = SAFETY * largest(a, diagonal)
    steps = Chebyshev(a, diagonal, high / ratio, high)

    def apply(b: torch.Tensor) -> torch.Tensor:
        x = torch.zeros_like(b)
        steps.smooth(x, b.contiguous(), degree, zero=True)
        return x

    return Preconditioner(apply, a.shape, diagonal.dtype)
