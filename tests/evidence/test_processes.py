"""Campaigns: proofs from other processes, processes that die, runs that go on where they ended."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from anychip.evidence.outcome import Proof
from anychip.evidence.processes import ProofFile, Task, run, tasks

pytest.importorskip("expecttest", reason="PyTorch's OpInfo needs the package expecttest")


def test_tasks_go_dtype_by_dtype() -> None:
    found = tasks(["exp", "mm"], ["float32", "float64"])
    assert [task.dtype for task in found] == ["float32", "float32", "float64", "float64"]


def test_a_process_that_fails_or_is_late_is_a_failed_proof_and_the_next_goes_on() -> None:
    wanted = [Task("no such subject", "float32"), Task("neg", "int32")]
    found = {proof.subject: proof for proof in run(wanted, limit=1, jobs=1)}
    assert "no entry" in found["no such subject"].died
    assert found["no such subject"].verdict == "failed"
    assert found["neg"].verdict == "passed", found["neg"].failures
    (late,) = run([Task("neg", "int32")], limit=1, jobs=1, seconds=0.0)
    assert "longer than" in late.died


def test_a_proof_covers_what_asks_for_no_more() -> None:
    passed = {"sample": Counter(passed=1)}
    whole, first = Proof("exp", "float32", passed), Proof("exp", "float32", passed, limit=2, budget=9.0)
    short = Proof("exp", "float32", passed, budget=4.0, cut=True)
    failed = Proof("exp", "float32", {"sample": Counter(failed=1)})
    assert whole.covers(None, None)
    assert whole.covers(8, 1.0)
    assert first.covers(2, None)
    assert not first.covers(3, 1.0)
    assert not first.covers(None, 9.0)
    assert short.covers(None, 4.0)
    assert not short.covers(None, 5.0)
    assert not short.covers(None, None)
    assert not failed.covers(1, 1.0)
    assert [p.samples for p in (whole, first, short)] == [
        "all",
        "the first 2 of each kind",
        "as many as 4 s allowed",
    ]


def test_a_ledger_goes_on_under_the_same_terms_alone(tmp_path: Path) -> None:
    file = tmp_path / "chip.jsonl"
    ProofFile(file, {"commit": "a"}).add(Proof("exp", "float32"))
    assert set(ProofFile(file, {"commit": "a"}).proofs) == {Task("exp", "float32")}
    assert not ProofFile(file, {"commit": "b"}).proofs
