"""Processor time and memory of a work beside the same written with NumPy and SciPy, each in a process of its
own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What a work gives, and its processor seconds (of all threads) and megabytes beyond what the process had
    used before."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    result = work()
    seconds = time.process_time() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return result, {"seconds": seconds, "megabytes": (after - before) / 1024}


def ways(works: Mapping[str, Callable[[], Any]]) -> None:
    """For `--only NAME` in a child: run one of the works, and print its figures."""
    name = sys.argv[sys.argv.index("--only") + 1]
    print(json.dumps(measured(works[name])[1]))


def compared(names: tuple[str, ...]) -> None:
    """Run this script once for each name, and print the figures beside each other."""
    for name in names:
        done = subprocess.run(
            [sys.executable, sys.argv[0], "--only", name], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}: {found['seconds']:.2f} s of processor time, {found['megabytes']:.0f} MB")
