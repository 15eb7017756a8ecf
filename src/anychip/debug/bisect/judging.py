"""Is a step's result right for its own inputs? Flows in: a captured step. Flows out: a verdict that says by
which bound: that of `evidence.accuracy`, from PyTorch's results in float64, and that rounding errors have no
direction. No policy may be in force meanwhile.

A launch of a user's kernel has no result in double precision. It is compared with the same step of the other
run, on equal inputs; how far the kernel's own results move with its inputs' last places is granted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...evidence.accuracy import FACTORS, PRECISION, Yardstick, unit
from ...evidence.comparison import Terms, difference
from ...evidence.inputs import copied, in_float64
from ...evidence.nearby import Nearby, OfResult, parts_of, scale_of
from ...ops.registry import overloads
from .tracing import Captured

FAULT, RIGHT, UNKNOWN = "fault", "right", "unknown"

LEAN = 0.25
"""Units by which rounding errors of one result may lean to one side on average: rounding to the nearest leans
by nothing, truncation by half a unit."""

_DEVIATION = 0.3
"""Standard deviation, in units, of the error of one rounding to the nearest: the root of a twelfth."""

_ENOUGH = 64
"""Elements that were rounded, below which their mean says nothing."""

_HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a step: FAULT with `text` and the `bound` that it breaks, RIGHT, or UNKNOWN where
    nothing tells (`text`: why)."""

    number: int
    name: str
    outcome: str
    text: str = ""
    bound: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "step": self.number,
            "name": self.name,
            "outcome": self.outcome,
            "text": self.text,
            "bound": self.bound,
        }


def judge(captured: Captured) -> Verdict:
    """The verdict on a step of an operator's, from PyTorch's own results for its inputs."""
    number, name, call = captured.number, captured.name, captured.call
    if not call.referenced:
        return Verdict(number, name, UNKNOWN, "it has no result in double precision")
    try:
        native = call.run(copied)
    except Exception as error:
        return Verdict(number, name, UNKNOWN, f"PyTorch raises {type(error).__name__}: {error}")
    try:
        exact = call.run(in_float64)
    except Exception:  # an operator without float64 is compared with PyTorch's own
        exact = None
    nearby = Nearby(call.run, scale=scale_of(call.inputs))
    return _verdict(captured, native, exact, nearby, Terms(factor=_factor(name)))


def judge_by_other(
    captured: Captured, theirs: list[torch.Tensor], moved: Sequence[list[torch.Tensor]]
) -> Verdict:
    """The verdict on a step by what it gave on the other run for the same inputs, and for such moved by a
    rounding."""
    draws = iter(moved)
    nearby = Nearby(lambda convert: [x.double() for x in next(draws)], scale=scale_of(captured.call.inputs))
    return _verdict(captured, theirs, None, nearby, Terms())


def _verdict(
    captured: Captured,
    native: list[torch.Tensor],
    exact: list[torch.Tensor] | None,
    nearby: Nearby,
    terms: Terms,
) -> Verdict:
    number, name, ours = captured.number, captured.name, captured.outputs
    fault = difference(ours, native, exact, terms, nearby)
    if fault is not None:
        return Verdict(number, name, FAULT, fault, _bound(ours, native, exact, nearby, terms))
    for x, y, z in zip(ours, native, exact or [], strict=False):
        lean = _lean(x, z)
        if lean is not None and abs(lean) > LEAN and abs(_lean(y, z) or 0.0) < abs(lean) / 2:
            where = "away from" if lean > 0 else "towards"
            text = (
                f"rounding errors of {x.numel()} elements lean {where} zero, by {abs(lean):.2f} units of "
                "their last place on average: this is no rounding to the nearest"
            )
            return Verdict(number, name, FAULT, text, {"lean": abs(lean), "granted lean": LEAN})
    return Verdict(number, name, RIGHT)


def _lean(found: torch.Tensor, exact: torch.Tensor) -> float | None:
    """The mean error of a result in a type of 16 bits, in units, away from zero; None where too little was
    rounded, or the mean is within five of its deviations."""
    if found.dtype not in _HALVES or found.shape != exact.shape or not exact.is_floating_point():
        return None
    x, y = found.double(), exact.double()
    counts = x.isfinite() & y.isfinite() & (y.to(found.dtype).double() != y)
    n = int(counts.sum())
    if n < _ENOUGH:
        return None
    errors = ((x - y) / unit(y, found.dtype) * y.sign())[counts]
    mean = float(errors.mean())
    return mean if abs(mean) > 5.0 * _DEVIATION / n**0.5 else None


def _bound(
    ours: Sequence[torch.Tensor],
    native: Sequence[torch.Tensor],
    exact: Sequence[torch.Tensor] | None,
    nearby: Nearby,
    terms: Terms,
) -> dict[str, float]:
    """The largest error of a result in one of our types, and what was granted there, by what grants it."""
    worst: dict[str, float] = {}
    for k, (x, y) in enumerate(zip(ours, native)):
        z = y if exact is None or len(exact) != len(native) else exact[k]
        if x.shape != y.shape or x.dtype != y.dtype or not x.numel():
            continue
        parts = x.is_complex()
        x, y, z = parts_of(x), parts_of(y), parts_of(z)
        if x.dtype not in PRECISION or z.shape != x.shape:
            continue
        beside = OfResult(nearby, k, len(native))
        yardstick = Yardstick(
            exact=z, native=None if exact is None else y, nearby=beside, factor=terms.factor, parts=parts
        )
        granted = yardstick.bounds(x.dtype)
        error = (x.double() - z.double()).abs().nan_to_num(0.0, 0.0, 0.0)
        most = torch.stack(list(granted.values())).amax(0)
        at = int((error / most.clamp(min=torch.finfo(torch.float64).tiny)).flatten().argmax())
        found = {"error": float(error.flatten()[at])}
        found |= {f"granted by {why}": float(values.flatten()[at]) for why, values in granted.items()}
        if not worst or found["error"] > worst["error"]:
            worst = found
    return worst


def _factor(name: str) -> float:
    """The factor of the operator's domain on what results move by with their inputs."""
    known = overloads().get(name.removeprefix("aten.").removesuffix(".default"))
    return FACTORS.get(known[0].domain, 1.0) if known is not None else 1.0
