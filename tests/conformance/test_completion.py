"""A record is completed by a run of what it does not show: verdicts are joined, figures stay apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from anychip.conformance import campaign as campaigns
from anychip.conformance import chip_record, completion, trials
from anychip.conformance.run import run
from anychip.ops.registry import operators

SMALL = trials.Sampling((torch.float32,), 1)


def _earlier(made: dict[str, Any]) -> dict[str, Any]:
    """A record in which softmax failed, exp passed, and an operator was that there is no more."""
    failure = {"operator": "softmax", "dtype": "float32", "inputs": "", "reason": "wrong"}
    verdicts = {"exp": "passed", "softmax": "failed", "removed": "passed"}
    return made | {"verdicts": verdicts, "failures": [failure], "date": "2026-01-01", "commit": "abc"}


def test_a_record_is_completed(tmp_path: Path) -> None:
    campaign = campaigns.begin("apple-m4")
    run([campaign], ("softmax",), sampling=SMALL)
    new = chip_record.record(campaign)
    chip_record.write(_earlier(new), tmp_path)
    earlier = completion.earlier_of(campaign, tmp_path)
    assert earlier is not None
    made = completion.completed(new, earlier)
    assert made["verdicts"] == {"exp": "passed", "softmax": "passed"}
    assert made["operators"] == {"passed": 2, "tried": 2, "total": len(operators())}
    assert made["failures"] == []
    assert made["cases"] == new["cases"]
    (run_before,) = made["earlier"]
    assert (run_before["date"], run_before["commit"], run_before["operators_kept"]) == (
        "2026-01-01",
        "abc",
        1,
    )
    again = completion.completed(new, made)
    assert [one["commit"] for one in again["earlier"]] == [new["commit"], "abc"]


def test_what_a_record_does_not_show_is_missing() -> None:
    everything = dict.fromkeys(operators(), "passed")
    assert completion.missing([{"verdicts": everything}]) == ()
    assert completion.missing([{"verdicts": everything | {"add": "failed"}}, {"verdicts": everything}]) == (
        "add",
    )
    assert set(completion.missing([None])) == set(operators())


def test_a_record_of_another_setting_is_not_completed(tmp_path: Path) -> None:
    campaign = campaigns.begin("apple-m4")
    made = chip_record.record(campaign)
    assert completion.earlier_of(campaign, tmp_path) is None
    chip_record.write(made | {"tier": "emulated"}, tmp_path)
    assert completion.earlier_of(campaign, tmp_path) is None
    chip_record.write(made, tmp_path)
    assert completion.earlier_of(campaign, tmp_path) is not None
