"""Trials from the samples of the library's own records, which reach what PyTorch's database does not.
The oracle is the record's reference, or PyTorch's own kernel; nothing here runs while ours are enabled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_flatten, tree_map

from ..ops.registry import Overload, Sample, operators
from ..ops.schemas import overload_of
from .inputs import SEED, copied, in_float64, summary
from .nearby import Nearby, Run, scale_of
from .trial import Trial, elements_of

BY_REFERENCE = frozenset({"_weight_int8pack_mm"})
"""Overloads whose result in the type at hand is the reference's, too: PyTorch's own kernel (2.13, on
processors with instructions for products of bytes) ends the process at sizes that it says it takes."""


def trials(
    name: str, dtype: torch.dtype, limit: int | None = None, convert: Callable[[Any], Any] = copied
) -> Iterator[Trial]:
    """Trials of an operator's overloads, through PyTorch's dispatcher. `convert` makes the inputs of ours
    from those of PyTorch, in memory of their own: on another device, say."""
    for overload in operators()[name].overloads:
        for sample in islice(overload.samples(dtype), limit):
            made = _trial(overload, sample, convert)
            if made is not None:
                yield made


def _trial(overload: Overload, sample: Sample, convert: Callable[[Any], Any]) -> Trial | None:
    """None where PyTorch has no result for the sample to compare with."""
    try:
        wanted = expected(overload, sample)
    except Exception:
        return None
    inputs = inputs_of(sample)
    return Trial(
        "record",
        f"aten::{overload.name} {summary(inputs)}",
        (_ready(overload, overload_of(overload.name), inputs, convert),),
        wanted.native,
        wanted.exact,
        nearby=wanted.nearby,
        elements=elements_of(inputs),
    )


class Expected(NamedTuple):
    """What a call should give: PyTorch's own result in the type at hand, the same in float64 (from the
    record's reference, if it has one), and what inputs near the call's give."""

    native: Any
    exact: Any
    nearby: Nearby


def inputs_of(sample: Sample) -> tuple[list[Any], dict[str, Any]]:
    """A sample's arguments and keywords."""
    return list(sample.arguments), dict(sample.keywords)


def expected(overload: Overload, sample: Sample) -> Expected:
    """What PyTorch makes of a sample; where its own operator does not take it in the type at hand, the
    record's reference in that type stands for it, or else the result in float64, rounded. Raises what
    PyTorch, or the reference, raises in float64."""
    served = overload_of(overload.name)
    reference = overload.reference or served
    inputs = inputs_of(sample)
    torch.default_generator.manual_seed(SEED)
    exact = _ready(overload, reference, inputs, in_float64)()
    torch.default_generator.manual_seed(SEED)

    def run(function: Any) -> Run:
        return lambda convert: _ready(overload, function, inputs, convert)()

    if overload.name in BY_REFERENCE:
        return Expected(_rounded(exact, inputs), exact, Nearby(run(reference), scale=scale_of(inputs)))
    try:
        native = run(served)(copied)
    except Exception:
        native = _rounded(exact, inputs) if overload.reference is None else run(reference)(copied)
    return Expected(native, exact, Nearby(run(reference), scale=scale_of(inputs), own=run(served)))


def _rounded(exact: Any, inputs: Any) -> Any:
    """Results of float64 in the type of the call's first floating tensor."""
    tensors = (x for x in tree_flatten(inputs)[0] if isinstance(x, torch.Tensor))
    dtype = next((x.dtype for x in tensors if x.is_floating_point()), torch.float64)

    def rounded(x: Any) -> Any:
        return x.to(dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() else x

    return tree_map(rounded, exact)


def _ready(
    overload: Overload, function: Any, inputs: Any, convert: Callable[[Any], Any]
) -> Callable[[], Any]:
    """A call with its inputs converted; it gives what of the result is compared."""
    pick = overload.compared or (lambda result: result)
    arguments, keywords = tree_map(convert, inputs)
    return lambda: pick(function(*arguments, **keywords))
