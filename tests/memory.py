"""Resident memory of this process, for tests that nothing leaks. A single reading also holds what the
allocator, PyTorch or another thread took meanwhile, so growth is measured over several equal runs."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

import pytest

needs_resident_bytes = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="resident memory is read from /proc"
)


def resident_bytes() -> int:
    """Bytes of physical memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def least_growth(work: Callable[[], None], times: int = 5) -> int:
    """Bytes by which the process grew in that run of `work` in which it grew least: a leak shows in every
    run, anything else only in some."""
    growths = []
    for _ in range(times):
        before = resident_bytes()
        work()
        gc.collect()
        growths.append(resident_bytes() - before)
    return min(growths)
