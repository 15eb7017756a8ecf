"""The suite: every case, by name and by family.

Flows in: the files under `kernels/`. Flows out: cases in the order of the goals' table.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import torch

from ..suggestions import did_you_mean
from .case import Case
from .errors import BenchmarkError
from .kernels import (
    attention,
    convolutions,
    elementwise,
    losses,
    matrices,
    movement,
    quantized,
    reductions,
    rows,
)

_FILES = (elementwise, rows, reductions, movement, matrices, quantized, attention, convolutions, losses)


def cases(patterns: Sequence[str] = ()) -> list[Case]:
    """The cases whose label matches one of the shell patterns or begins with one; all without patterns.

    Raises `BenchmarkError` for a pattern that matches nothing.
    """
    known = [case for file in _FILES for case in file.cases()]
    if not patterns:
        return known
    chosen: set[str] = set()
    for pattern in patterns:
        found = {case.label for case in known if _matches(case, pattern)}
        if not found:
            hint = did_you_mean(pattern, {case.name for case in known})
            raise BenchmarkError(f"no kernel of the suite matches {pattern!r}.\n  {hint}")
        chosen |= found
    return [case for case in known if case.label in chosen]


def _matches(case: Case, pattern: str) -> bool:
    return case.name == pattern or fnmatch.fnmatch(case.label, pattern)


def double(value: object) -> object:
    """Floating tensors in float64, other tensors of numbers in int64, all else as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    if value.dtype.is_floating_point:
        return value.double()
    return value if value.dtype in (torch.bool, torch.int64) else value.long()
