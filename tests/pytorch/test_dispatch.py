"""The dispatcher: records against PyTorch's schemas, derived variants, policies, fall-throughs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import anychip
from anychip.ops import registry
from anychip.ops.launching import launch_counts
from anychip.ops.pointwise import pointwise
from anychip.ops.registry import Operator, Overload, absent, overloads, register
from anychip.ops.schemas import overload_of, variants
from anychip.pytorch import dispatch, passthrough, policy, statistics
from anychip.pytorch.errors import FallThroughError, PolicyError
from anychip.pytorch.policy import registrations


@pytest.fixture(autouse=True)
def pytorch_on_its_own() -> Iterator[None]:
    anychip.disable()
    anychip.report(reset=True)
    yield
    anychip.disable()


def test_records_agree_with_pytorch_schemas() -> None:
    assert dispatch.validate() == []


GONE = {"cholesky": (2, 14)}
"""Overloads of the library that PyTorch no longer has, and the version from which on."""


def test_only_overloads_that_pytorch_gave_up_are_left_out() -> None:
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    assert set(absent()) == {name for name, since in GONE.items() if version >= since}


def test_an_overload_that_pytorch_lacks_is_left_out_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    implementation: Any = overloads()["exp"][1].implementation
    scalar = implementation.function
    for name in ("_operators", "_overloads", "_absent"):
        monkeypatch.setattr(registry, name, {})
    machine = pointwise("no_such_overload", "exp", name="both")(scalar)
    pointwise("no_other.Tensor", name="neither")(scalar)
    register(Operator("plain", (Overload("no_third", machine), Overload("sin", machine)), ()))
    assert {name: len(record.overloads) for name, record in registry.operators().items()} == {
        "both": 1,
        "plain": 1,
    }
    assert absent() == {"no_such_overload": "both", "no_other.Tensor": "neither", "no_third": "plain"}
    dispatch.require_known([*absent(), *absent().values(), "exp"])
    with pytest.raises(PolicyError, match="no_fourth"):
        dispatch.require_known([*absent(), "no_fourth"])
    monkeypatch.setattr(statistics, "served", {"exp": statistics.Served("both", "exp")})
    statistics.served["exp"].calls = 1
    text = str(anychip.report())
    reason = f"PyTorch {torch.__version__} does not have it"
    assert f"left out: no_third ({reason})" in text
    assert f"<td>no_third</td><td>plain</td><td>{reason}</td>" in anychip.report()._repr_html_()


def test_passed_overloads_exist() -> None:
    for name in passthrough.PASSED:
        overload_of(name)


def test_no_served_overload_is_passed() -> None:
    assert not passthrough.PASSED & set(overloads())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("add.Tensor", {"add.Tensor", "add_.Tensor", "add.out"}),
        ("exp", {"exp", "exp_", "exp.out"}),
        ("sum.dim_IntList", {"sum.dim_IntList", "sum.IntList_out"}),
        ("clamp", {"clamp", "clamp_", "clamp.out"}),
        ("copy_", {"copy_"}),
    ],
)
def test_variants_are_derived(name: str, expected: set[str]) -> None:
    assert {variant.name for variant in variants(name)} == expected


def test_operators_run_ours_and_are_given_back() -> None:
    x = torch.randn(100)
    expected = torch.exp(x.double())
    before = launch_counts["flat_kernel[exp]"]
    with anychip.using("strict"):
        ours = torch.exp(x)
    assert launch_counts["flat_kernel[exp]"] == before + 1
    torch.testing.assert_close(ours.double(), expected, rtol=1e-6, atol=1e-6)
    torch.exp(x)
    assert launch_counts["flat_kernel[exp]"] == before + 1


def test_in_place_writes_the_same_memory() -> None:
    x = torch.arange(12.0).reshape(3, 4)
    alias = x.view(-1)
    with anychip.using("strict"):
        result = x.add_(torch.ones(4), alpha=2)
        x.t().mul_(2)
    assert result is x
    assert alias.tolist() == [2.0 * (k + 2) for k in range(12)]


def test_in_place_refuses_a_larger_shape_and_a_smaller_type() -> None:
    with anychip.using("strict"):
        with pytest.raises(RuntimeError, match="broadcast shape"):
            torch.ones(3).add_(torch.ones(2, 3))
        with pytest.raises(RuntimeError, match="can't be cast"):
            torch.ones(3, dtype=torch.int64).add_(0.5)


def test_out_is_resized_and_strided() -> None:
    x = torch.randn(4, 5)
    small = torch.empty(0)
    strided = torch.zeros(4, 10)[:, ::2]
    with anychip.using("strict"):
        torch.add(x, x, out=small)
        torch.sum(x, 1, out=strided[:, 0])
        torch.mm(x, x.t(), out=torch.empty(0))
    assert torch.equal(small, x + x)
    torch.testing.assert_close(strided[:, 0], x.sum(1))


def test_strict_names_the_operator_that_falls_through() -> None:
    x = torch.eye(3)
    with anychip.using("strict"), pytest.raises(FallThroughError, match="aten::_to_sparse") as raised:
        x.to_sparse()
    assert raised.value.overload == "_to_sparse"


def test_strict_refuses_a_dtype_that_is_not_served() -> None:
    z = torch.ones(3, dtype=torch.complex64)
    with anychip.using("strict"), pytest.raises(FallThroughError, match="complex"):
        torch.logcumsumexp(z, 0)


def test_portable_counts_fall_throughs_with_their_reason() -> None:
    z, x = torch.ones(3, dtype=torch.complex64), torch.eye(3)
    with anychip.using("portable"):
        torch.logcumsumexp(z, 0)
        torch.logcumsumexp(z, 0)
        x.to_sparse()
    fallen = {row.overload: row for row in anychip.report().fallen}
    assert fallen["_logcumsumexp"].calls == 2
    assert "complex" in fallen["_logcumsumexp"].reason
    assert fallen["_to_sparse"].calls == 1


def test_views_and_allocations_pass() -> None:
    x = torch.randn(2, 3, 4)
    with anychip.using("strict"):
        y = x.permute(2, 0, 1)[1:, None].expand(3, 5, 2, 3).transpose(0, 1).unbind(0)[0].detach()
        torch.empty(3)
        assert y.shape == (3, 2, 3)
        assert y[0, 0, 0].item() == x[0, 0, 1].item()
    assert not anychip.report().fallen


def test_policies_nest_and_are_restored() -> None:
    assert policy() is None
    anychip.enable("portable")
    with anychip.using("strict"):
        current = policy()
        assert current is not None
        assert current.name == "strict"
    current = policy()
    assert current is not None
    assert current.name == "portable"
    anychip.disable()
    assert policy() is None


def test_only_and_exclude_choose_operators() -> None:
    x = torch.randn(10)
    with anychip.using("portable", only=["exp"]):
        torch.exp(x)
        torch.sin(x)
    with anychip.using("portable", exclude=["elementwise"]):
        torch.exp(x)
    report = anychip.report()
    assert [(row.overload, row.calls) for row in report.served] == [("exp", 1)]
    assert {(row.overload, row.calls, row.reason) for row in report.fallen} == {
        ("sin", 1, dispatch.LEFT_OUT),
        ("exp", 1, dispatch.LEFT_OUT),
    }


def test_unknown_names_are_refused() -> None:
    with pytest.raises(PolicyError, match="no_such_operator"):
        anychip.enable("portable", only=["no_such_operator"])
    with pytest.raises(PolicyError, match="Did you mean portable"):
        anychip.enable("portabel")
    with pytest.raises(PolicyError, match="softmx: Did you mean softmax"):
        anychip.enable(exclude="softmx")
    assert policy() is None


def test_one_name_may_come_by_itself() -> None:
    x = torch.randn(5)
    with anychip.using("strict", only="exp"):
        torch.exp(x)
    assert [(row.overload, row.calls) for row in anychip.report().served] == [("exp", 1)]


def test_interpreted_kernels_serve_no_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(PolicyError, match="TRITON_INTERPRET is set"):
        anychip.enable()
    assert policy() is None


def test_import_needs_no_torch() -> None:
    code = "import sys, anychip; assert 'torch' not in sys.modules and 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_report_is_a_table() -> None:
    x = torch.randn(5)
    with anychip.using("strict"):
        torch.exp(x)
    text = str(anychip.report())
    assert "flat_kernel[exp]" in text
    assert "fell through: nothing" in text


def test_policies_of_one_selection_share_their_registrations() -> None:
    anychip.enable("portable")
    before = registrations()
    assert before is not None
    with anychip.using("strict"):
        assert registrations() is before
        with pytest.raises(FallThroughError, match="_to_sparse"):
            torch.eye(3).to_sparse()
    assert torch.eye(3).to_sparse().values().tolist() == [1.0, 1.0, 1.0]
    with anychip.using("strict", exclude=["exp"]):
        assert registrations() not in (None, before)


def test_registered_functions_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    anychip.enable("strict")
    made = []
    monkeypatch.setattr(statistics, "counted", lambda *given: made.append(given) or pytest.fail("made again"))
    for _ in range(3):
        anychip.disable()
        anychip.enable("portable")
    torch.exp(torch.ones(3))
    assert not made


def test_a_call_that_is_refused_is_not_counted_as_served() -> None:
    with anychip.using("portable"):
        torch.logcumsumexp(torch.zeros(3, dtype=torch.complex64), 0)
        torch.logcumsumexp(torch.zeros(3), 0)
    (served,) = [row for row in anychip.report().served if row.overload == "_logcumsumexp"]
    (fallen,) = [row for row in anychip.report().fallen if row.overload == "_logcumsumexp"]
    assert (served.calls, fallen.calls) == (1, 1)
