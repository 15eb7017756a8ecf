"""The list of loaded kernels that the handler of faults reads (`native.fault`).

In: a loaded kernel. Out: an entry of native memory with the place of its code, its name and its pointers; it
stays in the list as long as the kernel is loaded.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from typing import Any

from . import native
from .binary import KernelBinary
from .native.structures import KERNEL

_lock = threading.RLock()
_entries: dict[int, tuple[ctypes.Structure, Any]] = {}


def explain(function: Any, binary: KernelBinary, entry: int) -> None:
    """Have faults in the code of `function`, which begins near `entry`, explained. Code lies in one mapping
    no larger than the object file, so an address that is not further away belongs to it."""
    numbers = [k for k, type in enumerate(binary.arg_types) if type.startswith("!tt.ptr")]
    names = [binary.arg_names[k] if k < len(binary.arg_names) else f"number {k}" for k in numbers]
    held_numbers = (ctypes.c_int64 * len(numbers))(*numbers)
    held_names = (ctypes.c_char_p * len(names))(*(name.encode() for name in names))
    reach = len(binary.object_code)
    title = f"{binary.name} ({binary.place})" if binary.place else binary.name
    kernel = KERNEL.ctypes(
        first=max(0, entry - reach) if binary.waiting else entry,
        last=entry + reach,
        name=title.encode(),
        record=function.address,
        pointers=len(numbers),
        numbers=ctypes.addressof(held_numbers),
        names=ctypes.addressof(held_names),
    )
    key = id(kernel)
    state = native.state().state
    with _lock:
        _entries[key] = (kernel, (held_numbers, held_names))
        kernel.next = state.kernels
        state.kernels = ctypes.addressof(kernel)
    weakref.finalize(function, _forget, key).atexit = False


def _forget(key: int) -> None:
    """Leave out an entry, and chain the others anew: the latest first."""
    with _lock:
        gone = _entries.pop(key)
        following = None
        for kernel, _ in _entries.values():
            kernel.next = following
            following = ctypes.addressof(kernel)
        native.state().state.kernels = following
        del gone
