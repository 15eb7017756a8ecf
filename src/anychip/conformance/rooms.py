"""The fused operators of a room on another chip. Flows in: a room, a campaign. Flows out: a finding for each
operator, dtype and sample: its launches are recorded here, replayed as the chip's own machine code, and the
results compared with the record's plain composition in float64, as proofs on the machine at hand do."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from ..evidence import fused
from ..evidence.trial import Trial
from ..ops.fused import Fused
from ..ops.rooms import Room
from ..pytorch import using
from ..pytorch.policy import disabled
from .batch import Batch, Compilations
from .campaign import Campaign
from .errors import ConformanceError
from .generation import as_on, generation_of
from .proving import Outcome, outcomes_of
from .recording import Kernels, Recording, record

BATCH = 16
"""Operators whose launches are replayed in one emulated process."""


@dataclass(frozen=True, slots=True)
class RoomFinding:
    """What became of one operator in one dtype on one chip: `passed`, `failed`, or `unserved` where its
    launches cannot be repeated there; and why, of the first sample that did not pass."""

    chip: str
    operator: str
    dtype: str
    verdict: str
    samples: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    """An operator's samples in a dtype, what they should give, and their launches."""

    operator: Fused
    dtype: torch.dtype
    samples: list[tuple[Recording, fused.Wanted]]


def chosen(room: Room, names: Sequence[str]) -> list[Fused]:
    """A room's operators by name, all without names. Raises ConformanceError for unknown ones."""
    known = room.operators()
    for name in names:
        if name not in known:
            raise ConformanceError(
                f"{room.package} has no operator {name!r}; `anychip ops --domain {room.name}` lists them"
            )
    return [known[name] for name in names or known]


def prove(
    campaigns: Sequence[Campaign],
    operators: Sequence[Fused],
    dtypes: Sequence[torch.dtype],
    on_operator: Callable[[str], None] = lambda _: None,
) -> Iterator[RoomFinding]:
    """Findings of operators on chips, in those of `dtypes` that they have (one with none of them in its
    first)."""
    compilations = Compilations()
    remaining = iter(operators)
    while batch := list(itertools.islice(remaining, BATCH)):
        for campaign in campaigns:
            with as_on(generation_of(campaign.target)):
                told = [
                    _told(operator, dtype, compilations.kernels)
                    for operator in batch
                    for dtype in _dtypes_of(operator, dtypes)
                ]
            recordings = [recording for one in told for recording, _ in one.samples]
            outcomes = outcomes_of(campaign, recordings, Batch(compilations))
            with disabled():
                yield from (_finding(campaign, one, outcomes) for one in told)
        for operator in batch:
            on_operator(operator.name)


def _dtypes_of(operator: Fused, dtypes: Sequence[torch.dtype]) -> Sequence[torch.dtype]:
    return [dtype for dtype in dtypes if dtype in operator.dtypes] or operator.dtypes[:1]


def _told(operator: Fused, dtype: torch.dtype, kernels: Kernels) -> _Told:
    forward = replace(operator, differentiable=False)
    samples = []
    for sample in fused.sparing(operator, dtype):
        inputs = fused.inputs_of(forward, dtype, sample)
        with disabled():
            wanted = fused.expected(forward, dtype, inputs)
        trial = Trial("record", operator.name, (_call(operator, inputs),))
        with using("strict"):
            samples.append((record(trial, kernels), wanted))
    return _Told(forward, dtype, samples)


def _call(operator: Fused, inputs: fused.Inputs) -> Callable[[], object]:
    arguments, keywords = inputs
    return lambda: operator.function(*arguments, **keywords)


def _finding(campaign: Campaign, told: _Told, outcomes: dict[int, Outcome]) -> RoomFinding:
    verdict, reason = "passed", ""
    for recording, wanted in told.samples:
        verdict, reason = _verdict(campaign, told.operator, recording, wanted, outcomes[id(recording)])
        if verdict != "passed":
            break
    name = str(told.dtype).removeprefix("torch.")
    return RoomFinding(campaign.chip, told.operator.name, name, verdict, len(told.samples), reason)


def _verdict(
    campaign: Campaign, operator: Fused, recording: Recording, wanted: fused.Wanted, outcome: Outcome
) -> tuple[str, str]:
    observed = recording.observed
    if observed.error is not None:
        return "unserved", f"{type(observed.error).__name__}: {str(observed.error).splitlines()[0]}"
    if outcome.problem or outcome.emulator_failed:
        return "unserved", outcome.problem or "the emulator failed"
    if outcome.error or (outcome.answer is not None and outcome.answer.error):
        return "failed", outcome.error or outcome.answer.error  # type: ignore[union-attr]
    if not recording.case.kernels:
        return "failed", "no kernel was launched"
    if campaign.core is None:
        return "passed", ""
    if outcome.answer is not None:
        observed = recording.with_results(outcome.answer.memories)
    results = fused.Evaluated(fused.tensors(observed.results), [], Counter(), None)
    fault = fused.fault(operator, results, wanted)
    return ("failed", fault) if fault else ("passed", "")
