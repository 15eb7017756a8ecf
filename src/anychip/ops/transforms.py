"""`torch.func` through fused operators. A kernel sees memory, so the transforms of PyTorch cannot look into
it: here an operator becomes one step that they know the rules of. A batch is a loop over its parts; the
backward formula is the operator's own kernels; the forward one is the derivative of the record's plain
composition, in float64. Flows in: a record, arguments. Flows out: what the transform wants, or an error where
PyTorch would give zeros without a word."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from .errors import ArgumentError
from .fused import Fused


def served(operator: Fused) -> Callable[..., Any]:
    """The operator's function, which goes through these rules while a transform is active, unless it has
    rules of its own."""
    function = operator.function
    if operator.transforms:
        return function

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:
            return _transformed(operator, function, arguments, keywords)
        return function(*arguments, **keywords)

    return call


class Call:
    """One call: the function, and its arguments without their tensors. `results` and `dtypes` are known once
    it ran: the structure of what it gave, and the types of its tensors."""

    def __init__(self, operator: Fused, function: Callable[..., Any], arguments: Any):
        self.operator = operator
        self.function = function
        self.leaves, self.structure = tree_flatten(arguments)
        self.places = [k for k, x in enumerate(self.leaves) if isinstance(x, torch.Tensor)]
        self.results: tuple[list[Any], TreeSpec] | None = None
        self.dtypes: list[torch.dtype] = []

    def taken(self) -> list[torch.Tensor]:
        """The tensors; nothing is kept of them."""
        tensors = [self.leaves[k] for k in self.places]
        for k in self.places:
            self.leaves[k] = None
        return tensors

    def arguments(self, tensors: Sequence[torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments, with `tensors` in the places of those of the call."""
        leaves = list(self.leaves)
        for k, x in zip(self.places, tensors, strict=True):
            leaves[k] = x
        return tree_unflatten(leaves, self.structure)

    def run(self, tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """The tensors of the result."""
        arguments, keywords = self.arguments(tensors)
        leaves, structure = tree_flatten(self.function(*arguments, **keywords))
        given = tuple(x for x in leaves if isinstance(x, torch.Tensor))
        self.results = [x if not isinstance(x, torch.Tensor) else ... for x in leaves], structure
        self.dtypes = [x.dtype for x in given]
        return given

    def result(self, tensors: Sequence[torch.Tensor]) -> Any:
        """Tensors in the structure that the function gave."""
        assert self.results is not None
        left = iter(tensors)
        return tree_unflatten([next(left) if x is ... else x for x in self.results[0]], self.results[1])

    def refuse(self, what: str) -> ArgumentError:
        """The error that says what the operator does not have, and what to do instead."""
        return ArgumentError(
            f"{self.operator.name}: {what}; detach the argument, or use a composition of PyTorch's operators"
        )


def _transformed(operator: Fused, function: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
    call = Call(operator, function, (arguments, keywords))
    if operator.writes or keywords.get("out") is not None:
        raise call.refuse("it writes into its arguments, which transforms of torch.func do not allow")
    return call.result(Transformed.apply(call, *call.taken()))


def _looped(function: Any, info: Any, dims: Sequence[int | None], fixed: Sequence[Any], tensors: Any) -> Any:
    """A rule of vmap: one call for each part of the batch."""
    if not info.batch_size:
        raise ArgumentError("vmap over an empty batch of a fused operator: leave it out")
    parts = []
    for k in range(info.batch_size):
        given = [x if dim is None else x.select(dim, k) for x, dim in zip(tensors, dims, strict=True)]
        parts.append(function.apply(*fixed, *given))
    results = tuple(torch.stack(each) for each in zip(*parts, strict=True))
    return results, (0,) * len(results)


class Transformed(torch.autograd.Function):
    """The operator itself."""

    @staticmethod
    def forward(call: Call, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        """Run the operator."""
        return call.run(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
        """Keep the tensors for both derivatives; integers have none."""
        ctx.call = inputs[0]
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(x for x in output if not x.is_floating_point()))
        ctx.save_for_backward(*inputs[1:])
        ctx.save_for_forward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        """The gradients of the tensors that need one, by `Backward`. Raises ArgumentError for an operator
        without."""
        call, tensors = ctx.call, ctx.saved_tensors
        if not call.operator.differentiable:
            raise call.refuse("it has no derivative")
        wanted = tuple(ctx.needs_input_grad[1:])
        given = tuple(g is not None for g in grad_outputs)
        if not any(given):
            return (None,) * (1 + len(wanted))
        kept = [g for g in grad_outputs if g is not None]
        found = iter(Backward.apply(call, wanted, given, *tensors, *kept))
        return None, *(next(found) if each else None for each in wanted)

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> tuple[torch.Tensor | None, ...]:
        """The tangents of the floating results, by `Forward`. Raises ArgumentError for an operator without
        derivative."""
        tangents = grad_inputs[1:]
        call, tensors = ctx.call, ctx.saved_tensors
        if not call.operator.differentiable:
            raise call.refuse("it has no derivative")
        wanted = tuple(x is not None for x in tangents)
        found = iter(Forward.apply(call, wanted, *tensors, *(x for x in tangents if x is not None)))
        return tuple(next(found) if dtype.is_floating_point else None for dtype in call.dtypes)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """A batch is a loop over its elements."""
        return _looped(Transformed, info, in_dims[1:], args[:1], args[1:])


class _Derivative(torch.autograd.Function):
    """What both formulas share: a batch is a loop, and there is no derivative of a derivative."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.call = inputs[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        raise ctx.call.refuse("it has no second derivative")

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        raise ctx.call.refuse("it has no second derivative")


class Backward(_Derivative):
    """Gradients of the wanted tensors, by the operator's own kernels, for those of its floating results."""

    @staticmethod
    def forward(  # type: ignore[override]
        call: Call, wanted: tuple[bool, ...], given: tuple[bool, ...], *rest: torch.Tensor
    ) -> Any:
        """`rest` are the call's tensors, then gradients of the `given` results; returns gradients of the
        `wanted` tensors."""
        tensors, gradients = rest[: len(wanted)], rest[len(wanted) :]
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_(each) for x, each in zip(tensors, wanted, strict=True)]
            results = [x for x, each in zip(call.run(leaves), given, strict=True) if each]
            pairs = [(x, g) for x, g in zip(results, gradients, strict=True) if x.requires_grad]
            found = (
                torch.autograd.grad(
                    [x for x, _ in pairs],
                    [x for x in leaves if x.requires_grad],
                    [g for _, g in pairs],
                    allow_unused=True,
                )
                if pairs
                else (None,)
            )
        return _all_known(call, found)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """A batch is a loop over its elements."""
        return _looped(Backward, info, in_dims[3:], args[:3], args[3:])


class Forward(_Derivative):
    """Tangents of the floating results, for those of the wanted tensors: the reference's backward formula is
    linear in the gradient, and the derivative by it is the forward one."""

    @staticmethod
    def forward(call: Call, wanted: tuple[bool, ...], *rest: torch.Tensor) -> Any:  # type: ignore[override]
        """`rest` are the call's tensors, then tangents of the `wanted` ones; returns tangents of the floating
        results."""
        tensors, tangents = rest[: len(wanted)], rest[len(wanted) :]
        with torch.enable_grad():
            leaves = [_wide(x).requires_grad_(each) for x, each in zip(tensors, wanted, strict=True)]
            arguments, keywords = call.arguments(leaves)
            results = tree_flatten(call.operator.reference(*arguments, **keywords))[0]
            results = [x for x in results if isinstance(x, torch.Tensor)]
            kinds = [dtype for dtype in call.dtypes if dtype.is_floating_point]
            results = [x for x, dtype in zip(results, call.dtypes, strict=True) if dtype.is_floating_point]
            seeds = [torch.zeros_like(x).requires_grad_() for x in results]
            pairs = [(x, s) for x, s in zip(results, seeds, strict=True) if x.requires_grad]
            found = (
                torch.autograd.grad(
                    [x for x, _ in pairs],
                    [x for x in leaves if x.requires_grad],
                    [s for _, s in pairs],
                    create_graph=True,
                    allow_unused=True,
                )
                if pairs
                else (None,)
            )
            known = zip(_all_known(call, found), tangents, strict=True)
            total = torch.stack([(g * t.to(g.dtype)).sum() for g, t in known]).sum()
            out = torch.autograd.grad(total, seeds, allow_unused=True, materialize_grads=True)
        return tuple(x.to(dtype) for x, dtype in zip(out, kinds, strict=True))

    @staticmethod
    def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
        """A batch is a loop over its elements."""
        return _looped(Forward, info, in_dims[2:], args[:2], args[2:])


def _all_known(call: Call, found: Sequence[torch.Tensor | None]) -> tuple[torch.Tensor, ...]:
    known = tuple(x for x in found if x is not None)
    if len(known) != len(found):
        raise call.refuse("it has no derivative by one of the arguments that one is asked for")
    return known


def _wide(x: torch.Tensor) -> torch.Tensor:
    return x.detach().to(torch.float64) if x.is_floating_point() else x.detach()
