"""Which trials prove an operator on a chip: a few samples of every overload, in up to two dtypes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import torch

from ..evidence import records
from ..evidence.trial import Trial, tensors_in
from ..ops.registry import operators
from ..pytorch.policy import disabled
from .errors import ConformanceError

DTYPES = (torch.float32, torch.float16)
"""Tried where an operator has them; an operator with none of them is tried in its first."""

SAMPLES = {torch.float32: 2}
"""Samples of an overload in a dtype; 1 in the others."""

LARGEST_ELEMENTS = 1 << 18
"""Samples of larger tensors are left out: they take minutes in an emulator."""


def chosen(names: Sequence[str] = ()) -> tuple[str, ...]:
    """Operators by name, all without `names`. Raises ConformanceError for unknown ones."""
    known = operators()
    for name in names:
        if name not in known:
            raise ConformanceError(f"there is no operator {name!r}; `anychip ops` lists those that exist")
    return tuple(names or sorted(known))


def dtypes_of(name: str) -> tuple[torch.dtype, ...]:
    """The dtypes in which an operator is tried."""
    own = operators()[name].dtypes
    return tuple(dtype for dtype in DTYPES if dtype in own) or own[:1]


def trials(name: str, dtype: torch.dtype) -> list[Trial]:
    """The trials of an operator in a dtype, with what PyTorch makes of each."""
    with disabled(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = records.trials(name, dtype, SAMPLES.get(dtype, 1))
        return [trial for trial in made if _is_small(trial)]


def _is_small(trial: Trial) -> bool:
    elements: Iterable[int] = (x.numel() for x in tensors_in(trial.native))
    return trial.length <= LARGEST_ELEMENTS and sum(elements) <= LARGEST_ELEMENTS
