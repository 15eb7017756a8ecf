"""Files that a process may reach, by Linux's Landlock (docs.kernel.org/userspace-api/landlock.html), which
needs no rights. A process so restricted cannot trace or read the memory of one that is not."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""System calls: the same numbers on all architectures."""
_VERSION, _PATH_BENEATH = 1, 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE = 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version of the interface -> kinds of access to files that it knows, as the lowest bits."""
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_NETWORK, _SCOPES = 0b11, 0b11
"""Binding and connecting TCP (version 4); abstract sockets and signals to processes outside (version 6)."""


def restrict(readable: Iterable[str], writable: Iterable[str]) -> str:
    """Keep this thread, and what it starts, to reading below some paths and to reading and writing below
    others; paths that are not there are left out. Returns "holds", or why it does not. Needs
    `no_new_privs`."""
    library = ctypes.CDLL(None, use_errno=True)
    version = library.syscall(_CREATE, None, ctypes.c_size_t(0), _VERSION)
    if version < 1:
        return "does not: this kernel has no Landlock"
    rights = (1 << _RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("=QQQ", rights, _NETWORK if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    attributes = attributes[: 24 if version >= 6 else 16 if version >= 4 else 8]
    rules = library.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return f"does not: {os.strerror(ctypes.get_errno())}"
    try:
        for paths, access in ((readable, _READ), (writable, rights)):
            for path in paths:
                _allow(library, rules, path, access & rights)
        if library.syscall(_RESTRICT, rules, 0) != 0:
            return f"does not: {os.strerror(ctypes.get_errno())}"
    finally:
        os.close(rules)
    return "holds"


def _allow(library: ctypes.CDLL, rules: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            access &= _OF_FILES
        rule = struct.pack("=Qi", access, place)
        library.syscall(_ADD, rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(place)
