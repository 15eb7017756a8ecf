"""How many threads a launch uses: as many as PyTorch would.

`torch.set_num_threads` reaches OpenMP's own setting only in the thread that calls it; PyTorch's C++
function knows the number in every thread, so the runtime is told to ask that.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_SYMBOL = "_ZN2at15get_num_threadsEv"
"""`int at::get_num_threads()`."""

_LIBRARIES = ("libtorch_cpu.so", "libtorch_cpu.dylib")

_followed = False


def follow_torch() -> bool:
    """Make launches use `torch.get_num_threads()` threads, if torch is loaded. Returns whether."""
    global _followed
    file = getattr(sys.modules.get("torch"), "__file__", None)
    if _followed or file is None:
        return _followed
    from ..runtime import native

    folder = Path(file).parent / "lib"
    for library in _LIBRARIES:
        try:
            function = getattr(ctypes.CDLL(str(folder / library)), _SYMBOL)
        except (OSError, AttributeError):
            continue
        address = ctypes.cast(function, ctypes.c_void_p).value
        if address:
            native.state().count_threads_by(address)
            _followed = True
            break
    return _followed
