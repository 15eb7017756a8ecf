"""Products with sparse matrices, under PyTorch's names (`torch.sparse`), of tensors and of arrays: sparse
times dense, samples of dense products, and triangular solutions. Gradients of dense factors and of values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ...ops.iteration import power_of_two
from ...ops.launching import cdiv, launch, scalar_bits
from ..arrays import inexact, taken
from ..errors import InvalidValue, SingularMatrix
from .kernels import multiply_kernel, sample_kernel, solve_kernel
from .matrix import Rows, given_back, is_sparse, matrix, programs
from .multiply import product

WIDEST = 32


def multiply(
    a: Rows, x: torch.Tensor, added: torch.Tensor | None = None, alpha: float = 1.0, beta: float = 1.0
) -> torch.Tensor:
    """alpha a x + beta added, [rows] of x [columns], or [rows, width] of x [columns, width], contiguous, of
    the type of the values."""
    out = torch.empty((a.shape[0], *x.shape[1:]), dtype=x.dtype, device=x.device)
    if not out.numel():
        return out
    width = 1 if x.ndim == 1 else x.shape[1]
    launch(
        multiply_kernel,
        programs(a),
        out,
        a.starts,
        a.columns,
        a.values,
        x,
        out if added is None else added,
        a.shape[0],
        a.count,
        width,
        scalar_bits(alpha, True),
        scalar_bits(beta, True),
        ADDED=added is not None,
        SCALED=alpha != 1,
        WIDTH=1 if width == 1 else min(WIDEST, power_of_two(width)),
    )
    return out


def sample(
    a: Rows, x: torch.Tensor, y: torch.Tensor, added: torch.Tensor | None, alpha: float, beta: float
) -> torch.Tensor:
    """Where a has elements: alpha times those of x [rows, depth] times y [columns, depth] transposed, + beta
    added."""
    out = torch.empty_like(a.values)
    if out.numel():
        depth = x.shape[1]
        launch(
            sample_kernel,
            programs(a),
            out,
            a.starts,
            a.columns,
            out if added is None else added,
            x,
            y,
            a.shape[0],
            a.count,
            depth,
            scalar_bits(alpha, True),
            scalar_bits(beta, True),
            ADDED=added is not None,
            BLOCK=min(128, max(4, power_of_two(depth))),
        )
    return out


class Product(torch.autograd.Function):
    """A sparse matrix, as its values, times a dense one."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, x: torch.Tensor, a: Rows) -> torch.Tensor:
        """[rows, width] of x [columns, width]."""
        a = replace(a, values=values.detach())
        x = x.contiguous()
        ctx.a = a
        ctx.save_for_backward(x)
        return multiply(a, x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Samples of a product for the values, the transposed matrix for x."""
        (x,) = ctx.saved_tensors
        gradient = grad_outputs[0].contiguous()
        of_values = of_x = None
        if ctx.needs_input_grad[0]:
            left, right = gradient.reshape(gradient.shape[0], -1), x.reshape(x.shape[0], -1)
            of_values = sample(ctx.a, left, right, None, 1.0, 1.0)
        if ctx.needs_input_grad[1]:
            of_x = multiply(ctx.a.transposed(), gradient)
        return of_values, of_x, None


class Sample(torch.autograd.Function):
    """A product of dense matrices where a sparse one has elements."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, y: torch.Tensor, a: Rows) -> torch.Tensor:
        """The products of x[i] and y[j]."""
        x, y = x.contiguous(), y.contiguous()
        ctx.a = a
        ctx.save_for_backward(x, y)
        return sample(a, x, y, None, 1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The matrix of the gradient times y, and transposed times x."""
        x, y = ctx.saved_tensors
        a = replace(ctx.a, values=grad_outputs[0].contiguous())
        return multiply(a, y), multiply(a.transposed(), x), None


def spmm(starts: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A matrix in compressed rows times x [m] or [m, k]: element k of row i is one of starts[i] <= k <
    starts[i + 1], values[k] in columns[k]. Differentiable in `values` and `x`. float32, float64."""
    a = Rows((starts.numel() - 1, x.shape[0]), starts, columns, values.detach().contiguous())
    return Product.apply(values, x, a)


def sddmm(starts: torch.Tensor, columns: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Where a matrix in compressed rows has elements, those of x [n, k] times y [m, k] transposed, in its
    order. Differentiable in `x` and `y`. float32, float64."""
    pattern = x.new_empty(columns.numel())
    return Sample.apply(x, y, Rows((x.shape[0], y.shape[0]), starts, columns, pattern))


def _dense(x: Any, dtype: torch.dtype, length: int, name: str) -> torch.Tensor:
    tensor = taken(x, name)[0]
    if tensor.ndim not in (1, 2) or tensor.shape[0] != length:
        raise InvalidValue(
            f"{name} has the shape {tuple(tensor.shape)}, where its first size must be {length}"
        )
    return inexact(tensor).to(dtype)


def mm(sparse: Any, dense: Any) -> Any:
    """A sparse matrix [n, m] times a dense one [m] or [m, k], in the wider of their element types; times a
    sparse one [m, k], a sparse matrix in compressed rows, without gradients. A row of a
    sparse array of SciPy counts as a matrix of one row, and gives [k] or a number. Differentiable in the
    dense factor and in the values of a tensor. Raises InvalidValue, InvalidType."""
    a, restore = matrix(sparse, "sparse")
    if is_sparse(dense):
        b = matrix(dense, "dense")[0]
        if a.shape[1] != b.shape[0]:
            raise InvalidValue(f"matrices of the shapes {a.shape} and {b.shape} cannot be multiplied")
        dtype = torch.promote_types(a.values.dtype, b.values.dtype)
        return given_back(product(a.to(dtype), b.to(dtype)), sparse)
    given = inexact(taken(dense, "dense")[0])
    dtype = torch.promote_types(a.values.dtype, given.dtype)
    x = _dense(dense, dtype, a.shape[1], "dense")
    out = Product.apply(a.values.to(dtype), x, a.to(dtype))
    if getattr(sparse, "ndim", 2) == 1:
        out = out[0]
    return out if isinstance(dense, torch.Tensor) else restore(out)


def addmm(mat: Any, mat1: Any, mat2: Any, *, beta: float = 1.0, alpha: float = 1.0) -> Any:
    """beta mat + alpha mat1 mat2, mat1 sparse [n, m], the others dense [n, k] and [m, k]. float32, float64.
    Raises InvalidValue, InvalidType."""
    a, restore = matrix(mat1, "mat1")
    x = _dense(mat2, a.values.dtype, a.shape[1], "mat2").contiguous()
    added = _dense(mat, a.values.dtype, a.shape[0], "mat").contiguous()
    if added.shape[1:] != x.shape[1:]:
        raise InvalidValue(f"mat {tuple(added.shape)} and mat2 {tuple(x.shape)} differ in their last size")
    out = multiply(a, x, added, alpha, beta)
    return out if isinstance(mat2, torch.Tensor) else restore(out)


def sampled_addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1.0, alpha: float = 1.0) -> Any:
    """Where the sparse `input` [n, m] has elements: beta input + alpha mat1 mat2, dense [n, k] and [k, m]; a
    sparse matrix of PyTorch in compressed rows, or of SciPy as a CSR array where `input` is SciPy's. float32,
    float64. Raises InvalidValue, InvalidType."""
    a, _ = matrix(input, "input")
    x = _dense(mat1, a.values.dtype, a.shape[0], "mat1").contiguous()
    y = _dense(taken(mat2, "mat2")[0].mT, a.values.dtype, a.shape[1], "mat2").contiguous()
    if x.shape[1:] != y.shape[1:]:
        raise InvalidValue(f"mat1 {tuple(x.shape)} and mat2 {tuple(y.mT.shape)} cannot be multiplied")
    values = sample(a, x, y, a.values, alpha, beta)
    return given_back(replace(a, values=values), input)


def solve_rows(a: Rows, b: torch.Tensor, upper: bool, unit: bool = False) -> torch.Tensor:
    """x of a x = b, a triangular, b [n] or [n, k] contiguous and of the type of its values; `unit`: with ones
    on the diagonal, whatever is stored. Raises SingularMatrix."""
    out, width = torch.empty_like(b), 1 if b.ndim == 1 else b.shape[1]
    singular = torch.zeros(1, dtype=torch.int64, device=out.device)
    if out.numel():
        block = min(WIDEST, power_of_two(width))
        launch(
            solve_kernel,
            cdiv(width, block),
            out,
            a.starts,
            a.columns,
            a.values,
            b,
            a.shape[0],
            width,
            singular,
            UPPER=upper,
            UNIT=unit,
            WIDTH=block,
        )
    if int(singular):
        raise SingularMatrix(f"A is singular: zero entry on diagonal (row {int(singular) - 1})")
    return out


def spsolve_triangular(
    A: Any,
    b: Any,
    lower: bool = True,
    overwrite_A: bool = False,
    overwrite_b: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """The solution of A x = b, A [n, n] triangular, b [n] or [n, k]. Raises InvalidValue for sizes that do
    not match, and a LinAlgError of NumPy, as SciPy does, for elements in the other triangle or a zero on the
    diagonal."""
    import numpy as np

    a, restore = matrix(A)
    if a.shape[0] != a.shape[1]:
        raise InvalidValue(f"A must be a square matrix but its shape is {a.shape}")
    given = inexact(taken(b, "b")[0])
    dtype = torch.promote_types(a.values.dtype, given.dtype)
    right, a = _dense(b, dtype, a.shape[0], "b").contiguous(), a.to(dtype)
    row = a.rows()
    if bool((a.columns > row if lower else a.columns < row).any()):
        raise np.linalg.LinAlgError(
            f"A is not triangular: it has elements {'above' if lower else 'below'} the diagonal"
        )
    try:
        out = solve_rows(a, right, not lower, unit_diagonal)
    except SingularMatrix as error:
        raise np.linalg.LinAlgError(str(error)) from None
    return out if isinstance(b, torch.Tensor) else restore(out)
