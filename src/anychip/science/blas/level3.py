"""BLAS 3 under SciPy's names, on the library's matrix products and triangular solutions: what is symmetric,
Hermitian or triangular is one triangle of a matrix, and what is updated by a product with itself is computed
in halves, so that the other triangle costs only its blocks on the diagonal."""

from __future__ import annotations

from typing import Any

import torch

from ...ops.linalg.matmul import product
from ...ops.linalg.triangular import linalg_solve_triangular
from ..errors import InvalidValue
from .arguments import arguments, scaled
from .layout import dense, triangle
from .stored import solved

SMALLEST = 64
"""Rows of a block on the diagonal of which both triangles are computed."""

# ---- forward and backward -------------------------------------------------------------------------


class Multiplied(torch.autograd.Function):
    """a b of matrices, real or complex."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """[n, m]."""
        ctx.save_for_backward(a, b)
        return product(a.resolve_conj()[None], b.resolve_conj()[None])[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Products with the adjoint factors."""
        a, b = ctx.saved_tensors
        g = grad_outputs[0]
        return Multiplied.apply(g, b.mH), Multiplied.apply(a.mH, g)


def _lower(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """The lower triangle of out [n, n] = a b, and blocks on the diagonal."""
    n = len(out)
    if n <= SMALLEST:
        out.copy_(product(a[None], b[None])[0])
        return
    half = n // 2
    _lower(out[:half, :half], a[:half], b[:, :half])
    out[half:, :half] = product(a[None, half:], b[None, :, :half])[0]
    _lower(out[half:, half:], a[half:], b[:, half:])


class LowerProduct(torch.autograd.Function):
    """The lower triangle of a b [n, n]."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """[n, n], zeros above the diagonal."""
        ctx.save_for_backward(a, b)
        out = torch.empty((len(a), len(a)), dtype=a.dtype, device=a.device)
        _lower(out, a.resolve_conj(), b.resolve_conj())
        return out.tril_()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Products with the gradient's triangle."""
        a, b = ctx.saved_tensors
        g = grad_outputs[0].tril()
        return Multiplied.apply(g, b.mH), Multiplied.apply(a.mH, g)


class TriangularSolution(torch.autograd.Function):
    """X of A X = B, A triangular."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor, lower: bool, unit: bool) -> torch.Tensor:
        """[n, k]."""
        if a.dtype in (torch.float32, torch.float64):
            x = linalg_solve_triangular(a, b, upper=not lower, unitriangular=unit)
        else:
            x = solved(a, b.mT, triangle(a, lower, unit=unit), "N").mT
        ctx.save_for_backward(a, x)
        ctx.options = lower, unit
        return x

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """One more solution, with the adjoint."""
        a, x = ctx.saved_tensors
        lower, unit = ctx.options
        of_b = TriangularSolution.apply(a.mH, grad_outputs[0], not lower, unit)
        of_a = -Multiplied.apply(of_b, x.mH)
        kept = -1 if unit else 0
        return torch.tril(of_a, kept) if lower else torch.triu(of_a, -kept), of_b, None, None


# ---- names ----------------------------------------------------------------------------------------


def _op(x: torch.Tensor, trans: int) -> torch.Tensor:
    if trans not in (0, 1, 2):
        raise InvalidValue(f"trans must be 0 (none), 1 (transposed) or 2 (conjugated too), not {trans}")
    return x if trans == 0 else x.mT if trans == 1 else x.mH


def _plus(result: torch.Tensor, beta: Any, c: torch.Tensor | None) -> torch.Tensor:
    if c is None or beta == 0:
        return result
    if c.shape != result.shape:
        raise InvalidValue(f"c {tuple(c.shape)} must have the shape {tuple(result.shape)}")
    return result + scaled(beta, c)


def _multiplied(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    dense(a), dense(b, "b")
    if a.shape[1] != b.shape[0]:
        raise InvalidValue(f"the shapes {tuple(a.shape)} and {tuple(b.shape)} do not match")
    return Multiplied.apply(a, b)


def gemm(
    alpha: Any, a: Any, b: Any, beta: Any = 0.0, c: Any = None, trans_a: int = 0, trans_b: int = 0,
    overwrite_c: int = 0, *, dtype: torch.dtype | None = None,
) -> Any:  # fmt: skip
    """alpha op(a) op(b) + beta c. Differentiable in its arrays. s, d, c, z and half types. Raises
    InvalidValue."""
    (x, y, z), restore = arguments(dtype, (alpha, beta), a=a, b=b, c=c)
    found = _multiplied(_op(x, trans_a), _op(y, trans_b))
    return restore(_plus(scaled(alpha, found), beta, z))


def _square(a: torch.Tensor) -> torch.Tensor:
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise InvalidValue(f"a must be a square matrix, not of the shape {tuple(a.shape)}")
    return a


def _symmetric(hermitian: bool) -> Any:
    def call(
        alpha: Any, a: Any, b: Any, beta: Any = 0.0, c: Any = None, side: int = 0, lower: int = 0,
        overwrite_c: int = 0, *, dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (x, y, z), restore = arguments(dtype, (alpha, beta), a=a, b=b, c=c)
        strict = torch.tril(_square(x), -1) if lower else torch.triu(_square(x), 1)
        diagonal = x.diagonal()
        if hermitian and x.is_complex():
            diagonal = torch.complex(diagonal.real, torch.zeros_like(diagonal.real))
        whole = strict + torch.diag(diagonal) + (strict.mH if hermitian else strict.mT)
        found = _multiplied(y, whole) if side else _multiplied(whole, y)
        return restore(_plus(scaled(alpha, found), beta, z))

    what, types = ("Hermitian", "c and z") if hermitian else ("symmetric", "s, d, c, z and half types")
    call.__doc__ = (
        f"alpha A b + beta c, or b A with `side`, for a {what} A, of which one triangle of a [n, n] is read. "
        f"Differentiable in its arrays. {types}. Raises InvalidValue."
    )
    return call


symm, hemm = _symmetric(False), _symmetric(True)


def _updated(found: torch.Tensor, beta: Any, c: Any, lower: int, hermitian: bool) -> torch.Tensor:
    """The lower triangle, or the other, of what is in `found` with beta c; the rest of c stays."""
    found = found if lower else found.mH if hermitian else found.mT
    if c is None:
        return found
    if c.shape != found.shape:
        raise InvalidValue(f"c {tuple(c.shape)} must have the shape {tuple(found.shape)}")
    inside, outside = (torch.tril(c), torch.triu(c, 1)) if lower else (torch.triu(c), torch.tril(c, -1))
    if hermitian and c.is_complex():
        inside = inside - torch.diag(1j * c.diagonal().imag)
    return found + outside if beta == 0 else found + scaled(beta, inside) + outside


def _rank_k(hermitian: bool) -> Any:
    def call(
        alpha: Any, a: Any, beta: Any = 0.0, c: Any = None, trans: int = 0, lower: int = 0,
        overwrite_c: int = 0, *, dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (x, z), restore = arguments(dtype, (alpha, beta), a=a, c=c)
        dense(x)
        if trans:
            x = x.mH if hermitian else x.mT
        found = scaled(alpha, LowerProduct.apply(x, x.mH if hermitian else x.mT))
        return restore(_updated(_real_diagonal(found, hermitian), beta, z, lower, hermitian))

    mark = "H" if hermitian else "T"
    call.__doc__ = _text(f"alpha a a^{mark} (a^{mark} a with `trans`)", hermitian)
    return call


def _rank_2k(hermitian: bool) -> Any:
    def call(
        alpha: Any, a: Any, b: Any, beta: Any = 0.0, c: Any = None, trans: int = 0, lower: int = 0,
        overwrite_c: int = 0, *, dtype: torch.dtype | None = None,
    ) -> Any:  # fmt: skip
        (x, y, z), restore = arguments(dtype, (alpha, beta), a=a, b=b, c=c)
        dense(x), dense(y, "b")
        if x.shape != y.shape:
            raise InvalidValue(f"a {tuple(x.shape)} and b {tuple(y.shape)} must have one shape")
        if trans:
            x, y = (x.mH, y.mH) if hermitian else (x.mT, y.mT)
        if hermitian:
            first = scaled(alpha, LowerProduct.apply(x, y.mH))
            found = first + scaled(complex(alpha).conjugate(), LowerProduct.apply(y, x.mH))
        else:
            found = scaled(alpha, LowerProduct.apply(x, y.mT) + LowerProduct.apply(y, x.mT))
        return restore(_updated(_real_diagonal(found, hermitian), beta, z, lower, hermitian))

    does = "alpha a b^H + conj(alpha) b a^H" if hermitian else "alpha (a b^T + b a^T)"
    call.__doc__ = _text(f"{does} (transposed factors first with `trans`)", hermitian)
    return call


def _real_diagonal(x: torch.Tensor, hermitian: bool) -> torch.Tensor:
    return x - torch.diag(1j * x.diagonal().imag) if hermitian and x.is_complex() else x


def _text(does: str, hermitian: bool) -> str:
    types = "c and z" if hermitian else "s, d, c, z and half types"
    return (
        f"One triangle of {does} + beta c; the other one of c, or zeros, stays. Differentiable in its "
        f"arrays. {types}. Raises InvalidValue."
    )


syrk, herk = _rank_k(False), _rank_k(True)
syr2k, her2k = _rank_2k(False), _rank_2k(True)


def _sided(
    solve: bool, alpha: Any, x: torch.Tensor, y: torch.Tensor, side: int, lower: int, trans: int, diag: int
) -> torch.Tensor:
    """op(A) b or b op(A), or solutions of these, for a triangle A of x."""
    _square(x)
    turned = _op(x, trans)
    below = bool(lower) != bool(trans)
    if solve:
        if side:
            found = TriangularSolution.apply(turned.mT, y.mT, not below, bool(diag)).mT
        else:
            found = TriangularSolution.apply(turned, y, below, bool(diag))
        return scaled(alpha, found)
    kept = -1 if diag else 0
    a = torch.tril(turned, kept) if below else torch.triu(turned, -kept)
    if diag:
        a = a + torch.eye(len(a), dtype=a.dtype, device=a.device)
    return scaled(alpha, _multiplied(y, a) if side else _multiplied(a, y))


def trmm(
    alpha: Any, a: Any, b: Any, side: int = 0, lower: int = 0, trans_a: int = 0, diag: int = 0,
    overwrite_b: int = 0, *, dtype: torch.dtype | None = None,
) -> Any:  # fmt: skip
    """alpha op(A) b, or b op(A) with `side`, for a triangle A of a [n, n]; `diag`: with ones on its diagonal.
    Differentiable in a and b. s, d, c, z and half types. Raises InvalidValue."""
    (x, y), restore = arguments(dtype, (alpha,), a=a, b=b)
    return restore(_sided(False, alpha, x, y, side, lower, trans_a, diag))


def trsm(
    alpha: Any, a: Any, b: Any, side: int = 0, lower: int = 0, trans_a: int = 0, diag: int = 0,
    overwrite_b: int = 0, *, dtype: torch.dtype | None = None,
) -> Any:  # fmt: skip
    """alpha times the solution X of op(A) X = b, or X op(A) = b with `side`, for a triangle A of a [n, n];
    `diag`: with ones on its diagonal. Differentiable in a and b. s, d, c, z and half types. Raises
    InvalidValue."""
    (x, y), restore = arguments(dtype, (alpha,), a=a, b=b)
    return restore(_sided(True, alpha, x, y, side, lower, trans_a, diag))
