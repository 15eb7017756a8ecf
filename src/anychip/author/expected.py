"""What a call should give, known to the judge alone. Flows in: a task and arguments. Flows out: PyTorch's
results in float64 and in the type at hand, how they move with their inputs, and whether a candidate's results
are near enough: by the bound of `evidence.accuracy`, as for the operators of the library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map

from ..evidence.comparison import Terms, difference, tensors_in
from ..evidence.inputs import copied, detached, in_float64
from ..evidence.nearby import Nearby, scale_of
from .errors import TaskError
from .tasks import Task
from .tasks.task import Arguments

ORDER = 2.0
"""Factor on what results move by with their inputs: a kernel's loop adds thousands of terms in its own
order."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a call should give: results, flattened, and those near them."""

    native: list[Any]
    exact: list[Any] | None
    nearby: Nearby

    def fault(self, results: list[torch.Tensor]) -> str | None:
        """What is wrong with a candidate's results, or None."""
        return difference(results, self.native, self.exact, Terms(factor=ORDER), self.nearby)


def forward(task: Task, arguments: Arguments, dtype: torch.dtype) -> Expected:
    """The task's results. Raises TaskError where PyTorch refuses the arguments."""

    def run(convert: Callable[[Any], Any]) -> list[Any]:
        positional, keywords = tree_map(convert, (arguments.positional, dict(arguments.keywords)))
        with torch.no_grad():
            return [detached(x) for x in tree_flatten(task.reference(*positional, **keywords))[0]]

    return _expected(task, arguments, dtype, run)


def backward(task: Task, arguments: Arguments, dtype: torch.dtype, weights: list[torch.Tensor]) -> Expected:
    """The task's gradients by every floating argument, for weights of its results."""

    def run(convert: Callable[[Any], Any]) -> list[Any]:
        positional, keywords = tree_map(convert, (arguments.positional, dict(arguments.keywords)))
        wanting = [x.requires_grad_() for x in tensors_in((positional, keywords)) if x.is_floating_point()]
        outputs = [x for x in tensors_in(task.reference(*positional, **keywords)) if x.requires_grad]
        given = [convert(weight).to(x.dtype) for weight, x in zip(weights, outputs)]
        found = torch.autograd.grad(outputs, wanting, given, allow_unused=True)
        return [x.detach() for x in found if x is not None]

    return _expected(task, arguments, dtype, run)


def weights_for(expected: Expected, generator: torch.Generator) -> list[torch.Tensor]:
    """Weights of the floating results, for a gradient."""
    floating = [x for x in expected.native if isinstance(x, torch.Tensor) and x.is_floating_point()]
    return [(2 * torch.rand(x.shape, generator=generator) - 1).to(x.dtype) for x in floating]


def _expected(
    task: Task, arguments: Arguments, dtype: torch.dtype, run: Callable[[Callable[[Any], Any]], list[Any]]
) -> Expected:
    try:
        native = run(copied)
    except Exception as error:
        raise TaskError(f"the reference of {task.name} fails: {type(error).__name__}: {error}") from error
    try:
        exact = run(in_float64)
    except Exception:  # an operator without float64 is compared with itself
        exact = None
    kept = dtype if task.composed and dtype.is_floating_point else None
    return Expected(native, exact, Nearby(run, kept=kept, scale=scale_of(tuple(arguments))))
