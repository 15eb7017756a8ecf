"""A profile of a whole program, asked for by the environment: from the end of PyTorch's import to the
program's end.

`anychip profile` writes what it wants into ANYCHIP_PROFILE and reads the folder afterwards. A program that
was started with ANYCHIP_PROFILE_DOOR=1 can be attached to: a thread looks twice a second for a request in
a folder of the user's own, named by the process. No signal is sent and no debugger's interface used."""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from ..environment import PROFILE, PROFILE_DOOR
from ..runtime.cache import cache_root
from .profiler import Profiler
from .trace import trace

LOOK_SECONDS = 0.5
REQUEST, RESULT, TRACE, READY = "request.json", "profile.json", "trace.json", "ready"


def start() -> None:
    """Begin to profile, and open the door, as the environment says. Children of the program are not
    profiled."""
    wanted = _wanted(os.environ.get(PROFILE, ""))
    if wanted:
        os.environ.pop(PROFILE)
        _whole(wanted)
    if os.environ.get(PROFILE_DOOR) == "1":
        folder = door(os.getpid())
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / READY).write_text(started(os.getpid()), encoding="utf-8")
        threading.Thread(target=_watch, args=(folder,), name="anychip-profile-door", daemon=True).start()
        atexit.register(_close, folder)


def door(process: int) -> Path:
    """The folder in which a process looks for requests."""
    return cache_root() / "profile" / str(process)


def started(process: int) -> str:
    """When a process was started, in the system's ticks, so that a number which is used again is another
    process; "" where the system does not tell."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def _wanted(text: str) -> dict[str, Any]:
    """What `anychip profile` wrote, nothing where the text is none of its."""
    try:
        found = json.loads(text) if text else {}
        return found if isinstance(found, dict) and Path(found["folder"]).is_dir() else {}
    except (ValueError, KeyError, TypeError):
        return {}


def _whole(wanted: dict[str, Any]) -> None:
    profiler = Profiler(operators=wanted["operators"], frames=wanted["frames"])
    process = os.getpid()
    profiler.start()

    def finish() -> None:
        if os.getpid() == process:
            profiler.stop()
            _write(profiler, Path(wanted["folder"]), wanted)

    atexit.register(finish)


def _write(profiler: Profiler, folder: Path, wanted: dict[str, Any]) -> None:
    if wanted.get("trace"):
        (folder / TRACE).write_text(json.dumps(trace(profiler)), encoding="utf-8")
    roofs = _roofs(wanted["roofs"]) if wanted.get("roofs") else None
    profile = profiler.profile(roofs, wanted.get("command", ""))
    temporary = folder / f".{RESULT}"
    temporary.write_text(json.dumps(profile.to_json()), encoding="utf-8")
    temporary.replace(folder / RESULT)


def _roofs(measured: dict[str, Any]) -> Any:
    """The machine's limits, which the other process measured: one that ends starts no more threads."""
    from ..bench.roofs import Roofs

    bandwidth = {int(footprint): rate for footprint, rate in measured["bandwidth"].items()}
    return Roofs(measured["threads"], bandwidth, measured["operations"])


def _watch(folder: Path) -> None:
    """Answer requests until the process ends."""
    while True:
        time.sleep(LOOK_SECONDS)
        request = folder / REQUEST
        if not request.exists():
            continue
        wanted = json.loads(request.read_text(encoding="utf-8"))
        request.unlink()
        profiler = Profiler(operators=False, frames=wanted["frames"])
        profiler.start()
        time.sleep(wanted["seconds"])
        profiler.stop()
        _write(profiler, folder, wanted)


def _close(folder: Path) -> None:
    for name in (READY, REQUEST, RESULT, TRACE):
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()
