"""A child that is forked while another thread compiles finds LLVM at rest.

llvmlite lets one thread into LLVM at a time, by a lock. A child has none of its parent's other threads: a
lock that one of them held would stay locked for ever, and what it was changing in LLVM half changed. So
`os.fork` waits until no thread is in LLVM, which lasts one call of LLVM's at most, as the C library's fork
waits for its own allocator.
"""

from __future__ import annotations

import functools
import os
import threading

from llvmlite.binding import ffi


def lock_held_while_forking() -> threading.RLock:  # pyright: ignore[reportInvalidTypeForm]
    """A new lock of which a child may be sure that no thread which it lacks holds it. A thread that holds it
    may call LLVM, but not wait for a thread that forks."""
    _keep_llvm_while_forking()
    lock = threading.RLock()
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


@functools.cache
def _keep_llvm_while_forking() -> None:
    """Hooks run before a fork in the reverse order of their registration. This one is registered first, since
    threads that hold locks of ours wait for llvmlite's."""
    lock = getattr(ffi.lib, "_lock", None)
    if lock is None:  # a llvmlite without it lets threads into LLVM at once
        return
    leave = functools.partial(lock.__exit__, None, None, None)
    os.register_at_fork(before=lock.__enter__, after_in_parent=leave, after_in_child=leave)
