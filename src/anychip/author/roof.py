"""The least time of a call on this machine: what must be moved and computed, by the roofs that `bench`
measures."""

from __future__ import annotations

import torch
from torch.utils._pytree import tree_leaves

from ..bench.case import DTYPE_NAMES
from ..bench.roofs import Roofs
from .tasks import Task
from .tasks.task import Arguments


def least(
    task: Task, arguments: Arguments, results: list[torch.Tensor], dtype: torch.dtype, roofs: Roofs
) -> float:
    """Seconds below which no correct call can be. Every result is written once, and every input read once
    where the task needs all of it."""
    given = (
        [x for x in tree_leaves(tuple(arguments)) if isinstance(x, torch.Tensor)] if task.reads_all else []
    )
    moved = sum(x.numel() * x.element_size() for x in (*given, *results))
    operations = task.operations(arguments) if task.operations is not None else 0.0
    return roofs.least_seconds(moved, operations, DTYPE_NAMES.get(dtype, "f32"))
