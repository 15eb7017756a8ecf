"""What keeps a process to itself. `confine` is called by a process of one thread that has imported all it
needs; from then on it cannot start processes or threads, reach other processes, the network, or files beyond
those named. Flows out: what holds on this machine and what does not, in words that go into records."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from . import landlock, seccomp

_NO_NEW_PRIVILEGES, _DEATH_SIGNAL = 38, 1
"""Numbers of `prctl` (linux/prctl.h)."""
_SIGKILL = 9
NOBODY = 65534
"""The user and group without rights, on all distributions."""

READABLE = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
FACTS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
LIMITS = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 1 << 28), (resource.RLIMIT_NOFILE, 256))


def confine(readable: Sequence[str], writable: Sequence[str], *, threads: bool = False) -> dict[str, str]:
    """Confine this process for good. `readable`, `writable`: folders and files beside those of Python and the
    system's libraries. `threads`: whether it may go on to start threads. Returns each means with "holds" or
    why it does not."""
    held = {"no new privileges": _prctl(_NO_NEW_PRIVILEGES, 1)}
    for kind, most in LIMITS:
        resource.setrlimit(kind, (most, most))
    allowed = [*READABLE, *FACTS, *_python_folders(), *readable]
    held["user without rights"] = _become_nobody([*_python_folders(), *readable, *writable])
    die_with_parent()
    held["files named only, no /proc"] = landlock.restrict(allowed, [*DEVICES, *writable])
    held["no processes, network or other processes' memory"] = seccomp.filter_calls(threads=threads)
    return held


def die_with_parent() -> None:
    """Have this process end with the one that started it, even where it stands still. A change of users
    undoes this."""
    _prctl(_DEATH_SIGNAL, _SIGKILL)


def _python_folders() -> list[str]:
    """Where this Python imports from."""
    folders = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path]
    return [folder for folder in dict.fromkeys(folders) if folder and Path(folder).is_dir()]


def _prctl(option: int, value: int) -> str:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) == 0:
        return "holds"
    return f"does not: {os.strerror(ctypes.get_errno())}"


def _become_nobody(needed: Sequence[str]) -> str:
    """Leave root, if this is root and what is needed can be reached without its rights; else the user stays
    who started the judge."""
    if os.geteuid() != 0:
        return "does not: the judge was not started by root, so its user is the candidate's too"
    closed = [folder for path in needed if (folder := _closed_folder(Path(path)))]
    if closed:
        return f"does not: what Python needs lies in {closed[0]}, which only its owner may enter"
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError as error:
        return f"does not: {error.strerror}"
    return "holds"


def _closed_folder(path: Path) -> str:
    """The first folder on the way to a path that not everybody may enter; empty if there is none."""
    for folder in reversed([path, *path.resolve().parents]):
        if folder.is_dir() and not folder.stat().st_mode & 0o001:
            return str(folder)
    return ""
