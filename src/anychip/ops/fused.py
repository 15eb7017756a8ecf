"""The record of one fused operator: an operator that PyTorch has no name for,
of a room such as `anychip.llm`. Flows out: the name, the function that users call, its kernels, and a plain
PyTorch composition of the same mathematics, which proofs run in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from .registry import Sample

FLOATING: tuple[torch.dtype, ...] = (torch.float32, torch.float16, torch.bfloat16)

Samples = Callable[[torch.dtype], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class Fused:
    """One fused operator. `reference` takes the arguments of `function`. With `differentiable`, gradients of
    all floating tensor arguments that require them are compared, too. `tolerance` is a factor on a test's
    (with a reason in the file). `writes`: it changes some of its arguments, which transforms do not allow
    (`out` makes others do so). `linear`: its gradients depend on no argument, but on their weights alone, so
    that proofs look at what rounding does to these. `transforms`: the function has rules for `torch.func` of
    its own. `room` is filled in where the record is registered."""

    name: str
    family: str
    function: Callable[..., Any]
    reference: Callable[..., Any]
    samples: Samples
    kernels: tuple[Any, ...]
    dtypes: tuple[torch.dtype, ...] = FLOATING
    differentiable: bool = False
    tolerance: float = 1.0
    writes: bool = False
    linear: bool = False
    transforms: bool = False
    room: str = ""
