"""Functions of the C library that the native code calls, and the structures that they take."""

from __future__ import annotations

import sys

from ...compiler.llvm.routine import External
from ...compiler.llvm.struct import Struct
from ...compiler.llvm.types import I8, I32, I64, PTR, VOID, array

aligned_alloc = External("aligned_alloc", PTR, I64, I64)
calloc = External("calloc", PTR, I64, I64)
free = External("free", VOID, PTR)

clock_gettime = External("clock_gettime", I32, I32, PTR)
sched_yield = External("sched_yield", I32)
usleep = External("usleep", I32, I32)

pthread_cond_broadcast = External("pthread_cond_broadcast", I32, PTR)
pthread_cond_init = External("pthread_cond_init", I32, PTR, PTR)
pthread_cond_signal = External("pthread_cond_signal", I32, PTR)
pthread_cond_wait = External("pthread_cond_wait", I32, PTR, PTR)
pthread_create = External("pthread_create", I32, PTR, PTR, PTR, PTR)
pthread_detach = External("pthread_detach", I32, I64)
pthread_kill = External("pthread_kill", I32, I64, I32)
pthread_mutex_init = External("pthread_mutex_init", I32, PTR, PTR)
pthread_mutex_lock = External("pthread_mutex_lock", I32, PTR)
pthread_mutex_unlock = External("pthread_mutex_unlock", I32, PTR)
pthread_self = External("pthread_self", I64)

sigaction = External("sigaction", I32, I32, PTR, PTR)
snprintf = External("snprintf", I32, PTR, I64, PTR, variadic=True)
write = External("write", I64, I32, PTR, I64)

MONOTONIC_CLOCK = 1
STANDARD_ERROR = 2
SIGINT, SIGBUS, SIGSEGV = 2, 7, 11

TIMESPEC = Struct("timespec", "A time of the C library.", seconds=I64, nanoseconds=I64)

if sys.platform == "darwin":
    ACTION = Struct("sigaction", "What is done at a signal.", handler=PTR, mask=I32, flags=I32)
    SA_SIGINFO, SA_ONSTACK = 0x40, 0x1
else:
    ACTION = Struct(
        "sigaction", "What is done at a signal.", handler=PTR, mask=array(I8, 128), flags=I32, restorer=PTR
    )
    SA_SIGINFO, SA_ONSTACK = 0x4, 0x08000000

FIRST_HANDLER = 2
"""A handler of a smaller number is none: SIG_DFL is 0, SIG_IGN is 1."""
