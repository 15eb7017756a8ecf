"""The page of operators has a row for every operator, and shows what the records say."""

from __future__ import annotations

import re
from pathlib import Path

from anychip.evidence import page, record
from anychip.evidence.outcome import Proof, Tally
from anychip.ops.registry import operators, overloads

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_page_is_current_in_names() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| ((?:`[\w.]+`(?:, )?)+) \|", text, flags=re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(operators()), f"run `{page.COMMAND}`"
    named = {overload for _, listed in rows for overload in re.findall(r"`([\w.]+)`", listed)}
    assert named == set(overloads())


def test_counts_fold_variants() -> None:
    found = [row for row in page.rows() if row.name in ("add", "exp")]
    number = page.counts(found)
    assert number.operators == 2
    assert number.bases == len({"add", "exp"} | {o.partition(".")[0] for r in found for o in r.overloads})
    assert {"add_.Tensor", "add.out", "exp_", "exp.out"} <= {name for row in found for name in row.variants}
    assert number.overloads > number.functional


def test_evidence_is_what_the_record_says() -> None:
    good, bad = Proof("exp", "float32"), Proof("sin", "float32", died="the process ended with status -11")
    good.overloads["exp"] = Tally(passed=7, launches=9)
    made = record.compose([good, bad])
    assert made["operators"] == {"passed": 1, "tried": 2, "total": len(operators())}
    assert page.found(made, "exp") == "passed, 7 trials"
    assert page.found(made, "sin").startswith("failed")
    assert page.found(made, "cos") == "untried"
    assert made["chip"] in page.page([made])


def test_search_looks_at_overloads_too() -> None:
    found = [row.name for row in page.rows() if row.matches("_softmax_backward")]
    assert {"log_softmax", "softmax"} <= set(found)
    assert "exp" not in found
