"""A run of the operators on some chips: batches of operators are recorded here, compiled for each chip,
replayed under its emulator and judged. Flows in: names of chips or targets. Flows out: their proofs.

Done operators are kept in a ledger, so that an interrupted run goes on where it ended.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from .. import chips
from ..compiler.foreign.records import Record, StockTarget
from ..compiler.foreign.routes import resolve
from ..compiler.targets import Target
from ..emulation.cores import ENGINES, Core, core_for
from ..emulation.errors import EmulationError, MissingEmulator
from ..emulation.execution import host_name, require_emulator
from ..emulation.linking import require_linker
from ..emulation.replay import Answer, KernelCode
from ..evidence.outcome import Failure, Proof
from ..evidence.proof import RECORD
from ..evidence.trial import judge
from ..pytorch import using
from ..pytorch.policy import disabled
from .batch import Batch, Compilations
from .generation import Generation, as_on, generation_of
from .recording import Kernels, Recording, record
from .trials import DEFAULT, Sampling, chosen, dtypes_of, trials

_log = logging.getLogger(__name__)

BATCH = 16
"""Operators whose launches are replayed in one emulated process."""

_EMULATOR_FAULT = re.compile(r"qemu-.*Assertion")
"""QEMU's own assertion failed while it translated code: nothing is known of the code."""

MIXED = "memory is used as elements of different sizes, which this chip's byte order orders otherwise"


@dataclass(slots=True)
class Compiled:
    """Kernels compiled for a target: their names, and the errors of those that were not compiled."""

    names: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Count what became of a kernel."""
        self.names.add(record.kernel)
        if not record.ok:
            self.errors[record.kernel] = record.error


@dataclass(slots=True)
class Campaign:
    """What is known of a chip so far. `core` is None where no emulator runs its code, with `reason`."""

    chip: str
    target: Target | StockTarget
    core: Core | None
    reason: str = ""
    proofs: list[Proof] = field(default_factory=list)
    compiled: Compiled = field(default_factory=Compiled)
    vector_form: Compiled = field(default_factory=Compiled)
    """Code for the target itself, where the emulator runs another form of it."""

    @property
    def done(self) -> set[str]:
        """Operators that need no more."""
        return {proof.subject.removeprefix(RECORD) for proof in self.proofs}

    @property
    def tier(self) -> str:
        """A run on another product or core than the one named is no native run of it, though this machine
        has every instruction of it."""
        if self.core is None:
            return "compiled"
        if self.core.kind != "native":
            return "emulated"
        return "native" if _is_here(self.chip, self.target) else "compiled"

    @property
    def remark(self) -> str:
        """What a record says beside the tier."""
        if self.core is None:
            return self.reason
        if self.core.kind == "native" and self.tier == "compiled":
            return f"the code ran on {host_name()}, which has every instruction of {self.target.name}"
        return self.core.remark


def begin(
    chip: str, ledger: Path | None = None, *, compile_only: bool = False, engine: str = ENGINES[0]
) -> Campaign:
    """A campaign for a chip, with what an earlier one left in `ledger`. Raises UnknownTarget, or
    EmulationError for a GPU, which no emulator here runs, unless it is only compiled for. `engine`: what
    runs WebAssembly."""
    target = resolve(chip)
    campaign = Campaign(chip, target, None)
    try:
        if compile_only:
            raise MissingEmulator("only compilation was asked for")
        if not isinstance(target, Target):
            raise EmulationError(
                f"{chip} is a GPU; run `anychip test --record` on it, or compile for it with --compile-only"
            )
        core = core_for(target, emulate_x86=not _is_here(chip, target), engine=engine)
        require_emulator(core)
        require_linker()
        campaign.core = core
    except MissingEmulator as error:
        campaign.reason = str(error).splitlines()[0]
    if ledger is not None and ledger.exists():
        _read(campaign, ledger)
    return campaign


def _is_here(chip: str, target: Target | StockTarget) -> bool:
    """Whether this machine is the chip, by the system's or LLVM's name; a level of the architecture is
    wherever its features are."""
    if chip in chips.identifiers():
        here = chips.detect_host().chip
        return here is not None and here.identifier == chip
    return target.name.startswith("x86-64") or (isinstance(target, Target) and target.cpu == host_name())


def run(
    campaigns: Sequence[Campaign],
    names: Sequence[str] = (),
    ledgers: Mapping[str, Path] = MappingProxyType({}),
    sampling: Sampling = DEFAULT,
    on_operator: Callable[[str], None] | None = None,
    seconds: float = math.inf,
) -> None:
    """Prove operators (all of them without `names`) that are not done, on several chips at once: trials are
    run and recorded here once for each generation of chips. `ledgers` are by chip. No batch begins later
    than `seconds` from now."""
    end = time.monotonic() + seconds
    groups: dict[Generation, list[Campaign]] = {}
    for campaign in campaigns:
        groups.setdefault(generation_of(campaign.target), []).append(campaign)
    rest = [name for name in chosen(names) if any(name not in campaign.done for campaign in campaigns)]
    compilations = Compilations()
    for batch in _batches(rest):
        if time.monotonic() > end:
            return
        for generation, members in groups.items():
            with as_on(generation):
                told = [
                    Told(name, dtype, _recorded(name, dtype, compilations.kernels, sampling))
                    for name in batch
                    for dtype in dtypes_of(name, sampling)
                ]
            shared = Batch(compilations)
            for campaign in members:
                done = campaign.done
                _prove(campaign, [one for one in told if one.operator not in done], shared)
                if campaign.chip in ledgers:
                    _write(campaign, ledgers[campaign.chip])
        for name in batch:
            if on_operator is not None:
                on_operator(name)


def _batches(names: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(names)
    while batch := list(itertools.islice(remaining, BATCH)):
        yield batch


@dataclass(frozen=True, slots=True)
class Told:
    """An operator's trials in a dtype, as they went here."""

    operator: str
    dtype: torch.dtype
    recordings: list[Recording]


def _prove(campaign: Campaign, told: Sequence[Told], batch: Batch) -> None:
    """Add the proofs of recorded trials on one chip."""
    recordings = [recording for one in told for recording in one.recordings]
    used = sorted(set().union(*(recording.case.kernels for recording in recordings)))
    codes = _compile(campaign, used, batch)
    answers = _replayed(campaign, recordings, codes, batch)
    with disabled():
        for one in told:
            proof = Proof(RECORD + one.operator, str(one.dtype).removeprefix("torch."))
            for recording in one.recordings:
                _judge(campaign, recording, answers.get(id(recording)), codes, proof)
            campaign.proofs.append(proof)


def _recorded(name: str, dtype: torch.dtype, kernels: Kernels, sampling: Sampling) -> list[Recording]:
    made = trials(name, dtype, sampling)
    with using("strict"):
        return [record(trial, kernels) for trial in made]


def _compile(campaign: Campaign, names: Sequence[str], batch: Batch) -> dict[str, KernelCode]:
    """The kernels for what is run; where that is another form of the target, for the target as well."""
    runs = campaign.core.runs if campaign.core is not None else campaign.target
    codes = {}
    for done in batch.compilations.compiled(runs.name, names):
        campaign.compiled.add(done)
        if done.ok:
            codes[done.kernel] = KernelCode(done.symbol, done.object_code, done.arena_bytes)
    if runs != campaign.target:
        for done in batch.compilations.compiled(campaign.target.name, names):
            campaign.vector_form.add(done)
    return codes


def _replayed(
    campaign: Campaign, recordings: Sequence[Recording], codes: dict[str, KernelCode], batch: Batch
) -> dict[int, Answer]:
    if campaign.core is None:
        return {}
    ready = [
        recording
        for recording in recordings
        if not _obstacle(campaign, recording, codes) and recording.case.kernels
    ]
    return batch.replayed(campaign.core, ready, codes)


def _obstacle(campaign: Campaign, recording: Recording, codes: dict[str, KernelCode]) -> str:
    """Why a recording cannot be replayed, or ""."""
    missing = sorted(recording.case.kernels - codes.keys())
    if missing:
        return f"{missing[0]}: {campaign.compiled.errors.get(missing[0], 'was not compiled')}"
    if isinstance(campaign.target, Target) and campaign.target.big_endian and recording.mixed:
        return MIXED
    return recording.problem


def _judge(
    campaign: Campaign,
    recording: Recording,
    answer: Answer | None,
    codes: dict[str, KernelCode],
    proof: Proof,
) -> None:
    """Count one trial; where nothing runs the code, it passes when all its kernels were compiled."""
    trial, observed = recording.trial, recording.observed
    obstacle = _obstacle(campaign, recording, codes)
    if observed.error is None and obstacle:
        if recording.problem or obstacle == MIXED:
            proof.unserved[obstacle] += 1
            proof.count(trial.kind, "unserved")
        else:
            proof.fail(Failure(trial.kind, trial.inputs, obstacle, tuple(observed.served)))
        return
    if answer is not None and _EMULATOR_FAULT.search(answer.error):
        proof.unserved[f"the emulator failed: {answer.error}"] += 1
        proof.count(trial.kind, "unserved")
        return
    if answer is not None and answer.error:
        proof.fail(Failure(trial.kind, trial.inputs, answer.error, tuple(observed.served)))
        return
    if campaign.core is None and observed.error is None and recording.case.kernels:
        proof.count(trial.kind, "passed")
        return
    if answer is not None:
        observed = recording.with_results(answer.memories)
    judge(trial, observed, proof)


# --- the ledger -----------------------------------------------------------------------------------
def _write(campaign: Campaign, ledger: Path) -> None:
    ledger.parent.mkdir(parents=True, exist_ok=True)
    data: dict[str, Any] = {
        "target": campaign.target.name,
        "tier": campaign.tier,
        "proofs": [proof.to_json() for proof in campaign.proofs],
        "compiled": _compiled_data(campaign.compiled),
        "vector_form": _compiled_data(campaign.vector_form),
    }
    temporary = ledger.with_suffix(".writing")
    temporary.write_text(json.dumps(data))
    temporary.replace(ledger)


def _read(campaign: Campaign, ledger: Path) -> None:
    try:
        data = json.loads(ledger.read_text())
        if data["target"] != campaign.target.name or data["tier"] != campaign.tier:
            return
        campaign.proofs = [Proof.from_json(proof) for proof in data["proofs"]]
        campaign.compiled = _compiled(data["compiled"])
        campaign.vector_form = _compiled(data["vector_form"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s cannot be read (%s): the run begins anew", ledger, error)


def _compiled_data(compiled: Compiled) -> dict[str, Any]:
    return {"names": sorted(compiled.names), "errors": compiled.errors}


def _compiled(data: dict[str, Any]) -> Compiled:
    return Compiled(set(data["names"]), dict(data["errors"]))
