"""Which trials prove an operator on a chip: a few samples of every overload, in up to two dtypes."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from ..evidence import records
from ..evidence.trial import Trial, tensors_in
from ..ops.registry import operators
from ..pytorch.policy import disabled
from . import drawn
from .errors import ConformanceError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How much is tried: the dtypes, where an operator has them (one with none of them is tried in its
    first), and how many samples of each overload in the first of them (1 in the others)."""

    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float16)
    samples: int = 2


DEFAULT = Sampling()

LARGEST_ELEMENTS = 1 << 18
"""Samples of larger tensors are left out: they take minutes in an emulator."""


def chosen(names: Sequence[str] = ()) -> tuple[str, ...]:
    """Operators by name, all without `names`, in a mixed order, so that a run that is cut short has tried
    some of every domain. Raises ConformanceError for unknown ones."""
    known = operators()
    for name in names:
        if name not in known:
            raise ConformanceError(f"there is no operator {name!r}; `anychip ops` lists those that exist")
    return tuple(names or sorted(known, key=lambda name: hashlib.sha256(name.encode()).digest()))


def dtypes_of(name: str, sampling: Sampling = DEFAULT) -> tuple[torch.dtype, ...]:
    """The dtypes in which an operator is tried."""
    own = operators()[name].dtypes
    return tuple(dtype for dtype in sampling.dtypes if dtype in own) or own[:1]


def trials(name: str, dtype: torch.dtype, sampling: Sampling = DEFAULT) -> list[Trial]:
    """The trials of an operator in a dtype, with what PyTorch makes of each."""
    with disabled(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first = dtype == dtypes_of(name, sampling)[0]
        made = records.trials(name, dtype, sampling.samples if first else 1)
        small = [trial for trial in made if _is_small(trial)]
        return small or list(drawn.trials(name, dtype))


def _is_small(trial: Trial) -> bool:
    elements: Iterable[int] = (x.numel() for x in tensors_in(trial.native))
    return trial.elements <= LARGEST_ELEMENTS and sum(elements) <= LARGEST_ELEMENTS
