"""Object code in, callable addresses out.

One ORC JIT links every object of the process. All sections of an object come to lie in one mapping,
whatever else is mapped, since code reaches its constants by 32-bit distances; what it needs from outside
(printf, memcpy, ...) is found among the symbols of the process or passed in by address, and is reached
through a table in the same mapping. Dropping a `LoadedCode` frees its memory.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence

from llvmlite import binding as llvm

from ..compiler.targets import Target, host
from ..compiler.targets.forking import lock_held_while_forking
from .errors import LoadError

_lock = lock_held_while_forking()
_names = itertools.count()


def _has_jitlink(target: Target) -> bool:
    return llvm.llvm_version_info[0] >= target.jitlink_from


@functools.cache
def _jit() -> llvm.LLJIT:
    """The process's linker: LLVM's JITLink, which reserves one range for all sections of an object. Its
    older linker maps each section wherever there is room, and ends the process where that is too far
    from another; it remains for the hosts that JITLink lacks, whose 4 GiB of reach make this rare."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_lljit_compiler(machine, use_jit_link=_has_jitlink(host()))


class LoadedCode:
    """Machine code that lives in this process as long as this object, which maps the names of
    its entry points to their addresses."""

    __slots__ = ("_tracker",)

    def __init__(self, tracker: llvm.ResourceTracker):
        self._tracker = tracker

    def __getitem__(self, symbol: str) -> int:
        return self._tracker[symbol]


def load(object_code: bytes, symbols: Sequence[str], imports: Mapping[str, int] | None = None) -> LoadedCode:
    """Link `object_code`, whose entry points are `symbols`.

    `imports` gives addresses of external symbols that the process does not export. Raises
    `LoadError`; LLVM names missing symbols on stderr.
    """
    builder = llvm.JITLibraryBuilder().add_object_img(object_code).add_current_process()
    for symbol in symbols:
        builder.export_symbol(symbol)
    for name, address in (imports or {}).items():
        builder.import_symbol(name, address)
    with _lock:
        try:
            tracker = builder.link(_jit(), f"anychip.{next(_names)}")
        except RuntimeError as error:
            raise LoadError(f"{symbols[0]}: cannot be linked into this process: {error}") from error
    return LoadedCode(tracker)
