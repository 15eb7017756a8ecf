"""Optimisers by name, over plain and distributed parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adamw-fused": partial(torch.optim.AdamW, fused=True),
    "adamw-foreach": partial(torch.optim.AdamW, foreach=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9),
    "sgd-fused": partial(torch.optim.SGD, momentum=0.9, fused=True),
    "adafactor": torch.optim.Adafactor,
}
"""Name -> what makes it from parameters and a rate."""


def optimiser(name: str, parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """An optimiser whose groups each hold parameters of one kind: fused operators take whole tensors or
    distributed ones of one mesh, not both."""
    groups: dict[Any, list[nn.Parameter]] = {}
    for parameter in parameters:
        kind = parameter.device_mesh if isinstance(parameter, DTensor) else None
        groups.setdefault(kind, []).append(parameter)
    return OPTIMISERS[name]([{"params": group} for group in groups.values()], lr=rate)
