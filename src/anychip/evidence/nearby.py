"""What PyTorch gives for inputs near those of a call, which says how exact a result can be. Flows in: how to
run the call with its inputs converted. Flows out: results for inputs moved by a rounding, and for inputs in
single precision; each is computed when it is asked for, once. Nothing here may run while our operators are
enabled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_flatten

from .inputs import in_single, moved_in_float64, neighbours_in_float64, through_single

DRAWS = 4
"""How often inputs are moved by a rounding."""

Run = Callable[[Callable[[Any], Any]], Any]
"""Given a function that converts inputs, PyTorch's result for them; raises where PyTorch does."""


@dataclass(slots=True)
class Nearby:
    """The results near one call's, flattened: `change` is applied to each result first. Values on the way are
    `kept` in a type, or (None) in that in which the inputs' are added. `own` runs PyTorch's operator where
    `run` is a reference that computes in double precision always."""

    run: Run
    change: Callable[[Any], Any] | None = None
    kept: torch.dtype | None = None
    scale: float = 0.0
    """The largest finite magnitude among the inputs."""
    own: Run | None = None
    _moved: list[list[Any]] | None = field(default=None, init=False)
    _beside: list[list[Any]] | None = field(default=None, init=False)
    _single: list[list[Any]] | None = field(default=None, init=False)

    def moved(self) -> list[list[Any]]:
        """In float64, for inputs moved by a rounding, in several draws; none where PyTorch raises."""
        if self._moved is None:
            conversions = [moved_in_float64(number, self.kept) for number in range(DRAWS)]
            self._moved = self._tried([(self.run, convert) for convert in conversions])
        return self._moved

    def beside(self) -> list[list[Any]]:
        """In float64, for inputs in double precision moved to their neighbours, in the first draws of
        `moved`."""
        if self._beside is None:
            conversions = [neighbours_in_float64(number) for number in range(DRAWS // 2)]
            self._beside = self._tried([(self.run, convert) for convert in conversions])
        return self._beside

    def single(self) -> list[list[Any]]:
        """For inputs rounded to single precision: in that, and in double precision."""
        if self._single is None:
            self._single = self._tried([(self.own or self.run, in_single), (self.run, through_single)])
        return self._single

    def _tried(self, runs: Sequence[tuple[Run, Callable[[Any], Any]]]) -> list[list[Any]]:
        try:
            found = [run(convert) for run, convert in runs]
        except Exception:
            return []
        return [tree_flatten(x if self.change is None else self.change(x))[0] for x in found]


def scale_of(inputs: Any) -> float:
    """The largest finite magnitude among the floating and complex tensors of nested inputs."""
    found = 0.0
    for x in tree_flatten(inputs)[0]:
        if isinstance(x, torch.Tensor) and x.layout == torch.strided and x.numel():
            if x.is_floating_point() or x.is_complex():
                found = max(found, float(parts_of(x).double().nan_to_num(0.0, 0.0, 0.0).abs().max()))
    return found


def parts_of(x: torch.Tensor) -> torch.Tensor:
    """A tensor of real numbers: complex ones as their two parts."""
    x = x.detach().resolve_conj().resolve_neg()
    return torch.view_as_real(x) if x.is_complex() else x


@dataclass(frozen=True, slots=True)
class OfResult:
    """Result `number` of `count` near a call's (see `accuracy.Nearby`)."""

    nearby: Nearby
    number: int
    count: int

    @property
    def kept(self) -> torch.dtype | None:
        """The type in which values on the way are kept, if it is not that in which inputs' are added."""
        return self.nearby.kept

    @property
    def scale(self) -> float:
        """The largest finite magnitude among the inputs."""
        return self.nearby.scale

    def _picked(self, results: list[list[Any]]) -> list[torch.Tensor]:
        found = [flat[self.number] for flat in results if len(flat) == self.count]
        return [parts_of(x) for x in found if isinstance(x, torch.Tensor) and x.layout == torch.strided]

    def moved(self) -> list[torch.Tensor]:
        """In float64, for inputs moved by a rounding."""
        return [x for x in self._picked(self.nearby.moved()) if x.is_floating_point()]

    def beside(self) -> list[torch.Tensor]:
        """In float64, for inputs in double precision moved to their neighbours."""
        return [x for x in self._picked(self.nearby.beside()) if x.is_floating_point()]

    def single(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """In single precision, and in double precision for the same inputs."""
        found = self._picked(self.nearby.single())
        return (found[0], found[1]) if len(found) == 2 and found[0].is_floating_point() else None
