"""Times eager calls and programs under `anychip.enable()` against PyTorch's own, interleaved.

    python -m tools.eager [overloads|programs] [--rounds N] [--through-python] [--json FILE]

One thread; a time is that of the thread's processor. Both sides take turns, the figure of a row is the median
over rounds of PyTorch's time divided by ours, so that more than 1 is a gain. Flows out: a line a row, and the
median or geometric mean and the least of all. With `--through-python` no call of ours is native.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

import anychip
from anychip.pytorch import using
from anychip.pytorch.eager import sites

from .overloads import rows
from .programs import PROGRAMS

CALLS, TURN_SECONDS = 400, 0.02
WARM = 4
"""Calls before any is timed: the first ones compile, plan and are recorded."""


def compare(call: Callable[[], Any], rounds: int, calls: int) -> tuple[float, float]:
    """Microseconds of PyTorch's call and of ours, medians over rounds."""
    theirs, ours = [], []
    with using("portable"):
        for _ in range(WARM):
            call()
    for _ in range(rounds):
        theirs.append(_turn(call, calls))
        with using("portable"):
            ours.append(_turn(call, calls))
    return statistics.median(theirs), statistics.median(ours)


def _turn(call: Callable[[], Any], calls: int) -> float:
    call()
    start = time.thread_time_ns()
    for _ in range(calls):
        call()
    return (time.thread_time_ns() - start) / calls / 1e3


def _calls(call: Callable[[], Any]) -> int:
    """Calls of a turn: as many as take `TURN_SECONDS` or so."""
    call()
    start = time.thread_time()
    call()
    return max(1, min(CALLS, int(TURN_SECONDS / max(time.thread_time() - start, 1e-6))))


def measure_overloads(rounds: int) -> list[dict[str, Any]]:
    """A row for each overload."""
    measured = []
    for row in rows():
        theirs, ours = compare(row.call, rounds, CALLS)
        measured.append({"name": row.overload, "scalar": row.has_scalar, "pytorch": theirs, "ours": ours})
        _show(measured[-1])
    for scalar, words in ((False, "without"), (True, "with")):
        ratios = [row["pytorch"] / row["ours"] for row in measured if row["scalar"] == scalar]
        print(f"{words} a Scalar: median {statistics.median(ratios):.2f}, least {min(ratios):.2f}")
    return measured


def measure_programs(rounds: int) -> list[dict[str, Any]]:
    """A row for each program."""
    measured = []
    for name, make in PROGRAMS.items():
        torch.manual_seed(0)
        program = make()
        theirs, ours = compare(program, rounds, _calls(program))
        measured.append({"name": name, "pytorch": theirs, "ours": ours})
        _show(measured[-1])
    ratios = [row["pytorch"] / row["ours"] for row in measured]
    print(f"geometric mean {statistics.geometric_mean(ratios):.2f}, least {min(ratios):.2f}")
    return measured


def _show(row: dict[str, Any]) -> None:
    ratio = row["pytorch"] / row["ours"]
    print(f"{row['name']:<46}{row['pytorch']:>10.2f}{row['ours']:>10.2f} us {ratio:>6.2f}", flush=True)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("overloads", "programs"), default="overloads")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--through-python", action="store_true", help="serve no call from native code")
    parser.add_argument("--json", type=Path, help="write the rows there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    anychip.disable()
    measure = {"overloads": measure_overloads, "programs": measure_programs}[arguments.what]
    with sites.through_python() if arguments.through_python else nullcontext():
        measured = measure(arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=1) + "\n")


main()
