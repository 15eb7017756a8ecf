"""The page of fused operators, its record and its verbs have every operator; names of other libraries lead to
what exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from anychip.cli.application import application
from anychip.cli.errors import CommandError
from anychip.evidence import fused, fused_page, fused_record
from anychip.llm.other_names import OTHER_NAMES
from anychip.llm.page import PYTORCH
from anychip.llm.registry import operators
from anychip.ops.registry import overloads
from anychip.ops.rooms import ROOMS

PAGE = Path(__file__).parents[2] / "docs" / "llm.md"
LLM = ROOMS["llm"]


def test_page_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8").replace("\\|", "|")
    rows = re.findall(r"^\| `(\w+)\((.*)\)` \| (.*?) \| [\w ]+ \| (yes|no) \|", text, flags=re.MULTILINE)
    expected = [
        (row.name, row.signature, row.what, "yes" if row.differentiable else "no")
        for row in fused_page.rows(LLM)
    ]
    assert sorted(rows) == sorted(expected), f"run `{fused_page.command(LLM)}`"
    assert fused_page.sentence(fused_page.rows(LLM)) in text
    for there in OTHER_NAMES:
        assert f"| `{there}` |" in text


def test_other_names_lead_to_operators() -> None:
    known = {*operators(), *(PYTORCH + name for name in overloads())}
    for there, here in OTHER_NAMES.items():
        assert here, there
        assert set(here) <= known, there


def test_every_operator_says_what_it_does() -> None:
    for row in fused_page.rows(LLM):
        assert row.what, row.name
        assert len(row.what) < 300, row.name


def test_the_record_says_what_was_found() -> None:
    finding = fused.prove(operators()["soft_cap"], torch.float32)
    bad = fused.Finding("rms_norm", "float32", samples=2, failures=["sample 1: result 0: far off"])
    made = fused_record.compose(LLM, [finding, bad])
    assert fused_record.found(made["results"], "soft_cap").startswith(f"passed, {finding.samples} samples")
    assert fused_record.found(made["results"], "rms_norm") == "failed"
    assert fused_record.found(made["results"], "add_rms_norm") == "untried"
    assert made["operators"] == {"passed": 1, "tried": 2, "total": len(operators())}
    again = fused_record.compose(LLM, [fused.Finding(bad.name, bad.dtype, samples=3, launches=3)])
    both = fused_record.completed(LLM, again, made)
    assert both["operators"] == {"passed": 2, "tried": 2, "total": len(operators())}
    assert both["earlier"][0]["operators_kept"] == 1
    assert "1 operators in runs until" in fused_page.page(LLM, [both])
    assert fused_record.completed(LLM, again, None) == again
    assert made["chip"] in fused_page.page(LLM, [made])


@pytest.mark.slow
def test_the_verbs_list_and_prove() -> None:
    result = CliRunner().invoke(application, ["ops", "--llm", "--json"])
    assert {row["name"] for row in json.loads(result.output)} == set(operators())
    again = CliRunner().invoke(application, ["ops", "--domain", "llm", "--family", "normalization", "--json"])
    assert {row["family"] for row in json.loads(again.output)} == {"normalization"}
    with pytest.raises(CommandError, match="for the fused operators of a room"):
        CliRunner().invoke(application, ["ops", "--family", "normalization"], catch_exceptions=False)
    with pytest.raises(CommandError, match="--domain lm"):
        CliRunner().invoke(application, ["test", "--domain", "lm"], catch_exceptions=False)
    with pytest.raises(CommandError, match="nowhere"):
        CliRunner().invoke(application, ["ops", "--llm", "--domain", "nowhere"], catch_exceptions=False)
    result = CliRunner().invoke(application, ["test", "--domain", "llm", "soft_cap", "--json"])
    found = json.loads(result.output)
    assert result.exit_code == 0
    assert [row["passed"] for row in found] == [True] * 3
    with pytest.raises(CommandError, match="soft_crap"):
        CliRunner().invoke(application, ["test", "--llm", "soft_crap"], catch_exceptions=False)
