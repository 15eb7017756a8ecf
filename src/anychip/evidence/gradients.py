"""Trials of derivatives: against PyTorch's own for fixed weights of the results, and against differences, by
PyTorch's `gradcheck` in float64. Flows in: an entry and a sample whose tensors want gradients. Flows out:
trials."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from .comparison import tensors_in
from .inputs import SEED, copied, summary, weights_like
from .oracle import told
from .trial import Trial

LARGEST = 1 << 12
"""Elements of inputs with which `gradcheck` is tried."""


def differentiable(entry: Any, dtype: torch.dtype) -> bool:
    """Whether PyTorch has derivatives of an entry in a dtype."""
    return (
        entry.supports_autograd
        and (dtype.is_floating_point or dtype.is_complex)
        and dtype in entry.supported_backward_dtypes("cpu")
    )


def gradient(entry: Any, dtype: torch.dtype, sample: Any) -> Trial | None:
    """Derivatives by every input that wants one, for fixed weights of the results."""
    inputs = ([sample.input, *sample.args], dict(sample.kwargs))

    def call(convert: Callable[[Any], Any]) -> Callable[[], Any]:
        arguments, keywords = tree_map(convert, inputs)
        leaves = [x for x in tensors_in((arguments, keywords)) if x.requires_grad]
        return lambda: found(arguments, keywords, leaves, convert)

    def found(
        arguments: list[Any],
        keywords: dict[str, Any],
        leaves: list[torch.Tensor],
        convert: Callable[[Any], Any],
    ) -> Any:
        outputs = _outputs(entry, sample, arguments, keywords)
        # Weights are inputs, too, and move with them: the derivative of a linear function has no others.
        weights = [convert(weights_like(x).to(_alike(x, dtype))).to(x.dtype) for x in outputs]
        derivatives = torch.autograd.grad(outputs, leaves, weights, allow_unused=True)
        return [x for x in derivatives if x is not None]

    return told(entry, "gradient", dtype, inputs, call)


def checked_gradient(entry: Any, sample: Any) -> Trial | None:
    """PyTorch's `gradcheck`; None where PyTorch's own operator does not pass it or is not differentiable
    at the sample."""
    inputs = ([sample.input, *sample.args], dict(sample.kwargs))
    wanting = [x for x in tensors_in(inputs) if x.requires_grad]
    if not wanting or sum(math.prod(x.shape) for x in wanting) > LARGEST:
        return None

    def ready() -> Callable[[], bool]:
        flat, shape = tree_flatten(tree_map(copied, inputs))
        places = [k for k, x in enumerate(flat) if isinstance(x, torch.Tensor) and x.requires_grad]

        def function(*leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
            given = list(flat)
            for place, leaf in zip(places, leaves, strict=True):
                given[place] = leaf
            arguments, keywords = tree_unflatten(given, shape)
            return tuple(_outputs(entry, sample, arguments, keywords))

        return lambda: torch.autograd.gradcheck(
            function,
            tuple(flat[k] for k in places),
            nondet_tol=entry.gradcheck_nondet_tol,
            fast_mode=True,
        )

    torch.manual_seed(SEED)
    try:
        native = ready()()
    except Exception:
        return None
    return Trial("gradcheck", summary(inputs), (ready(),), native)


def _alike(result: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
    """The type that a result has where inputs are of `dtype`, by whether it is real or complex."""
    if result.is_complex():
        return dtype.to_complex() if dtype in (torch.float32, torch.float64) else result.dtype
    return dtype.to_real()


def _outputs(entry: Any, sample: Any, arguments: list[Any], keywords: dict[str, Any]) -> list[torch.Tensor]:
    """The results that a gradient flows from."""
    results = sample.output_process_fn_grad(entry.gradcheck_wrapper(entry.op, *arguments, **keywords))
    return [x for x in tensors_in(results) if x.requires_grad]
