"""What checks cost: the time of each kernel of the suite with checks, over its time without.

    python -m tools.speed.checked [PATTERN ...]

Each case is run once to record its launches; each kernel is then compiled without checks, with the usual ones
and with all, and the three are launched in turns on the same arguments, as Triton launches them, by one
thread, whose processor time is taken. The table has one row a kernel; what the checks found stands below it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from anychip.bench.suite import cases
from anychip.compiler import pipeline, targets
from anychip.compiler.codegen.check_table import Check
from anychip.debug.written import following
from anychip.runtime import launches
from anychip.runtime.binary import KernelBinary
from anychip.runtime.checks import listening
from anychip.runtime.function import Function
from anychip.runtime.launch import launcher
from anychip.triton_backend.sanitizer import USUAL
from anychip.triton_backend.signature import slot_tree

FORMS = {"plain": frozenset(), "usual": USUAL, "all": frozenset(Check)}
ROUNDS = 7
LEAST = 0.001
"""Seconds of one sample, at least."""


def recorded(patterns: list[str]) -> Iterator[tuple[str, launches.Launch]]:
    """Each kernel of each case once, with a launch of it."""
    seen: set[str] = set()
    for case in cases(patterns):
        work = case.make()
        with launches.record() as made:
            work.ours(*work.arguments)
        for launch in made:
            text = launch.origin.ttir()
            if text not in seen:
                seen.add(text)
                yield case.label, launch


def launching(launch: launches.Launch, wanted: frozenset[Check]) -> tuple[Callable[[], None], float]:
    """A call that launches the kernel again with these checks, and seconds of its compilation."""
    start = time.thread_time()
    kernel = pipeline.compile_ttir(launch.origin.ttir(), targets.host(), interruptible=True, wanted=wanted)
    seconds = time.thread_time() - start
    function = Function(
        KernelBinary(
            name=kernel.name,
            symbol=kernel.symbol,
            arena_bytes=kernel.arena_bytes,
            arg_types=kernel.arg_types,
            messages=kernel.messages,
            target=kernel.target,
            object_code=kernel.object_code,
            waiting=kernel.waiting,
            endless=kernel.endless,
        )
    )
    tree = slot_tree(launch.origin.source.signature.values())
    run = launcher(tree, kernel.arg_types, kernel.name, launch.origin, kernel.checks)

    def call() -> None:
        run(*launch.grid, 0, function.address, None, None, None, None, *launch.arguments)

    return call, seconds


def samples(calls: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Median processor seconds of one call each, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    counts: dict[str, int] = {}
    for name, call in calls.items():
        call()
        start = time.thread_time()
        call()
        counts[name] = max(1, int(LEAST / max(time.thread_time() - start, 1e-6)))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.thread_time()
            for _ in range(counts[name]):
                call()
            times[name].append((time.thread_time() - start) / counts[name])
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # threads that wait for each other would count as work
    ratios: dict[str, list[float]] = {"usual": [], "all": []}
    compiling: list[float] = []
    findings: list[Any] = []
    with following(), listening(findings.extend):
        for label, launch in recorded(sys.argv[1:]):
            made = {name: launching(launch, wanted) for name, wanted in FORMS.items()}
            taken = samples({name: call for name, (call, _) in made.items()})
            row = {name: taken[name] / taken["plain"] for name in ratios}
            compiling.append(made["usual"][1] / made["plain"][1])
            for name, ratio in row.items():
                ratios[name].append(ratio)
            shown = "  ".join(f"{name} {ratio:6.2f}" for name, ratio in row.items())
            print(
                f"{label:44} {launch.kernel:32} {taken['plain'] * 1e6:10.1f} us  {shown}  "
                f"compiled in {compiling[-1]:.1f} times",
                flush=True,
            )
    for name, values in ratios.items():
        print(f"{name}: geometric mean {statistics.geometric_mean(values):.2f}, worst {max(values):.2f}")
    print(f"compilation, usual checks: geometric mean {statistics.geometric_mean(compiling):.2f}")
    for finding in {finding.key: finding for finding in findings}.values():
        print(f"found: {finding}")


if __name__ == "__main__":
    main()
