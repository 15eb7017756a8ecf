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
from anychip.emulation.cores import core_for
from anychip.emulation.execution import program_of
from anychip.emulation.replay import Launch
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
    campaigns.run([campaign], NAMES, {"x86-64-v2": ledger}, SMALL)
    facts = chip_record.record(campaign)
    assert facts["tier"] == "native"
    assert facts["operators"]["passed"] == facts["operators"]["tried"] == len(NAMES)
    assert facts["verdicts"] == {"add": "passed", "softmax": "passed"}
    assert facts["kernels"]["compiled"] == facts["kernels"]["tried"] > 1
    resumed = campaigns.begin("x86-64-v2", ledger)
    assert resumed.done == set(NAMES)
    written = chip_record.write(resumed, tmp_path / "chips")
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
    campaigns.run([campaign], ("softmax",), sampling=SMALL)
    assert chip_record.record(campaign)["verdicts"] == {"softmax": "failed"}


def test_without_an_emulator_kernels_are_compiled_only():
    campaign = campaigns.begin("apple-m4")
    campaigns.run([campaign], ("softmax",), sampling=SMALL)
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
