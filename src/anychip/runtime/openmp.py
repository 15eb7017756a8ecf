"""Finding the OpenMP runtime that this process already has, for its threads.

PyTorch brings one and keeps its threads warm; a second pool would fight it for the cores. The
answer is the addresses of the four functions that a launch needs.
"""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass

_LIBRARY = re.compile(r"lib(gomp|omp|iomp5)\b[^/]*\.(so|dylib)[^/]*$")


@dataclass(frozen=True, slots=True)
class Runtime:
    """Addresses in a loaded OpenMP runtime: `GOMP_parallel`, `omp_get_thread_num`,
    `omp_in_parallel`, `omp_get_max_threads`."""

    path: str
    run_team: int
    team_member: int
    in_team: int
    thread_count: int


def find() -> Runtime | None:
    """The OpenMP runtime loaded in this process, or None."""
    for path in _loaded_libraries():
        if not _LIBRARY.search(path):
            continue
        try:
            library = ctypes.CDLL(path, mode=getattr(os, "RTLD_NOLOAD", 0) | os.RTLD_NOW)
            return Runtime(
                path,
                _address(library, "GOMP_parallel"),
                _address(library, "omp_get_thread_num"),
                _address(library, "omp_in_parallel"),
                _address(library, "omp_get_max_threads"),
            )
        except (OSError, AttributeError):
            continue
    return None


def _address(library: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert address is not None
    return address


def _loaded_libraries() -> list[str]:
    """Paths of the shared libraries mapped into this process, PyTorch's own first."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {fields[5].strip() for line in maps if len(fields := line.split(None, 5)) == 6}
    except OSError:
        return []
    return sorted((path for path in paths if path.startswith("/")), key=lambda path: "torch" not in path)
