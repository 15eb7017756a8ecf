"""Running one case: is the answer right, and how long does each candidate take.

Flows in: a case, the peers, the roofs. Flows out: a `Row`, plain data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch.utils._pytree import tree_leaves

from .case import DTYPE_NAMES, Case, Work
from .measure import Spread, TimingBudget, interleaved
from .peers import Peer, Unavailable
from .roofs import Roofs
from .suite import double

OURS, EAGER = "anychip", "eager"
WORSE_THAN_EAGER = 4.0
"""How many times PyTorch's own error against float64 ours may be."""
ROUNDINGS = 4.0
"""How many units in the last place of the largest result are granted besides, times the square root of
the number of terms in a sum: orders of summation differ."""
SPREAD = 8.0
"""How many times the error of a mean of as many random numbers the two means and spreads may differ."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one case. `seconds`: by candidate, ours first. `ratios`: their time over ours, pair
    by pair. `errors`: largest difference from float64 by candidate, relative to the largest result.
    `roof`: the share of the machine's limit that we reach. `wrong`: why our answer is not right, or
    empty. `disturbed`: why the times are not to be relied upon, or empty. `notes`: peers that failed."""

    family: str
    name: str
    dtype: str
    sizes: tuple[int, ...]
    seconds: Mapping[str, Spread]
    ratios: Mapping[str, Spread]
    errors: Mapping[str, float]
    gigabytes_per_second: float
    gigaflops: float
    roof: float | None
    rounds: int
    wrong: str
    disturbed: str
    notes: tuple[str, ...]

    @property
    def best_peer(self) -> str:
        """The fastest candidate that is not ours."""
        peers = [name for name in self.seconds if name != OURS]
        return min(peers, key=lambda name: self.seconds[name].median, default="")


def run(case: Case, peers: Sequence[Peer], roofs: Roofs | None, budget: TimingBudget) -> Row:
    """Check and time one case."""
    torch.manual_seed(0)
    work = case.make()
    candidates: dict[str, Callable[[], Any]] = {
        OURS: lambda: work.ours(*work.arguments),
        EAGER: lambda: work.pytorch(*work.arguments),
    }
    notes = []
    for peer in peers:
        try:
            candidates[peer.name] = peer.prepare(case, work)
        except Unavailable as reason:
            notes.append(f"{peer.name}: {reason}")
    with torch.no_grad():
        errors, wrong = _errors(work, candidates, notes)
        measured = interleaved(candidates, budget)
    ours = measured.times[OURS].median
    element = DTYPE_NAMES[case.dtype]
    return Row(
        family=case.family,
        name=case.name,
        dtype=element,
        sizes=case.sizes,
        seconds=measured.times,
        ratios=measured.ratios,
        errors=errors,
        gigabytes_per_second=work.bytes / ours * 1e-9,
        gigaflops=work.flops / ours * 1e-9,
        roof=None if roofs is None else roofs.least_seconds(work.bytes, work.flops, element) / ours,
        rounds=measured.rounds,
        wrong=wrong,
        disturbed=measured.disturbed,
        notes=tuple(notes),
    )


def _errors(
    work: Work, candidates: dict[str, Callable[[], Any]], notes: list[str]
) -> tuple[dict[str, float], str]:
    """Each candidate's error, and what is wrong with ours. A peer that is far off is left out."""
    found = {name: list(_results(call(), work)) for name, call in candidates.items()}
    unit = max((_rounding(result) for results in found.values() for result in results), default=0.0)
    roundings = max(work.tolerance, ROUNDINGS * unit * work.terms**0.5)
    if work.agreeing:
        apart = _difference(found[OURS], found[EAGER], work.random)
        if apart <= roundings:
            return {OURS: apart, EAGER: 0.0}, ""
    drawn = work.random and work.reference is None
    expected = found[EAGER] if drawn else _expected(work)
    errors = {name: _difference(results, expected, work.random) for name, results in found.items()}
    granted = WORSE_THAN_EAGER * errors[EAGER] + roundings
    if work.random:
        least = min((result.numel() for result in expected), default=1)
        granted = max(0.01, SPREAD / max(1, least) ** 0.5)
    for name in list(candidates)[2:]:
        if not errors[name] <= max(granted, 0.02):
            notes.append(f"{name}: wrong by {errors.pop(name):.1e}")
            del candidates[name]
    wrong = ""
    if not errors[OURS] <= granted:
        wrong = f"wrong by {errors[OURS]:.1e}, PyTorch by {errors[EAGER]:.1e}"
        _log.warning("our result is %s", wrong)
    return errors, wrong


def _expected(work: Work) -> list[torch.Tensor]:
    function = work.reference or work.pytorch
    return list(_results(function(*(double(argument) for argument in work.arguments)), work))


def _results(result: Any, work: Work) -> Iterator[torch.Tensor]:
    if work.compared is not None:
        result = work.compared(result)
    for part in tree_leaves(result):
        if isinstance(part, torch.Tensor):
            yield torch.view_as_real(part.resolve_conj()) if part.is_complex() else part
        elif part is not None:
            yield torch.from_numpy(numpy.array(part))


def _difference(results: list[torch.Tensor], expected: list[torch.Tensor], random: bool) -> float:
    largest = 0.0
    for result, wanted in zip(results, expected, strict=True):
        if result.dtype == wanted.dtype and torch.equal(result, wanted):
            continue
        got, want = result.double().flatten(), wanted.double().flatten()
        if got.shape != want.shape:
            return float("inf")
        if not want.numel():
            continue
        if random:
            got, want = (torch.stack([x.mean(), x.std()]) for x in (got, want))
        same = (got == want) | (got.isnan() & want.isnan())
        if bool(same.all()):
            continue
        scale = max(float(want[want.isfinite()].abs().max()) if bool(want.isfinite().any()) else 0.0, 1e-30)
        difference = float((got - want)[~same].abs().max()) / scale
        largest = max(largest, difference if difference == difference else float("inf"))
    return largest


def _rounding(result: torch.Tensor) -> float:
    return torch.finfo(result.dtype).eps if result.dtype.is_floating_point else 0.0
