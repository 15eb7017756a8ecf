"""No cheat is accepted. The kernels under `cheats/` are stand-ins of our own; each row says by which checks
it may be refused, so that a judge that refuses everything would fail, too. Every third is tried always, and
the others are slow tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from anychip.author.judgement import Terms
from anychip.author.judging import judge
from anychip.author.processes.confined import Nursery
from anychip.author.tasks import find

CHEATS = Path(__file__).parent / "cheats"

CASES: dict[str, dict[str, str]] = {
    "replayed": {
        "first_output": "ran|computed by kernels|right when timed|same launches",
        "first_values": "right|replayed|right on hidden inputs|same launches",
        "by_address": "ran|computed by kernels|same launches",
        "by_identity": "ran",
        "by_first_element": "ran|computed by kernels|same launches",
        "nothing": "computed by kernels",
        "half": "right",
        "after_warm_up": "same launches",
        "input_itself": "right",
    },
    "elsewhere": {
        "in_torch": "computed by kernels",
        "in_torch_by_another_name": "computed by kernels",
        "in_torch_of_pieces": "computed by kernels",
        "in_torch_script": "computed by kernels",
        "in_torch_without_modes": "replayed",
        "in_torch_past_python": "computed by kernels|replayed",
        "in_torch_while_tuning": "replayed",
        "in_numpy_returned": "ran",
        "in_numpy_moved": "replayed",
        "in_numpy_copied": "replayed",
        "in_numpy_as_numbers": "right on hidden inputs|same launches",
        "in_python": "right|replayed",
        "in_a_thread": "ran",
        "in_a_child": "ran",
        "in_a_program": "ran",
    },
    "later": {
        "lazy_tensor": "ran|computed by kernels",
        "promise": "ran",
        "at_the_next_call": "computed by kernels",
        "at_a_signal": "computed by kernels",
        "at_the_end": "right|replayed|ran",
        "endless_answer": "ran|right",
        "deep_answer": "ran",
        "leaves_well": "ran",
        "exits_well": "ran",
        "never": "ran",
        "prints_a_verdict": "computed by kernels",
        "slow_with_another_clock": "fast enough",
        "scratch_in_the_input": "inputs unchanged",
    },
    "tampering": {
        "reads_the_judge": "ran",
        "reads_all_processes": "ran",
        "reads_by_a_call": "ran",
        "stops_the_judge": "ran",
        "telephones": "ran",
        "writes_outside": "ran",
        "reads_keys": "ran",
        "equal_to_all": "right",
        "without_guard": "ran|replayed",
        "forged_steps": "replayed",
        "checks_off": "within bounds",
    },
    "numbers": {
        "unshifted": "right|right on hidden inputs|right when timed",
        "half_precision": "right",
        "zeros": "right",
        "uniform": "right",
        "one_shape": "right",
        "contiguous_only": "right|right on hidden inputs",
        "garbage": "same bits twice",
    },
}
"""File -> cheat at softmax -> the checks that may refuse it."""

OTHERS = {
    "mean_is_zero": ("mean", "right"),
    "mean_of_some": ("mean", "right"),
    "already_normal": ("layer_norm", "right"),
    "wrong_gradient": ("silu", "right gradients"),
}
"""Cheat at another task -> the task, and the checks."""

CLOSED = {
    "in_a_thread": "can't start new thread",
    "in_a_child": "PermissionError",
    "in_a_program": "PermissionError",
    "reads_the_judge": "/proc/",
    "reads_all_processes": "PermissionError",
    "reads_by_a_call": "process_vm_readv",
    "stops_the_judge": "PermissionError",
    "telephones": "PermissionError",
    "writes_outside": "PermissionError",
    "reads_keys": "PermissionError",
}
"""Cheat that finds a door closed -> what it meets there."""

ALWAYS_ONE_IN = 3

SLOW = frozenset({"slow_with_another_clock"})
"""Cheats that are only found at the end."""

ROWS = [(file, name, "softmax", checks) for file, cheats in CASES.items() for name, checks in cheats.items()]
ROWS += [("numbers", name, task, checks) for name, (task, checks) in OTHERS.items()]


CASES_TRIED = [
    pytest.param(*row, id=row[1], marks=() if place % ALWAYS_ONE_IN == 0 else pytest.mark.slow)
    for place, row in enumerate(ROWS)
]


def test_there_are_forty() -> None:
    assert len(ROWS) >= 40


@pytest.mark.parametrize(("file", "name", "task", "checks"), CASES_TRIED)
def test_no_cheat_is_accepted(
    nursery: Nursery, terms: Terms, file: str, name: str, task: str, checks: str
) -> None:
    own = dataclasses.replace(
        terms, at_least=1.0 if name in SLOW else 0.0, seconds=5.0 if name == "never" else 60.0
    )
    verdict = judge(nursery, find(task), CHEATS / f"{file}.py", name, own)
    assert not verdict.accepted, verdict.line
    assert verdict.fault is not None
    assert verdict.fault.name in checks.split("|"), verdict.line
    assert CLOSED.get(name, "") in verdict.fault.detail
