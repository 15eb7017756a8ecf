"""Operators against PyTorch's kernels: each row ends as an entry that the policy "auto" finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import anychip
from anychip.measurements.database import Database
from anychip.measurements.defaults import Defaults
from anychip.ops.launching import launch_counts
from anychip.ops.registry import Sample
from anychip.pytorch.automatic import judge as judges
from anychip.pytorch.automatic.judge import Judge
from anychip.tune import operators
from anychip.tune.budget import Budget
from anychip.tune.errors import TuneError


class Clock:
    """Ours takes one millisecond, PyTorch's two: `ours` is told by a launch."""

    def __init__(self) -> None:
        self.now, self.before, self.running = 0.0, 0, False

    def __call__(self) -> float:
        if self.running:
            self.now += 1e-3 if launch_counts.total() > self.before else 2e-3
        self.running, self.before = not self.running, launch_counts.total()
        return self.now


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.setattr(operators, "SECONDS", 300.0)  # by the real clock, however busy the machine is
    return Judge(Database("made-up-t2", tmp_path), Defaults())


def never() -> bool:
    return False


def rows(judge: Judge, names: list[str], crowded: bool = False) -> list[operators.Row]:
    wanted = operators.tasks(names, ["tiny"])
    return list(operators.measure(wanted, judge, Budget(60.0), Clock(), lambda: crowded))


def test_rows_become_entries_that_auto_uses(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {row.overload: row for row in rows(judge, ["exp", "add.Tensor", "uniform_"])}
    assert set(found) == {"exp", "add.Tensor", "uniform_"}
    for row in found.values():
        assert (row.choice, row.reason, round(row.ratio, 6)) == ("ours", "", 2.0)
    assert {entry.subject for entry in judge.database.entries()} == set(found)
    monkeypatch.setattr(judges, "judge", lambda device: Judge(judge.database, Defaults()))
    x = torch.rand(operators.SIZES["tiny"].matrix())
    before = launch_counts["flat_kernel[exp]"]
    with anychip.using("auto", only=["exp"]):
        torch.exp(x)
    assert launch_counts["flat_kernel[exp]"] == before + 1


def test_each_size_is_measured_by_itself(judge: Judge) -> None:
    wanted = operators.tasks(["exp"], ["small", "tiny"])
    found = list(operators.measure(wanted, judge, Budget(60.0), Clock(), never))
    assert [row.elements for row in found] == [1 << 16, 2048]
    assert len(judge.database.entries()) == 2


def test_what_is_measured_on_a_crowded_machine_is_not_kept(judge: Judge) -> None:
    (row,) = rows(judge, ["exp"], crowded=True)
    assert row.choice == "ours"
    assert "crowded" in row.reason
    assert not judge.database.entries()


def test_a_spent_budget_leaves_rows_out(judge: Judge) -> None:
    assert not list(operators.measure(operators.tasks(["exp"]), judge, Budget(0.0), Clock(), never))


def test_tasks_begin_with_the_largest_size() -> None:
    found = operators.tasks(["exp", "sum"], dtypes=["float32", "bfloat16"])
    assert [task.size.name for task in found[:2]] == ["large", "large"]
    assert {task.operator.name for task in found} == {"exp", "sum"}
    assert {task.dtype for task in found} == {"float32", "bfloat16"}
    with pytest.raises(TuneError, match="no_such"):
        operators.tasks(["no_such"])


def test_samples_are_converted() -> None:
    sample = Sample((torch.rand(3), [torch.rand(2), 1], torch.arange(3)), {"x": torch.rand(1)})
    converted = operators.in_dtype(sample, torch.bfloat16)
    assert converted is not None
    assert converted.arguments[0].dtype == converted.arguments[1][0].dtype == torch.bfloat16
    assert converted.arguments[2].dtype == torch.int64
    assert converted.keywords["x"].dtype == torch.bfloat16
    assert operators.in_dtype(Sample((torch.arange(3),)), torch.bfloat16) is None


def test_rows_become_ratios_of_defaults() -> None:
    row = operators.Row("exp", "exp", "elementwise", "tiny", "float32", "", 2048, 2e-3, 1e-3, "ours")
    refused = operators.Row("sin", "sin", "elementwise", "tiny", "float32", reason="not served: so")
    assert operators.ratios([row, refused]) == {"exp": {"float32": {"11": 2.0}}}
