"""Interleaved timing: who is called when, what ratios mean, what a disturbance is."""

from __future__ import annotations

import re
import time

import pytest

from anychip.bench import loops, quiet
from anychip.bench.measure import Spread, TimingBudget, interleaved
from anychip.compiler import targets
from anychip.compiler.targets import machine


def test_candidates_take_turns() -> None:
    calls: list[str] = []
    budget = TimingBudget(rounds=4, least_rounds=4, sample_seconds=0.0, warm_up=1)
    found = interleaved({name: lambda name=name: calls.append(name) for name in "abc"}, budget)
    assert found.rounds == 4
    assert "".join(calls[-12:]) == "abcabcabcabc"


def test_ratio_is_the_others_time_over_the_first_ones() -> None:
    budget = TimingBudget(rounds=5, sample_seconds=0.0, seconds=1.0)
    found = interleaved({"quick": lambda: time.sleep(0.001), "slow": lambda: time.sleep(0.02)}, budget)
    assert set(found.ratios) == {"slow"}
    assert found.ratios["slow"].median > 2
    assert found.times["quick"].low <= found.times["quick"].median <= found.times["quick"].high


def test_rounds_keep_within_the_time_but_never_below_the_least() -> None:
    budget = TimingBudget(rounds=50, least_rounds=3, sample_seconds=0.0, seconds=0.01, warm_up=0)
    assert interleaved({"a": lambda: time.sleep(0.01)}, budget).rounds == 3


def test_processor_time_leaves_out_waiting() -> None:
    budget = TimingBudget(rounds=3, sample_seconds=0.0, seconds=0.2, clock=time.process_time)
    assert interleaved({"waits": lambda: time.sleep(0.02)}, budget).times["waits"].median < 0.01


def test_spread_of_known_samples() -> None:
    spread = Spread.of([4.0, 1.0, 3.0, 2.0, 5.0])
    assert (spread.least, spread.low, spread.median, spread.high) == (1.0, 2.0, 3.0, 4.0)


@pytest.mark.parametrize(
    ("busy", "own", "loops_seconds", "expected"),
    [
        ((0.0, 10.0), (0.0, 10.0), (1.0, 1.0), ""),
        ((0.0, 20.0), (0.0, 10.0), (1.0, 1.0), "others used 1.0 cores"),
        ((0.0, 10.0), (0.0, 10.0), (1.0, 1.5), "speed drifted 50 %"),
    ],
)
def test_what_disturbs(
    monkeypatch: pytest.MonkeyPatch,
    busy: tuple[float, float],
    own: tuple[float, float],
    loops_seconds: tuple[float, float],
    expected: str,
) -> None:
    """Ten seconds in which the machine and this process used so much processor time."""
    for name, values in (
        ("_busy_seconds", busy),
        ("_own_seconds", own),
        ("_calibration", loops_seconds),
    ):
        sequence = iter(values)
        monkeypatch.setattr(quiet, name, lambda sequence=sequence: next(sequence))
    clock = iter((0.0, 10.0))
    monkeypatch.setattr(quiet.time, "perf_counter", lambda: next(clock))
    assert quiet.Watch().disturbance() == expected


def test_a_loop_takes_time_in_proportion_to_its_steps() -> None:
    short = min(loops.scalar_chain(20_000) for _ in range(5))
    long = min(loops.scalar_chain(2_000_000) for _ in range(5))
    assert long > 10 * short


def test_triad_computes_over_the_whole_of_its_arrays() -> None:
    triad = loops.Triad(3 * 4096, 1)
    assert triad.run(3, streaming=False) > 0
    assert triad.run(3, streaming=True) > 0


def test_multiply_adds_counts_operations() -> None:
    found = loops.multiply_adds("f32", 1000, 1)
    assert found is not None
    operations, seconds = found
    assert operations % (2 * loops.ACCUMULATORS * 1000) == 0
    assert seconds > 0
    assert loops.multiply_adds("i64", 1000, 1) is None


@pytest.mark.parametrize(
    ("target", "element", "instruction"),
    [("neoverse-v2", "bf16", "bfdot"), ("cortex-a76", "i8", "sdot"), ("znver5", "bf16", "vdpbf16ps")],
)
def test_loops_of_dot_products_are_those_of_the_chip(target: str, element: str, instruction: str) -> None:
    """As many in the loop as there are accumulators; each multiplies and adds every pair of elements."""
    chip = targets.get(target)
    text, declarations = loops._fma_loop(element, chip)
    module = "\n".join([*declarations, text, "attributes #0 = { nounwind }"])
    assembly = machine.emit_assembly(module, chip)
    assert len(re.findall(rf"\b{instruction}\b", assembly)) == loops.ACCUMULATORS
    assert loops._operations(chip)[element] == chip.vector_bits // 8 * 2 // (2 if element == "bf16" else 1)
