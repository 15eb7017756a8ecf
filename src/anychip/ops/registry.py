"""The one list of operators that dispatch, tests, benchmarks and documents read. Modules under the
domains' folders add their records with `register`; `operators()` imports them all and returns the list."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch

from .errors import RegistryError
from .launching import Tiles
from .modules import import_all
from .schemas import exists

FLOATING: tuple[torch.dtype, ...] = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INTEGRAL: tuple[torch.dtype, ...] = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
ALL: tuple[torch.dtype, ...] = (*FLOATING, *INTEGRAL, torch.bool)


class Sample(NamedTuple):
    """Arguments of one call. Tensors are given as `torch.Tensor`; tests turn floats into float64."""

    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any] = {}


Samples = Callable[[torch.dtype], Iterable[Sample]]
Implementation = Callable[..., Any]


def no_samples(dtype: torch.dtype) -> Iterable[Sample]:
    """For overloads that another overload's samples already exercise."""
    return ()


@dataclass(frozen=True, slots=True)
class Overload:
    """One functional ATen overload that is served. `implementation` takes the schema's arguments, and
    also `out=` (a tensor, or a tuple of them) when `takes_out`; in-place and `out=` variants are derived.
    """

    name: str
    implementation: Implementation
    samples: Samples = no_samples
    takes_out: bool = True
    reference: Callable[..., Any] | None = None
    """What a test compares with; None means PyTorch's own kernel on float64 copies of the arguments."""
    compared: Callable[[Any], Any] | None = None
    """Picks, from the result, what a test compares (None: all of it)."""


class Benchmark(NamedTuple):
    """An overload's name, and the arguments that it is timed with, made when they are asked for."""

    overload: str
    sample: Callable[[torch.dtype], Sample]


@dataclass(frozen=True, slots=True)
class Operator:
    """A record: what an operator is called, serves, runs and is measured with."""

    name: str
    overloads: tuple[Overload, ...]
    kernels: tuple[Any, ...]
    dtypes: tuple[torch.dtype, ...] = FLOATING
    differentiable: bool = True
    tiles: Tiles = field(default_factory=Tiles)
    benchmarks: tuple[Benchmark, ...] = ()
    tolerance: float = 1.0
    """Factor on the difference that a benchmark grants between two implementations that it times, for
    algorithms that amplify rounding (with a reason in the file). Proofs grant none (`evidence.accuracy`)."""
    labels: tuple[str, ...] = ()
    """What the launches of kernels that serve many operators are counted under (`flat_kernel[tanh]`), where
    only some are this operator's."""
    domain: str = field(default_factory=lambda: _folder())
    """The subject that the operator belongs to: the folder of the library in which its record is made."""

    def owns(self, launched: str) -> bool:
        """Whether a launch, by the name that it is counted under, is one of this operator's kernels. One that
        copies is not, but for operators of memory and those whose labels say so."""
        kernel, _, label = launched.removesuffix("]").partition("[")
        known = label in self.labels if self.labels else label != COPYING or self.domain == "memory"
        if label and not known:
            return False
        return any(kernel == own.__name__ for own in self.kernels)


COPYING = "same"
"""The label of launches that copy: operators of all kinds do so on the way."""


def _folder() -> str:
    """The folder of the nearest caller whose module is in one of the library's; "" where none is."""
    frame = sys._getframe(1)
    while frame is not None:
        _, _, path = frame.f_globals.get("__name__", "").partition(f"{__package__}.")
        folder, _, module = path.partition(".")
        if module:
            return folder
        frame = frame.f_back
    return ""


_operators: dict[str, Operator] = {}
_overloads: dict[str, tuple[Operator, Overload]] = {}
_absent: dict[str, str] = {}
_homes: dict[str, tuple[str, ...]] = {}
"""Modules of the library by the overload whose record, or a part of it, they make."""


def register(operator: Operator) -> Operator:
    """Add a record, without the overloads that this PyTorch does not have (see `absent`); a name or an
    overload that is already served is an error."""
    if operator.name in _operators:
        raise RegistryError(f"operator {operator.name!r} is registered twice; rename one of the records")
    missing = [overload.name for overload in operator.overloads if not exists(overload.name)]
    if missing:
        operator = _without(operator, missing)
    if not operator.overloads:
        return operator
    for overload in operator.overloads:
        if overload.name in _overloads:
            owner = _overloads[overload.name][0].name
            raise RegistryError(
                f"overload aten::{overload.name} is served by {owner!r} already, and again by "
                f"{operator.name!r}; remove it from one of them"
            )
        _overloads[overload.name] = (operator, overload)
        note_home(overload.name)
    _operators[operator.name] = operator
    return operator


def _without(operator: Operator, missing: list[str]) -> Operator:
    for overload in missing:
        leave_out(overload, operator.name)
    return replace(
        operator,
        overloads=tuple(overload for overload in operator.overloads if overload.name not in missing),
        benchmarks=tuple(row for row in operator.benchmarks if row.overload not in missing),
    )


def leave_out(overload: str, operator: str) -> None:
    """Note that `operator` would serve an overload that this PyTorch does not have."""
    _absent[overload] = operator


def note_home(overload: str) -> None:
    """Note that the module of the library that is being imported makes something of an overload's."""
    home = _importing()
    if home:
        _homes[overload] = (*_homes.get(overload, ()), home)


def _importing() -> str:
    """The innermost module of the library that is being imported; "" where none is."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if frame.f_code.co_name == "<module>" and name.startswith(f"{__package__}."):
            return name
        frame = frame.f_back
    return ""


def homes(overload: str) -> tuple[str, ...]:
    """The modules of the library that make the record of an overload, of those that were imported."""
    return _homes.get(overload, ())


def registered() -> Mapping[str, tuple[Operator, Overload]]:
    """The overloads whose records were made so far; nothing is imported."""
    return _overloads


def operators() -> dict[str, Operator]:
    """Every operator by name, after importing every module of the operator library."""
    import_all(__package__ or "anychip.ops")
    return _operators


def overloads() -> dict[str, tuple[Operator, Overload]]:
    """Every functional overload that is served, with the record that serves it."""
    operators()
    return _overloads


def absent() -> dict[str, str]:
    """Overloads that the library serves and this PyTorch, older or newer than they, does not have, with the
    names of the operators that they belong to."""
    operators()
    return _absent
