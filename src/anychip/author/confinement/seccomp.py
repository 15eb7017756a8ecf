"""System calls that a process may no longer make, by Linux's seccomp filters, which need no rights. The
filter is a list of names; a refused call fails with EPERM."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_LESS_NOT, _RETURN = 0x20, 0x15, 0x35, 0x06
"""Instructions of classic BPF: load a word, compare with a number (equal; greater or equal), return."""
_SHORT_POINTERS = 0x40000000
"""From here on the numbers are of x86-64's second interface (x32), which nothing here uses."""
_NUMBER, _ARCHITECTURE = 0, 4
"""Offsets in `struct seccomp_data`."""
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

PROCESSES = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "process_madvise": (440, 440),
}
"""Name -> numbers on x86-64 and on aarch64."""
OUTSIDE = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "clock_settime": (227, 112),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
}
THREADS = {"clone": (56, 220), "clone3": (435, 435)}


def filter_calls(*, threads: bool) -> str:
    """Refuse the calls above to this process from now on, and those that start threads unless `threads`.
    Returns "holds", or why it does not. Needs `no_new_privs`."""
    machine = platform.machine()
    if machine not in _AUDIT:
        return f"does not: no numbers of system calls are known for {machine}"
    place = 0 if machine == "x86_64" else 1
    table = {**PROCESSES, **OUTSIDE, **({} if threads else THREADS)}
    refused = sorted({numbers[place] for numbers in table.values() if numbers[place] is not None})
    program = _program(_AUDIT[machine], [number for number in refused if number is not None])
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("=H6xQ", len(program) // 8, ctypes.addressof(instructions))
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_SET_SECCOMP, _MODE_FILTER, header, 0, 0) == 0:
        return "holds"
    return f"does not: {os.strerror(ctypes.get_errno())}"


def _program(architecture: int, refused: list[int]) -> bytes:
    """The filter: calls of another architecture end the process, those refused fail, the rest go on."""
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_IF_LESS_NOT, len(refused) + 1, 0, _SHORT_POINTERS),
    ]
    for place, number in enumerate(refused):
        lines.append((_JUMP_IF_EQUAL, len(refused) - place, 0, number))
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EPERM)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
