"""The page's sections, scaling and compile times as text, Triton's tutorials as cases."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from anychip.bench import compiling, launching, page, scaling, suite, tutorials
from anychip.bench.errors import BenchmarkError
from anychip.bench.measure import TimingBudget
from anychip.bench.row import run
from anychip.bench.sections import PEER_ROWS, compiling_text, scaling_text
from anychip.runtime import launches

QUICK = TimingBudget(rounds=3, least_rounds=3, sample_seconds=0.0, seconds=0.1, warm_up=1)
TEXT = """# Page
<!-- bench: suite -->
old
<!-- end of bench: suite -->
Written by people.
<!-- bench: suite, one thread -->
<!-- end of bench: suite, one thread -->
"""


def test_sections_are_replaced_and_the_rest_is_kept() -> None:
    assert page.names(TEXT) == ["suite", "suite, one thread"]
    once = page.replaced(TEXT, {"suite": "new \\1\n", "suite, one thread": "other"})
    assert "new \\1" in once
    assert "old" not in once
    assert "Written by people." in once
    assert page.replaced(once, {"suite": "old"}).replace("other", "") != once
    assert page.names(once) == page.names(TEXT)
    with pytest.raises(BenchmarkError, match="not exactly one section 'figures'"):
        page.replaced(TEXT, {"figures": ""})


def test_scaling_times_both_and_restores_the_threads() -> None:
    before = torch.get_num_threads()
    (case,) = suite.cases(["softmax f32 256*"])
    row = scaling.measure(case, 2, QUICK)
    assert torch.get_num_threads() == before
    assert row.ratio.median > 0
    assert scaling.summary([row]) == [
        ("softmax and norms", 1, pytest.approx(row.ratio.median)),
        ("all", 1, pytest.approx(row.ratio.median)),
    ]
    assert case.label in scaling_text([row])


def test_the_largest_sizes_are_kept() -> None:
    kept = [case.label for case in scaling.largest(suite.cases(["softmax", "matmul f32 *"]))]
    assert kept == ["softmax f32 4096x1024", "softmax bf16 4096x1024", "matmul f32 4096x4096x4096"]


def test_kernels_are_compiled_in_a_new_process() -> None:
    from tests.kernels.catalogue import CASES

    found = compiling.measure([(name, CASES[name].ttir()) for name in ("add", "softmax")])
    assert [kernel.kernel for kernel in found] == ["add", "softmax"]
    assert all(0 < kernel.stages["llvm"] < kernel.seconds for kernel in found)
    assert "2 kernels, median" in compiling_text(found)


def test_every_row_for_peers_exists() -> None:
    assert len(suite.cases(PEER_ROWS)) == len(PEER_ROWS)


def test_a_replayed_launch_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "BUDGET", QUICK)
    before = launches.count("three_pointers")
    seconds, number = launching.measure_replay()
    assert launches.count("three_pointers") > before + number
    assert seconds < 1


def test_tutorials_are_the_files_own_functions() -> None:
    asked: list[tuple[str, str]] = []

    def load(file: str, name: str) -> Any:
        asked.append((file, name))
        return lambda x: torch.softmax(x, 1)

    cases = tutorials.cases(load)
    softmax = next(case for case in cases if case.name == "tutorial_02_softmax" and case.sizes == (1823, 781))
    assert run(softmax, (), None, QUICK).wrong == ""
    assert asked == [("02-fused-softmax.py", "softmax")]
