"""Trials from the samples of the library's own records, which reach what PyTorch's database does not.
The oracle is the record's reference, or PyTorch's own kernel; nothing here runs while ours are enabled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ..ops.registry import Overload, Sample, operators
from ..ops.schemas import overload_of
from .inputs import copied, in_float64, summary
from .trial import SEED, Trial, length_of, scale_of


def trials(name: str, dtype: torch.dtype, limit: int | None = None) -> Iterator[Trial]:
    """Trials of an operator's overloads, through PyTorch's dispatcher."""
    for overload in operators()[name].overloads:
        for sample in islice(overload.samples(dtype), limit):
            made = _trial(overload, sample)
            if made is not None:
                yield made


def _trial(overload: Overload, sample: Sample) -> Trial | None:
    """None where PyTorch has no result for the sample to compare with."""
    inputs = (list(sample.arguments), dict(sample.keywords))
    served = overload_of(overload.name)
    pick = overload.compared or (lambda result: result)

    def ready(function: Any, convert: Callable[[Any], Any]) -> Callable[[], Any]:
        arguments, keywords = tree_map(convert, inputs)
        return lambda: pick(function(*arguments, **keywords))

    try:
        torch.manual_seed(SEED)
        native = ready(served, copied)()
        torch.manual_seed(SEED)
        exact = ready(overload.reference or served, in_float64)()
    except Exception:
        return None
    return Trial(
        "record",
        f"aten::{overload.name} {summary(inputs)}",
        (ready(served, copied),),
        native,
        exact,
        length=length_of(inputs),
        scale=scale_of(inputs),
    )
