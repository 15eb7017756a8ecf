"""A profile of a process that runs already, by the door that it left open.

Flows in: the number of a process that was started with ANYCHIP_PROFILE_DOOR=1. Flows out: the profile of
some seconds of it. Nothing is forced open: no debugger's interface is used, which containers mostly
forbid, and no signal is sent, which programs use for themselves."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ..environment import PROFILE_DOOR
from ..errors import AnychipError
from .result import Profile, read
from .session import READY, REQUEST, RESULT, TRACE, door, started

GRACE_SECONDS = 60.0
"""How long a process may take to notice a request and to write its profile."""


class CannotAttach(AnychipError):
    """A process cannot be profiled from outside."""


def attach(
    process: int, seconds: float, *, frames: bool, trace: Path | None, roofs: dict[str, Any] | None
) -> Profile:
    """Profile a process for some seconds. `roofs` are the machine's limits (`Roofs` of `bench` as a dict), or
    None. Raises CannotAttach, which says why and what to do."""
    folder = door(process)
    if not _is_alive(process):
        raise CannotAttach(f"there is no process {process} of yours")
    ready = folder / READY
    if not ready.exists() or ready.read_text(encoding="utf-8") != started(process):
        raise CannotAttach(
            f"process {process} has no door for profilers: it must be started with {PROFILE_DOOR}=1 and "
            "import torch, by this user and with the same ANYCHIP_CACHE_DIR. A process cannot be opened from "
            "outside without a debugger's rights, which this command does not ask for"
        )
    (folder / RESULT).unlink(missing_ok=True)
    wanted = {
        "seconds": seconds,
        "frames": frames,
        "trace": trace is not None,
        "roofs": roofs,
        "command": f"process {process}",
    }
    temporary = folder / f".{REQUEST}"
    temporary.write_text(json.dumps(wanted), encoding="utf-8")
    temporary.replace(folder / REQUEST)
    limit = time.monotonic() + seconds + GRACE_SECONDS
    while not (folder / RESULT).exists():
        if not _is_alive(process):
            raise CannotAttach(f"process {process} ended before its profile was written")
        if time.monotonic() > limit:
            raise CannotAttach(
                f"process {process} wrote no profile within {GRACE_SECONDS:.0f} s: all its threads hold the "
                "interpreter lock, or it is stopped"
            )
        time.sleep(0.1)
    if trace is not None:
        trace.write_bytes((folder / TRACE).read_bytes())
    return read(folder / RESULT)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing
    except OSError:
        return False
    return True
