"""Proofs: a right operator passes, a wrong one fails, one that launches nothing fails, and what is not
served is neither."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

import anychip
from anychip.evidence import opinfo, record
from anychip.evidence.outcome import Failure, Proof
from anychip.evidence.proof import dtypes_of, prove
from anychip.evidence.trial import Trial, judge, observe
from anychip.ops.registry import operators, overloads
from anychip.pytorch import dispatch

pytest.importorskip("expecttest", reason="PyTorch's OpInfo needs the package expecttest")


@contextmanager
def replaced(overload: str, function: Any) -> Iterator[None]:
    """Serve an overload by `function` for the block."""
    anychip.disable()
    before = dispatch.derived
    dispatch._served.cache_clear()
    dispatch.derived = lambda served, variant, domain: (
        function if variant.name == overload else before(served, variant, domain)
    )
    try:
        yield
    finally:
        anychip.disable()
        dispatch.derived = before
        dispatch._served.cache_clear()


def test_a_right_operator_passes_every_kind_of_trial() -> None:
    proof = prove("sigmoid", torch.float32, 2)
    assert proof.verdict == "passed", proof.failures
    assert set(proof.verdicts) == {
        "sample",
        "layout",
        "in-place",
        "out",
        "gradient",
        "reference",
        "transposed",
        "expanded",
        "empty",
        "0-d",
        "special",
    }
    assert {"sigmoid", "sigmoid_", "sigmoid.out", "sigmoid_backward"} <= set(proof.overloads)
    assert all(tally.passed and not tally.failed for tally in proof.overloads.values())
    assert proof.overloads["sigmoid"].launches > 0


def test_a_wrong_operator_fails() -> None:
    right = next(o for o in operators()["exp"].overloads if o.name == "exp").implementation

    def wrong(x: torch.Tensor) -> torch.Tensor:
        result = right(x)
        if result.numel():
            result.view(-1)[0] = 12345.0
        return result

    with replaced("exp", wrong):
        proof = prove("exp", torch.float32, 1, kinds=["sample"])
    assert proof.verdict == "failed"
    assert "12345" in proof.failures[0].reason


def test_a_wrong_derivative_fails_against_differences() -> None:
    right = overloads()["sigmoid_backward"][1].implementation

    def wrong(grad: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
        return right(grad, result).mul_(1.01)

    assert prove("sigmoid", torch.float64, 1, kinds=["gradcheck"]).total("passed") == 1
    with replaced("sigmoid_backward", wrong):
        proof = prove("sigmoid", torch.float64, 1, kinds=["gradcheck"])
    assert proof.total("failed") == 1
    assert "Jacobian mismatch" in proof.failures[0].reason


def test_complex_samples_are_tried_where_they_are_served() -> None:
    proof = prove("mul", torch.complex64, 1, kinds=["sample", "layout"])
    assert proof.verdict == "passed", proof.failures
    assert torch.complex64 in dtypes_of("mul")


def test_a_proof_that_is_given_no_time_is_cut() -> None:
    proof = prove("neg", torch.float32, kinds=["sample"], seconds=-1.0)
    assert proof.cut
    assert not proof.verdicts


def test_an_operator_that_launches_nothing_fails() -> None:
    answer = {}
    with replaced("sin", lambda x: answer[x.shape]):
        for sample in opinfo.entry_of("sin").sample_inputs("cpu", torch.float32):
            answer[sample.input.shape] = torch.sin(sample.input)
        opinfo.seed()
        for sample in opinfo.entry_of("sin").sample_inputs("cpu", torch.float32):
            answer[sample.input.shape] = torch.sin(sample.input)
        proof = prove("sin", torch.float32, 1, kinds=["sample"])
    assert [failure.reason for failure in proof.failures] == ["no kernel of ours was launched"]


def test_what_is_not_served_is_neither_passed_nor_failed() -> None:
    proof = prove("to_sparse", torch.float32, 1, kinds=["sample"])
    assert proof.verdict == "not served"
    assert any(reason.startswith("_to_sparse") for reason in proof.unserved)


def test_views_compute_nothing() -> None:
    assert prove("unsqueeze", torch.float32, 2, kinds=["sample"]).verdict == "no computation"


def test_wrong_input_must_raise_the_same_kind_of_error() -> None:
    assert prove("cat", torch.float32, 3, kinds=["error"]).total("passed") == 3
    proof = Proof("mm", "float32")
    trial = Trial("error", "", (lambda: torch.mm(torch.ones(2, 2), torch.ones(2, 2)),), raises=RuntimeError)
    with anychip.using("strict"):
        observed = observe(trial)
    judge(trial, observed, proof)
    assert proof.failures[0].reason == "no error, where PyTorch raises RuntimeError"


def test_random_results_are_compared_with_themselves() -> None:
    proof = prove("nn.functional.dropout", torch.float32, 4, kinds=["sample"])
    assert proof.total("failed") == 0
    assert proof.total("passed") >= 1


def test_records_are_subjects() -> None:
    proof = prove("record:softmax", torch.float16, 2)
    assert proof.verdict == "passed", proof.failures
    assert torch.float16 in dtypes_of("record:softmax")


def test_the_policy_in_force_is_restored() -> None:
    anychip.enable("portable", exclude=["exp"])
    try:
        prove("cos", torch.float32, 1, kinds=["sample"])
        found = anychip.pytorch.policy()
        assert found is not None
        assert (found.name, found.exclude) == ("portable", frozenset({"exp"}))
    finally:
        anychip.disable()


def test_a_proof_survives_json() -> None:
    proof = prove("linalg.norm", torch.float32, 1)
    proof.fail(Failure("sample", "x", "y", ("add.Tensor",)))
    again = Proof.from_json(proof.to_json())
    assert again == proof
    assert again.verdict == "failed"


def test_failures_speak_against_the_operators_that_a_subject_is_about() -> None:
    proof = prove("exp", torch.float32, 1, kinds=["sample", "gradient"])
    proof.overloads["exp"].failed = proof.overloads["mul.Tensor"].failed = 1
    proof.fail(Failure("gradient", "x", "y", ("exp", "mul.Tensor")))
    found, others = record.per_operator([proof])
    assert record.verdict(found["exp"]) == "failed"
    assert record.verdict(found["mul"]) == "passed"
    assert record.verdict(found["cos"]) == "untried"
    assert not others
