"""Gradients of solutions, without those of the steps that led to them: for A x = b and the gradient g of x,
the gradient of b solves A^T y = g, and that of the element of A at (i, j) is -y[i] x[j]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..errors import InvalidType
from ..sparse.matrix import Rows
from ..sparse.products import sample
from .system import System

Solve = Callable[[Any, Any], tuple[Any, int]]


class Solution(torch.autograd.Function):
    """The solution of a system that was solved."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor | None, b: torch.Tensor, x: torch.Tensor, a: Rows, solve: Solve
    ) -> Any:
        """x, as a function of the values of A and of b."""
        ctx.a, ctx.solve, ctx.shape = a, solve, b.shape
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """One more solution, with the transposed matrix."""
        (x,) = ctx.saved_tensors
        turned = ctx.a.transposed()
        other = torch.sparse_csr_tensor(turned.starts, turned.columns, turned.values.detach(), turned.shape)
        y, _ = ctx.solve(other, grad_outputs[0].contiguous())
        of_values = None
        if ctx.needs_input_grad[0]:
            of_values = sample(ctx.a, y[:, None], x[:, None], None, -1.0, 1.0)
        return of_values, y.reshape(ctx.shape), None, None, None


def differentiable(problem: System, A: Any, b: Any, solve: Solve) -> Any:
    """The solution in the kind of `b`, with gradients for tensors that want them. Raises InvalidType where
    the gradient needs a matrix and A is an operator."""
    wanted = isinstance(b, torch.Tensor) and (
        b.requires_grad or (problem.rows is not None and problem.rows.values.requires_grad)
    )
    if not (wanted and torch.is_grad_enabled()):
        return problem.restore(problem.x)
    if problem.rows is None:
        raise InvalidType("gradients need A as a matrix, not as an operator", "Give a matrix, or detach b.")
    return Solution.apply(problem.rows.values, b, problem.x, problem.rows, solve)
