"""A conformance run: right operators pass, a wrong result or a kernel that cannot be compiled is found, a
run can be resumed, and the record says what ran."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from anychip.compiler import targets
from anychip.conformance import batch, chip_record, recording, trials
from anychip.conformance import campaign as campaigns
from anychip.conformance.errors import ConformanceError
from anychip.conformance.run import run
from anychip.emulation.cores import core_for
from anychip.emulation.execution import program_of
from anychip.emulation.replay import Answer, Launch
from anychip.pytorch import using

NAMES = ("softmax", "add")
SMALL = trials.Sampling((torch.float32,), 1)


def _begin(chip: str) -> campaigns.Campaign:
    pytest.importorskip("ziglang")
    if program_of(core_for(targets.get(chip))) is None:
        pytest.skip(f"what runs code for {chip} is not installed")
    return campaigns.begin(chip)


def test_operators_pass_with_restricted_features(tmp_path: Path):
    campaign = _begin("x86-64-v2")
    ledger = tmp_path / "ledger.json"
    run([campaign], NAMES, {"x86-64-v2": ledger}, SMALL)
    facts = chip_record.record(campaign)
    assert facts["tier"] == "native"
    assert facts["operators"]["passed"] == facts["operators"]["tried"] == len(NAMES)
    assert facts["verdicts"] == {"add": "passed", "softmax": "passed"}
    assert facts["kernels"]["compiled"] == facts["kernels"]["tried"] > 1
    resumed = campaigns.begin("x86-64-v2", ledger)
    assert resumed.done == set(NAMES)
    written = chip_record.write(chip_record.record(resumed), tmp_path / "chips")
    assert json.loads(written.read_text())["cases"] == facts["cases"]


def test_a_wrong_result_of_the_chip_is_a_failure(monkeypatch: pytest.MonkeyPatch):
    campaign = _begin("x86-64-v2")

    def flipped(core, cases, kernels, replay=batch.replay):
        answers = replay(core, cases, kernels)
        for answer in answers:
            for number, content in answer.memories.items():
                answer.memories[number] = bytes(byte ^ 0x55 for byte in content)
        return answers

    monkeypatch.setattr(batch, "replay", flipped)
    run([campaign], ("softmax",), sampling=SMALL)
    assert chip_record.record(campaign)["verdicts"] == {"softmax": "failed"}


@pytest.mark.slow
def test_what_the_emulator_fails_at_runs_in_the_scalar_form(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The first operator of a batch ends the emulator of the vector form; its trials pass without vectors,
    and the record tells."""
    campaign = _begin("rv64gcv")
    cores = []

    def failing(core, cases, kernels, replay=batch.replay):
        cores.append(core.runs.name)
        fault = Answer({}, "the program was ended: qemu-riscv64: translate.c: Assertion `x' failed.")
        return [fault] * len(cases) if core.runs.name == "rv64gcv" else replay(core, cases, kernels)

    monkeypatch.setattr(batch, "replay", failing)
    ledger = tmp_path / "ledger.json"
    run([campaign], ("softmax",), {"rv64gcv": ledger}, SMALL)
    facts = chip_record.record(campaigns.begin("rv64gcv", ledger))
    assert cores == ["rv64gcv", "rv64gc"]
    assert facts["verdicts"] == {"softmax": "passed"}
    assert facts["kernels"]["compiled"] == facts["kernels"]["tried"] > 0
    assert facts["scalar_form"]["operators"] == ["softmax"]
    assert facts["scalar_form"]["kernels"]["compiled"] > 0
    assert "1 operators, whose vector form this emulator fails at" in facts["remark"]


def test_without_an_emulator_kernels_are_compiled_only():
    campaign = campaigns.begin("apple-m4")
    run([campaign], ("softmax",), sampling=SMALL)
    facts = chip_record.record(campaign)
    assert facts["tier"] == "compiled"
    assert facts["emulator"] == facts["code_that_ran"] == ""
    assert facts["kernels"]["compiled"] > 0


def test_recordings_hold_the_launches_of_a_trial():
    kernels = recording.Kernels()
    (trial, *_) = trials.trials("softmax", torch.float32, SMALL)
    with using("strict"):
        made = recording.record(trial, kernels)
    launches = [step for step in made.case.steps if isinstance(step, Launch)]
    assert launches
    assert {launch.kernel for launch in launches} == set(kernels.texts)
    assert all(f"@{name}" in text for name, text in kernels.texts.items())


def test_unknown_operators_are_refused():
    with pytest.raises(ConformanceError, match="no operator"):
        trials.chosen(["softmaks"])
