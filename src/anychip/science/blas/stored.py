"""Products with, updates of and solutions with a matrix in any layout of BLAS, with gradients: those of each
are made of the others. Flows in: storage, its `Form`, vectors. Flows out: vectors, and updated storage."""

from __future__ import annotations

from typing import Any

import torch
import triton.language as tl

from ...ops.iteration import power_of_two
from ...ops.launching import cdiv, launch
from .layout import HERMITIAN, NO_MIRROR, Form
from .layout_kernels import stored_product_kernel, stored_solve_kernel, stored_update_kernel

ROWS, BLOCK = 8, 32
ADJOINT = {"N": "C", "T": "conjugate", "C": "N", "conjugate": "T"}
"""Which of a matrix, its transposed, its conjugated transposed and its conjugated one is the adjoint of
each."""


def numbers(x: torch.Tensor) -> torch.Tensor:
    """The memory of a tensor, a complex number being two."""
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x.resolve_neg()


def accumulator(x: torch.Tensor) -> Any:
    """The type in which sums are taken."""
    return tl.float64 if x.dtype in (torch.float64, torch.complex128) else tl.float32


def _strided(x: torch.Tensor) -> torch.Tensor:
    """Storage whose conjugation is done."""
    return x.detach().resolve_conj().resolve_neg()


def product(a: torch.Tensor, x: torch.Tensor, form: Form, op: str) -> torch.Tensor:
    """The matrix, or what `op` makes of it, times x."""
    a, x = _strided(a), x.detach().contiguous()
    turned, conjugated = op in ("T", "C"), op in ("C", "conjugate")
    rows, columns = (form.columns, form.rows) if turned else (form.rows, form.columns)
    out = torch.empty(rows, dtype=x.dtype, device=x.device)
    if not columns:
        return out.zero_()
    height = min(ROWS, power_of_two(rows))
    launch(
        stored_product_kernel,
        cdiv(rows, height),
        numbers(out),
        numbers(a),
        numbers(x),
        rows,
        columns,
        *form.addresses(a),
        form.below,
        form.above,
        *form.reach(turned),
        COMPLEX=x.is_complex(),
        MIRROR=form.mirror,
        UNIT=form.unit,
        TURNED=turned,
        CONJUGATE=conjugated,
        ACCUMULATE=accumulator(x),
        ROWS=height,
        BLOCK=BLOCK,
    )
    return out


def update(
    a: torch.Tensor,
    form: Form,
    pairs: tuple[torch.Tensor, ...],
    one_on_diagonal: bool = False,
    real_diagonal: bool = False,
) -> None:
    """Add u v^T, and w z^T if `pairs` has them, to what is stored."""
    u, v, w, z = (numbers(x.detach().contiguous()) for x in (pairs if len(pairs) == 4 else (*pairs, *pairs)))
    height = min(ROWS, power_of_two(form.rows))
    launch(
        stored_update_kernel,
        cdiv(form.rows, height),
        numbers(a),
        u,
        v,
        w,
        z,
        form.rows,
        form.columns,
        *form.addresses(a),
        form.below,
        form.above,
        *form.alone().reach(False),
        COMPLEX=a.is_complex(),
        UNIT=form.unit,
        TWO=len(pairs) == 4,
        ONE_ON_DIAGONAL=one_on_diagonal,
        REAL_DIAGONAL=real_diagonal,
        ACCUMULATE=accumulator(a),
        ROWS=height,
        BLOCK=BLOCK,
    )


def of_storage(a: torch.Tensor, form: Form, op: str, g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The gradient in the storage where that in what `op` makes of the matrix is g x^H."""
    out = torch.zeros(a.shape, dtype=a.dtype, device=a.device)
    first = {"N": (g, x.conj()), "T": (x.conj(), g), "C": (x, g.conj()), "conjugate": (g.conj(), x)}[op]
    pairs = first
    if form.mirror != NO_MIRROR:
        second = first[1], first[0]
        pairs = (*first, *(one.conj() for one in second)) if form.mirror == HERMITIAN else (*first, *second)
    update(out, form, pairs, True, form.mirror == HERMITIAN)
    return out


def solved(a: torch.Tensor, b: torch.Tensor, form: Form, op: str) -> torch.Tensor:
    """What `op` makes of a triangular matrix, into b [n], or into each row of b [k, n]."""
    storage, x = _strided(a), _strided(b).clone(memory_format=torch.contiguous_format)
    turned = op in ("T", "C")
    launch(
        stored_solve_kernel,
        1 if x.ndim == 1 else len(x),
        numbers(x),
        numbers(storage),
        form.rows,
        *form.addresses(storage),
        form.below,
        form.above,
        max(form.below, form.above),
        COMPLEX=x.is_complex(),
        UNIT=form.unit,
        TURNED=turned,
        CONJUGATE=op in ("C", "conjugate"),
        UPWARDS=(form.below == 0 and form.above > 0) != turned,
        ACCUMULATE=accumulator(x),
        BLOCK=BLOCK,
    )
    return x


class Product(torch.autograd.Function):
    """The matrix, or what `op` makes of it, times a vector."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, x: torch.Tensor, form: Form, op: str) -> torch.Tensor:
        """The product."""
        ctx.save_for_backward(a, x)
        ctx.form, ctx.op = form, op
        return product(a, x, form, op)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The adjoint's product, and an update of zeros."""
        a, x = ctx.saved_tensors
        g = grad_outputs[0]
        of_x = Product.apply(a, g, ctx.form, ADJOINT[ctx.op]) if ctx.needs_input_grad[1] else None
        of_a = of_storage(a, ctx.form, ctx.op, g, x) if ctx.needs_input_grad[0] else None
        return of_a, of_x, None, None


class Solution(torch.autograd.Function):
    """What `op` makes of a triangular matrix, into a vector."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor, form: Form, op: str) -> torch.Tensor:
        """The solution."""
        x = solved(a, b, form, op)
        ctx.save_for_backward(a, x)
        ctx.form, ctx.op = form, op
        return x

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """One more solution, with the adjoint."""
        a, x = ctx.saved_tensors
        of_b = Solution.apply(a, grad_outputs[0], ctx.form, ADJOINT[ctx.op])
        of_a = of_storage(a, ctx.form, ctx.op, -of_b, x) if ctx.needs_input_grad[0] else None
        return of_a, of_b, None, None


class Updated(torch.autograd.Function):
    """Storage with u v^T, and w z^T if there are four vectors, added to what is stored."""

    @staticmethod
    def forward(
        ctx: Any, a: torch.Tensor, form: Form, real_diagonal: bool, *vectors: torch.Tensor
    ) -> torch.Tensor:
        """The new storage."""
        ctx.save_for_backward(*vectors)
        ctx.form, ctx.real_diagonal = form, real_diagonal
        out = a.detach().clone(memory_format=torch.contiguous_format).resolve_conj()
        update(out, form, vectors, False, real_diagonal)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient's stored part times the conjugated vectors."""
        g, form, found = grad_outputs[0], ctx.form, []
        if ctx.real_diagonal and g.is_complex():
            # an update with zeros makes the diagonal's parts real
            zeros = g.new_zeros(form.rows)
            g = g.clone(memory_format=torch.contiguous_format).resolve_conj()
            update(g, form, (zeros, zeros), False, True)
        for k in range(0, len(ctx.saved_tensors), 2):
            u, v = ctx.saved_tensors[k : k + 2]
            found += [Product.apply(g, v.conj(), form, "N"), Product.apply(g, u.conj(), form, "T")]
        return g, None, None, *found
