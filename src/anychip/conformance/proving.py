"""The proof of a batch of operators on one chip: its code is compiled, replayed where an emulator runs it, in
the scalar form where only that can be run, and the results are judged. Flows in: trials recorded here. Flows
out: the campaign's proofs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..emulation.cores import Core, core_for
from ..emulation.replay import Answer, KernelCode
from ..evidence.outcome import Failure, Proof
from ..evidence.proof import RECORD
from ..evidence.trial import judge
from ..pytorch.policy import disabled
from .batch import Batch
from .campaign import Campaign, Compiled
from .recording import Recording

EMULATOR_FAULT = re.compile(r"qemu-.*Assertion")
"""QEMU's own assertion failed while it translated code: nothing is known of the code."""

MIXED = "memory is used as elements of different sizes, which this chip's byte order orders otherwise"


@dataclass(frozen=True, slots=True)
class Told:
    """An operator's trials in a dtype, as they went here."""

    operator: str
    dtype: torch.dtype
    recordings: list[Recording]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a recording on a chip: the emulator's answer, or why it was not run: `error`, a kernel
    was not compiled; `problem`, it cannot be replayed. All empty: there was nothing to run, or nothing
    runs the code."""

    answer: Answer | None = None
    error: str = ""
    problem: str = ""

    @property
    def emulator_failed(self) -> bool:
        """Whether the emulator ended by its own fault."""
        return self.answer is not None and EMULATOR_FAULT.search(self.answer.error) is not None


def prove(campaign: Campaign, told: Sequence[Told], batch: Batch) -> None:
    """Add the proofs of recorded trials on one chip."""
    outcomes = outcomes_of(campaign, [recording for one in told for recording in one.recordings], batch)
    if campaign.core is not None and campaign.core.otherwise is not None:
        _again_in_scalar_form(campaign, core_for(campaign.core.otherwise), told, outcomes, batch)
    with disabled():
        for one in told:
            proof = Proof(RECORD + one.operator, str(one.dtype).removeprefix("torch."))
            for recording in one.recordings:
                _judge(campaign.core, recording, outcomes[id(recording)], proof)
            campaign.proofs.append(proof)


def outcomes_of(campaign: Campaign, recordings: Sequence[Recording], batch: Batch) -> dict[int, Outcome]:
    """The outcome of each recording, by its `id`, in the form that is run; where that is another form than
    the target's, kernels are compiled for the target as well."""
    runs = campaign.core.runs if campaign.core is not None else campaign.target
    if runs != campaign.target:
        for done in batch.compilations.compiled(campaign.target.name, _kernels_of(recordings)):
            campaign.vector_form.add(done)
    return _run_as(runs.name, campaign.core, recordings, campaign.compiled, batch)


def _again_in_scalar_form(
    campaign: Campaign, core: Core, told: Sequence[Told], outcomes: dict[int, Outcome], batch: Batch
) -> None:
    """Put the outcomes of code without vectors in the place of those that the emulator failed at."""
    failed = [
        (one.operator, recording)
        for one in told
        for recording in one.recordings
        if outcomes[id(recording)].emulator_failed
    ]
    recordings = [recording for _, recording in failed]
    outcomes.update(_run_as(core.runs.name, core, recordings, campaign.scalar_form, batch))
    campaign.in_scalar_form.update(operator for operator, _ in failed)


def _run_as(
    form: str, core: Core | None, recordings: Sequence[Recording], compiled: Compiled, batch: Batch
) -> dict[int, Outcome]:
    """Compile the kernels of recordings for the target `form`, counted in `compiled`, and run what is ready
    on `core`."""
    codes: dict[str, KernelCode] = {}
    for done in batch.compilations.compiled(form, _kernels_of(recordings)):
        compiled.add(done)
        if done.ok:
            codes[done.kernel] = KernelCode(done.symbol, done.object_code, done.arena_bytes)
    outcomes = {id(recording): _before(recording, core, codes, compiled) for recording in recordings}
    if core is not None:
        ready = [
            recording
            for recording in recordings
            if outcomes[id(recording)] == Outcome() and recording.case.kernels
        ]
        answers = batch.replayed(core, ready, codes)
        outcomes.update((number, Outcome(answer)) for number, answer in answers.items())
    return outcomes


def _kernels_of(recordings: Sequence[Recording]) -> list[str]:
    return sorted(set().union(*(recording.case.kernels for recording in recordings)))


def _before(
    recording: Recording, core: Core | None, codes: dict[str, KernelCode], compiled: Compiled
) -> Outcome:
    """Why a recording is not run, if it is not."""
    missing = sorted(recording.case.kernels - codes.keys())
    if missing:
        return Outcome(error=f"{missing[0]}: {compiled.errors.get(missing[0], 'was not compiled')}")
    if core is not None and core.runs.big_endian and recording.mixed:
        return Outcome(problem=MIXED)
    return Outcome(problem=recording.problem)


def _judge(core: Core | None, recording: Recording, outcome: Outcome, proof: Proof) -> None:
    """Count one trial; where nothing runs the code, it passes when all its kernels were compiled."""
    trial, observed, answer = recording.trial, recording.observed, outcome.answer
    served = tuple(observed.served)
    if observed.error is None and (outcome.problem or outcome.emulator_failed):
        failed = f"the emulator failed: {answer.error}" if answer is not None else outcome.problem
        proof.unserved[failed] += 1
        proof.count(trial.kind, "unserved")
        return
    if observed.error is None and outcome.error:
        proof.fail(Failure(trial.kind, trial.inputs, outcome.error, served))
        return
    if answer is not None and answer.error:
        proof.fail(Failure(trial.kind, trial.inputs, answer.error, served))
        return
    if core is None and observed.error is None and recording.case.kernels:
        proof.count(trial.kind, "passed")
        return
    judge(trial, observed if answer is None else recording.with_results(answer.memories), proof)
