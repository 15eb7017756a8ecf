"""Namespaces of Linux's: a process with process numbers, network and mounts of its own sees none of the
others' (user_namespaces(7), pid_namespaces(7))."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_NEW_USER = 0x10000000
_SEPARATE = 0x20000 | 0x8000000 | 0x20000000 | 0x40000000
"""Mounts, System V IPC, process numbers and network (linux/sched.h)."""
_NO_SUID, _NO_DEVICES, _NO_EXECUTION = 2, 4, 8
_RECURSIVE, _PRIVATE = 1 << 14, 1 << 18


def separate() -> dict[str, str]:
    """Put what this process (of one thread) forks next into namespaces of its own: users too, unless root can
    do without. Returns each means with "holds" or why it does not."""
    library = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if user == 0 and library.unshare(_SEPARATE) == 0:
        return {"namespaces": "holds"}
    if library.unshare(_NEW_USER | _SEPARATE) != 0:
        return {"namespaces": f"does not: {os.strerror(ctypes.get_errno())}"}
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1\n")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1\n")
    except OSError as error:
        return {"namespaces": f"hold, but the user is not mapped: {error.strerror}"}
    return {"namespaces": "holds"}


def own_processes() -> str:
    """Let /proc show this namespace's processes alone. To be called in the first process of the namespace."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None) != 0:
        return f"does not: {os.strerror(ctypes.get_errno())}"
    if library.mount(b"proc", b"/proc", b"proc", _NO_SUID | _NO_DEVICES | _NO_EXECUTION, None) != 0:
        return f"does not: {os.strerror(ctypes.get_errno())}"
    return "holds"
