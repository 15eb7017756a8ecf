"""Cases of fused operators: names lead to operators, and what both sides compute agrees."""

from __future__ import annotations

import pytest

from anychip.bench import llm
from anychip.bench.errors import BenchmarkError
from anychip.bench.measure import TimingBudget
from anychip.bench.row import EAGER, OURS, run
from anychip.llm.registry import operators


def test_every_case_is_an_operator() -> None:
    assert {fused.name for fused in llm.FUSED_CASES} <= set(operators())


def test_cases_are_chosen_by_name() -> None:
    assert [case.name for case in llm.cases(["kv_cache*"])] == ["kv_cache_write"]
    with pytest.raises(BenchmarkError, match="no fused operator"):
        llm.cases(["nothing_like_it"])


@pytest.mark.parametrize("name", ["selective_state_update", "topk_softmax"])
def test_a_case_runs_and_is_right(name: str) -> None:
    (case,) = llm.cases([name])
    row = run(case, (), None, TimingBudget(rounds=2, least_rounds=2, seconds=0.0))
    assert not row.wrong
    assert set(row.seconds) == {OURS, EAGER}
