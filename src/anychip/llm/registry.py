"""The one list of fused operators for language models. Flows in: records that modules of this room add.
Flows out: the list that tests, tables and the Python API read. A record names the function that users call,
its kernels, and a plain PyTorch composition of the same mathematics, which tests run in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..ops.errors import RegistryError
from ..ops.modules import import_all
from ..ops.registry import Sample

FLOATING: tuple[torch.dtype, ...] = (torch.float32, torch.float16, torch.bfloat16)

Samples = Callable[[torch.dtype], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class Fused:
    """One fused operator. `reference` takes the arguments of `function`. With `differentiable`, gradients of
    all floating tensor arguments that require them are compared, too. `tolerance` is a factor on a test's
    (with a reason in the file)."""

    name: str
    family: str
    function: Callable[..., Any]
    reference: Callable[..., Any]
    samples: Samples
    kernels: tuple[Any, ...]
    dtypes: tuple[torch.dtype, ...] = FLOATING
    differentiable: bool = False
    tolerance: float = 1.0


_operators: dict[str, Fused] = {}


def register(operator: Fused) -> Fused:
    """Add a record; a name that is taken is an error."""
    if operator.name in _operators:
        raise RegistryError(
            f"fused operator {operator.name!r} is registered twice; rename one of the records"
        )
    from .transforms import served

    known = replace(operator, function=served(operator))
    _operators[operator.name] = known
    return known


def operators() -> dict[str, Fused]:
    """Every fused operator by name, after importing every module of the room."""
    import_all(__package__ or "anychip.llm")
    return _operators
