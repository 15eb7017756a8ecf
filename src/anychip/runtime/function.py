"""A kernel that is loaded and ready to launch.

A `KernelBinary` goes in; its machine code is linked and a record made that native code reads:
entry point, arena size, running estimate of a program instance's time, count of launches, grain of threads.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref

from . import faults, launches
from .binary import KernelBinary, unpack
from .loader import load
from .native.structures import CACHE_LINE, FUNCTION

_loaded: weakref.WeakValueDictionary[int, Function] = weakref.WeakValueDictionary()
_shared: weakref.WeakValueDictionary[bytes, Function] = weakref.WeakValueDictionary()
_sharing = threading.Lock()


def _after_fork() -> None:
    """In a child, the thread that held the lock may not exist."""
    global _sharing
    _sharing = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


class Function:
    """A loaded kernel. `address` is that of its record, which Triton passes around as the
    kernel's handle; the object must outlive every launch."""

    def __init__(self, binary: KernelBinary):
        self.name = binary.name
        self.messages = binary.messages
        self.arg_types = binary.arg_types
        self.waits_at = binary.waits_at
        self._code = load(binary.object_code, (binary.symbol,))
        arena = max(binary.arena_bytes, CACHE_LINE)
        self.record = FUNCTION.ctypes(
            entry=self._code[binary.symbol],
            arena_bytes=(arena + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE,
            grain=binary.grain,
            waiting=binary.waiting,
            endless=binary.endless or binary.waiting > 0,
            slot_count=len(binary.arg_types),
        )
        self.address = ctypes.addressof(self.record)
        _loaded[self.address] = self
        launches.watch(self, self.name, self.record)
        faults.explain(self, binary, self._code[binary.symbol])


def share(data: bytes, target: str) -> Function:
    """The function of a stored binary, loaded once for all who hold it at a time.

    Two threads that launch a new kernel at once both ask for it, and Triton keeps only the later
    answer; were they different, the earlier one would be unloaded under its launch. Raises
    `CorruptBinary` when `data` is damaged or not for `target`.
    """
    with _sharing:
        function = _shared.get(data)
        if function is None:
            function = _shared[data] = Function(unpack(data, target))
        return function


def at(address: int) -> Function:
    """The loaded function whose record is at `address`."""
    return _loaded[address]
