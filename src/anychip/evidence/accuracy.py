"""How far a floating result may be from the exact one: the one bound of tests, proofs, conformance and fused
operators. Flows in: PyTorch's result in float64, its own in the type at hand, and what it gives for inputs
near those of the call. Flows out: which elements are near enough.

An element is right within a few units of its own last place, where a unit is the distance of neighbouring
numbers of the result's type at the element's size. Sums of many terms, and functions that amplify the
rounding of their inputs, lose more than that, and how much depends on the number of terms, their sizes and
the type that they are added in. Two measurements say so without a formula for each operator:

- the worst error that PyTorch itself makes in the same call, against float64, both as it is and in units;
  the lesser counts, so that the error of a large element excuses no small one. In double precision nothing is
  more exact: there its error in single precision tells, in proportion, and what its results scatter by
  where inputs go to their neighbours, beyond what they move by;
- how far each element of the exact result moves where each input is moved by one rounding of the
  accumulator's type (of its own, for fused operators, whose products take values in it): for a sum of n
  terms that is the rounding, times their size, times the root of n
  (backward error: N. J. Higham, "Accuracy and Stability of Numerical Algorithms", 2nd edition, chapters 1
  and 4). Elements that move by more than they are told apart by, such as sums that cancel, get their share
  of the largest movement, or of PyTorch's worst error.

MARGIN times the larger of the two is granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import torch

PRECISION = {torch.float64: 53, torch.float32: 24, torch.bfloat16: 8, torch.float16: 11}
"""Binary digits of a type's significand."""

LOWEST = {torch.float64: -1022, torch.float32: -126, torch.bfloat16: -126, torch.float16: -14}
"""Exponent of a type's smallest normal number."""

ACCUMULATOR = {torch.float16: torch.float32, torch.bfloat16: torch.float32}
"""The type in which values of a type are computed and added, where it is another."""

UNITS = {torch.float64: 7.0, torch.float32: 7.0, torch.bfloat16: 2.0, torch.float16: 2.0}
"""Units granted to every element, one less than the eight by which a wrong element must be noticed:
functions of PyTorch's have up to 4 and so may ours; a result that was computed in single precision is
rounded once."""

MARGIN = 3.75
"""Multiple of a measured error that is granted; four times it must be noticed, whatever rounding takes
away."""

TOLD_APART = 0.25
"""Units of that type by which an element must move to get a share. A copy moves by half a unit or a whole
one; what moves by less than half of that is better conditioned than a copy."""

LUCK = 16.0
"""Multiple of an element's own movement that may be its usual one: the largest of four draws of a normal
distribution is less than a sixteenth of its deviation in 6 of a million elements."""

_slack: ContextVar[float] = ContextVar("anychip.evidence.accuracy", default=1.0)
"""Multiple of every bound that is granted in this context."""


@contextmanager
def granting(multiple: float) -> Iterator[None]:
    """Grant a multiple of every bound in the block, to this thread: more than one only in tests on
    processors where nobody has settled yet which trials are outside (see `tests/processors.py`)."""
    token = _slack.set(multiple)
    try:
        yield
    finally:
        _slack.reset(token)


def granted() -> float:
    """The multiple of every bound that is granted here."""
    return _slack.get()


FACTORS = {"fft": 2.0}
"""Domain of operators -> factor on what results move by where inputs are rounded once: a transform of four
stages rounds four times on the way, whose errors add up to the root of that; of twelve, 3.5 times as much."""

DOUBLE_TO_SINGLE = 2.0**-29
"""Rounding of double precision by that of single precision."""

MAGNIFIED = 2.0**28
"""How much further numbers in double precision are moved than to their neighbours, to see movements that
are less than a rounding of float64: about as far as a rounding of single precision."""


def rounding(dtype: torch.dtype) -> float:
    """Largest relative error of one rounding to a type."""
    return 2.0 ** -PRECISION[dtype]


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type in which values of a type are added."""
    return ACCUMULATOR.get(dtype, dtype)


def unit(exact: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The distance between neighbouring numbers of a type at the size of each element (float64)."""
    exponent = torch.frexp(torch.nan_to_num(exact.double().abs(), 0.0, 0.0, 0.0)).exponent.double() - 1.0
    exponent = torch.where(exact == 0, float(LOWEST[dtype]), exponent).clamp(min=LOWEST[dtype])
    return torch.exp2(exponent - (PRECISION[dtype] - 1))


@dataclass(frozen=True, slots=True)
class Worst:
    """The largest error of a result: as it is, and in units of the elements that have it."""

    absolute: float = 0.0
    units: float = 0.0

    def or_worse(self, other: Worst) -> Worst:
        """The larger of both errors, each by itself."""
        return Worst(max(self.absolute, other.absolute), max(self.units, other.units))


def errors(found: torch.Tensor, exact: torch.Tensor, dtype: torch.dtype, scale: float = 0.0) -> torch.Tensor:
    """What finite elements miss the exact ones by. What is large beside the largest exact element, or input
    (`scale`), by the root of a type's rounding, is another branch of a function, and no rounding: zero."""
    finite = found.isfinite() & exact.isfinite()
    error = torch.where(finite, (found - exact).abs(), 0.0)
    if not error.numel():
        return error
    size = max(float(torch.where(finite, exact.abs(), 0.0).max()), scale)
    return torch.where(error <= rounding(dtype) ** 0.5 * size, error, 0.0)


class Nearby(Protocol):
    """Further results of PyTorch's that say how exact a result can be, asked for where they are needed."""

    @property
    def kept(self) -> torch.dtype | None:
        """The type in which values on the way are kept, if it is not that in which inputs' are added."""
        ...

    @property
    def scale(self) -> float:
        """The largest finite magnitude among the inputs."""
        ...

    def moved(self) -> Sequence[torch.Tensor]:
        """Exact results for inputs moved by a rounding of that type (by MAGNIFIED roundings of double
        precision), in several draws."""
        ...

    def beside(self) -> Sequence[torch.Tensor]:
        """Those for inputs in double precision moved by one rounding, in the first draws of `moved`."""
        ...

    def single(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """PyTorch's result in single precision for inputs rounded to it, and in double precision for the same
        inputs."""
        ...


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What one result is measured by. `exact` is the result in float64 (the two parts of complex numbers
    along the last dimension, if `parts`, which are measured by the unit of the whole number); `native`
    PyTorch's own in the type of the result, if that tells more than `exact`; `calls` operators were called on
    the way; `factor` is for sums in the order of a kernel's loop (see `fused`)."""

    exact: torch.Tensor
    native: torch.Tensor | None = None
    nearby: Nearby | None = None
    calls: int = 1
    factor: float = 1.0
    parts: bool = False

    @property
    def scale(self) -> float:
        """The largest magnitude among the inputs, where it is known."""
        return 0.0 if self.nearby is None else self.nearby.scale

    def unit(self, dtype: torch.dtype) -> torch.Tensor:
        """The unit of each element in a type."""
        exact = self.exact.double()
        if self.parts:
            exact = torch.linalg.vector_norm(exact, dim=-1, keepdim=True).expand(exact.shape)
        return unit(exact, dtype)

    def right(self, ours: torch.Tensor) -> torch.Tensor:
        """Where the elements of a result in one of the types of `UNITS` are near enough."""
        dtype, x, exact = ours.dtype, ours.double(), self.exact.double()
        size, rounded = self.unit(dtype), exact.to(dtype).double()
        error = (x - exact).abs() / granted()
        right = (x == rounded) | (x.isnan() & rounded.isnan())
        right |= error <= UNITS[dtype] * max(1, self.calls) * size
        if bool(right.all()):
            return right
        largest = float(exact.abs().nan_to_num(0.0, 0.0, 0.0).max())
        lost = UNITS[torch.float32] * rounding(accumulator(dtype)) * largest
        difference_of_equals = (exact == 0) & (error <= lost)
        right |= difference_of_equals
        own = self.own_error(dtype)
        right |= error <= MARGIN * (own.units * size).clamp(max=own.absolute)
        if bool(right.all()) or self.nearby is None:
            return right
        return right | (error <= MARGIN * self._shares(dtype, own))

    def bounds(self, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """What is granted to each element of a result in a type, by what grants it (see `right`); `nearby` is
        asked."""
        size, own = self.unit(dtype), self.own_error(dtype)
        units = UNITS[dtype] * max(1, self.calls) * size
        found = {"units": units, "PyTorch's own error": MARGIN * (own.units * size).clamp(max=own.absolute)}
        if self.nearby is not None:
            found["inputs' rounding"] = MARGIN * self._shares(dtype, own)
        return found

    def own_error(self, dtype: torch.dtype) -> Worst:
        """PyTorch's own largest error, as its result is in a type."""
        exact = self.exact.double()
        found = Worst()
        if self.native is not None and exact.numel():
            error = errors(self.native.to(dtype).double(), exact, dtype, self.scale)
            found = Worst(float(error.max()), float((error / self.unit(dtype)).max()))
        if dtype != torch.float64 or self.nearby is None or not exact.numel():
            return found
        pair = self.nearby.single()
        if pair is not None and all(x.shape == exact.shape for x in pair):
            error = errors(pair[0].double(), pair[1].double(), torch.float32, self.scale)
            units = float((error / self.unit(torch.float32)).max())
            found = found.or_worse(Worst(float(error.max()) * DOUBLE_TO_SINGLE, units))
        for near, far in zip(self.nearby.beside(), self.nearby.moved(), strict=False):
            if near.shape == far.shape == exact.shape:
                error = errors(near.double() - (far.double() - exact) / MAGNIFIED, exact, dtype, self.scale)
                found = found.or_worse(Worst(float(error.max()), float((error / self.unit(dtype)).max())))
        return found

    def _shares(self, dtype: torch.dtype, own: Worst) -> torch.Tensor:
        """The share of the largest error for each element that moves by more than it is told apart by."""
        assert self.nearby is not None
        exact, kind = self.exact.double(), self.nearby.kept or accumulator(dtype)
        step = torch.float32 if kind == torch.float64 else kind
        moves = [
            errors(x.double(), exact, step, self.scale) for x in self.nearby.moved() if x.shape == exact.shape
        ]
        if not moves:
            return torch.zeros_like(exact)
        most = torch.stack(moves).amax(0) / (MAGNIFIED if kind == torch.float64 else 1.0)
        farthest = float(most.max()) or 1.0
        largest = max(self.factor * farthest, own.absolute)
        share = (LUCK * most / farthest).clamp(max=1.0)
        return torch.where(most > TOLD_APART * self.unit(kind), largest * share, 0.0)
