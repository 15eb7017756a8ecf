"""Whether more threads want to run on this machine right now than it has cores: a time measured then says
little. Flows in: the system's account of runnable threads. Flows out: yes or no, in some ten microseconds."""

from __future__ import annotations

import os

_FILE = "/proc/loadavg"
_CORES = os.cpu_count() or 1


def crowded() -> bool:
    """Whether threads have to wait for a core at this moment; elsewhere than on Linux, whether they had to
    during the last minute."""
    try:
        with open(_FILE, "rb") as file:
            return runnable(file.read()) > _CORES
    except (OSError, ValueError, IndexError):
        return hasattr(os, "getloadavg") and os.getloadavg()[0] > _CORES


def runnable(text: bytes) -> int:
    """The number of runnable threads in the text of /proc/loadavg, such as `0.20 0.18 0.12 1/80 11206`."""
    return int(text.split()[3].partition(b"/")[0])
