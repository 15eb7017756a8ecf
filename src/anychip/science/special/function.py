"""A special function as SciPy has it: one scalar kernel for every element, and derivatives in terms of other
functions. Flows in: a kernel's scalar function, and derivatives. Flows out: a function of arrays, tensors and
numbers that broadcast, and its record."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from ...ops.elementwise.arithmetic import mul
from ...ops.launching import Tiles
from ...ops.pointwise import Pointwise, flat_kernel, tiled_kernel
from ...ops.promotion import Promotion
from ...ops.samples import layouts, tensor
from ..arrays import inexact, taken
from ..errors import InvalidType, NotProvided
from ..registry import Fused, Sample, register

TILES = Tiles(simt={"flat": 256, "tile": 256, "square": 16}, simd={"flat": 256, "tile": 256, "square": 16})
"""Small, as a tile goes on until its last element has converged."""

Derivative = Callable[..., torch.Tensor]
Range = tuple[float, float]


class Scaled(torch.autograd.Function):
    """A product of two tensors of one shape."""

    @staticmethod
    def forward(ctx: Any, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """first second."""
        ctx.save_for_backward(first, second)
        return mul(first, second)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradient times the other factor."""
        first, second = ctx.saved_tensors
        return Scaled.apply(grad_outputs[0], second), Scaled.apply(grad_outputs[0], first)


class Evaluated(torch.autograd.Function):
    """A kernel of tensors that broadcast."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Pointwise, name: str, derivatives: Sequence[Derivative | None], *arguments: Any
    ) -> torch.Tensor:
        """The kernel's result."""
        ctx.derivatives, ctx.name = derivatives, name
        ctx.save_for_backward(*arguments)
        return kernel(*arguments)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """Each derivative times the gradient, summed where an argument was broadcast."""
        arguments, found = ctx.saved_tensors, []
        for wanted, x, derivative in zip(ctx.needs_input_grad[3:], arguments, ctx.derivatives):
            if not wanted:
                found.append(None)
                continue
            if derivative is None:
                place = len(found) + 1
                raise NotProvided(f"{ctx.name} has no derivative by its argument {place}", "Detach it.")
            slope = derivative(*arguments).expand(grad_outputs[0].shape)
            found.append(Scaled.apply(grad_outputs[0], slope).sum_to_size(x.shape))
        return (None, None, None, *found)


def special(
    name: str, kernel: Any, parameters: Sequence[str], what: str, derivatives: Sequence[Derivative | None]
) -> Callable[..., Any]:
    """The function `name` of `parameters`, by a scalar function of Triton's."""
    pointwise = Pointwise(kernel, Promotion.INT_TO_FLOAT, tiles=TILES)

    def call(*arguments: Any) -> Any:
        if len(arguments) != len(parameters):
            raise InvalidType(f"{name} takes {len(parameters)} arguments, not {len(arguments)}")
        pairs = [taken(x, parameter) for x, parameter in zip(arguments, parameters)]
        tensors = [inexact(x) for x, _ in pairs]
        if any(x.is_complex() for x in tensors):
            raise InvalidType(f"{name} of complex numbers is not served")
        # a number of Python's takes the type of the arrays beside it, as for NumPy
        typed = [x for x, given in zip(tensors, arguments) if not isinstance(given, int | float)] or tensors
        dtype = typed[0].dtype
        for x in typed[1:]:
            dtype = torch.promote_types(dtype, x.dtype)
        result = Evaluated.apply(pointwise, name, derivatives, *(x.to(dtype) for x in tensors))
        if any(isinstance(x, torch.Tensor) for x in arguments):
            return result
        return pairs[0][1](result)[()]

    call.__name__ = call.__qualname__ = name
    kind = inspect.Parameter.POSITIONAL_ONLY
    call.__dict__["__signature__"] = inspect.Signature([inspect.Parameter(p, kind) for p in parameters])
    missing = [p for p, derivative in zip(parameters, derivatives) if derivative is None]
    gradient = f"Differentiable, but not in {', '.join(missing)}." if missing else "Differentiable."
    call.__doc__ = (
        f"{what} Real arguments, which broadcast; float32 and float64, "
        f"integers in double; NaN outside of the domain. {gradient} Raises InvalidType for complex numbers."
    )
    return call


def recorded(
    function: Callable[..., Any],
    family: str,
    reference: Callable[..., Any],
    ranges: Sequence[Range],
    fixed: int = 0,
    tolerance: float = 1.0,
    calm: Sequence[float] = (),
) -> None:
    """Register a function for proofs with arguments out of `ranges`; the first `fixed` of them have no
    derivative and are numbers. Proofs are in double precision, in which the kernels compute whatever they are
    given. At the arguments `calm`, if any, the function or its derivative moves little where they are
    rounded, so that a proof there refuses one element off."""

    def samples(dtype: torch.dtype) -> Iterable[Sample]:
        for shape in ((17,), (2, 5)):
            drawn = [tensor(shape, dtype, *span, seed=k) for k, span in enumerate(ranges[fixed:])]
            numbers = [(low + high) / 2 for low, high in ranges[:fixed]]
            yield Sample((*numbers, *drawn))
            yield Sample((*numbers, next(layouts(drawn[0])), *drawn[1:]))
        if calm:
            yield Sample((*calm[:fixed], *(torch.tensor([x], dtype=dtype) for x in calm[fixed:])))

    register(
        Fused(
            function.__name__,
            family,
            function,
            reference,
            samples,
            (flat_kernel, tiled_kernel),
            dtypes=(torch.float64,),
            differentiable=True,
            tolerance=tolerance,
        )
    )
